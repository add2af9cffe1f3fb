package scenarios

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

var indexes = regexp.MustCompile(`\[[0-9]+\]`)

var typeWords = map[string]string{
	"string": "text", "number": "a number", "integer": "a whole number", "boolean": "true or false",
	"array": "a list", "object": "a mapping (key: value)", "null": "nothing",
}

// wrongType says what type is there and which one is wanted. It never repeats
// the value.
func wrongType(n *node, k *kind.Type, schema map[string]any) string {
	wanted := make([]string, len(k.Want))
	for i, w := range k.Want {
		wanted[i] = typeWords[w]
	}
	want := strings.Join(wanted, " or ")
	switch schema["format"] {
	case formatDuration:
		want = `a duration such as "30s", "5m" or "250ms"`
	case formatSecret:
		want = "a reference to a secret, env:NAME or file:PATH"
	}
	text := "want " + want + ", not " + typeWords[k.Got]
	if k.Got == "null" {
		text = "there is no value: want " + want + ", or leave the key out"
	}
	return text + typeHint(n, k, schema)
}

// typeHint says how to write what was probably meant.
func typeHint(n *node, k *kind.Type, schema map[string]any) string {
	want := k.Want[0]
	_, notWhole := strconv.Atoi(n.str())
	_, notNumber := strconv.ParseFloat(n.str(), 64)
	switch {
	case want == "string" && schema["format"] == nil && (k.Got == "number" || k.Got == "boolean"):
		return "; put it in quotes"
	case want == "integer" && k.Got == "string" && notWhole == nil,
		want == "number" && k.Got == "string" && notNumber == nil,
		want == "boolean" && (n.str() == "true" || n.str() == "false"):
		return "; leave the quotes out"
	case want == "array" && k.Got != "null":
		return `; begin each item with "- "`
	}
	return ""
}

func words(list []any) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = fmt.Sprint(w)
	}
	return strings.Join(out, ", ")
}

func decimalOf(r *big.Rat) string {
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// shown is a value as a message repeats it.
func shown(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(v)
}

func patternWords(pattern string) string {
	switch pattern {
	case namePattern:
		return "letters, digits, - . or _, with a letter or digit at both ends"
	case metaPattern:
		return "small letters, digits, - or ., with a letter or digit at both ends"
	}
	return "what the pattern " + pattern + " matches"
}
