package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// explain says in words what one error of the schema means, at its place.
func (v *validator) explain(d *document, e *jsonschema.ValidationError) {
	n := d.root.find(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			d.keyProblem(n.field(name), "unknown key: %s", v.suggestKey(n, name, v.part(e)))
		}
	case *kind.PropertyNames: // names of variables: substitute has said so
	case *kind.Required:
		for _, name := range k.Missing {
			if n.spoilt {
				continue
			}
			d.add(n.line, n.col, below(n.path, name), "required, but missing"+v.needs(n, name))
		}
	case *kind.Type:
		d.problem(n, "%s", wrongType(n, k, v.part(e)))
	case *kind.Enum:
		v.explainEnum(d, n, k)
	case *kind.Const:
		d.problem(n, "want %v", k.Want)
	case *kind.Format:
		d.problem(n, "%v", k.Err)
	case *kind.Pattern:
		d.problem(n, "%q is not allowed: want %s", k.Got, patternWords(k.Want))
	case *kind.MinLength:
		d.problem(n, "must not be empty")
	case *kind.MinItems:
		d.problem(n, "has %d items: want at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		d.problem(n, "has %d items: want at most %d", k.Got, k.Want)
	default:
		d.problem(n, "%s", outOfBounds(n, e.ErrorKind))
	}
}

// outOfBounds says which bound of a number is not kept.
func outOfBounds(n *node, k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return fmt.Sprintf("%s is too small: want at least %s", n.text, decimalOf(k.Want))
	case *kind.Maximum:
		return fmt.Sprintf("%s is too large: want at most %s", n.text, decimalOf(k.Want))
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("%s is too small: want more than %s", n.text, decimalOf(k.Want))
	case *kind.ExclusiveMaximum:
		return fmt.Sprintf("%s is too large: want less than %s", n.text, decimalOf(k.Want))
	}
	return fmt.Sprintf("is not what the schema allows here (%s)", strings.Join(k.KeywordPath(), "/"))
}

// suggestKey says what an unknown key should have been.
func (v *validator) suggestKey(n *node, name string, schema map[string]any) string {
	known, _ := schema["properties"].(map[string]any)
	if s := v.sortOf(n); s != nil && known["with"] != nil {
		def := follow(v.raw, []string{"$defs", s.Noun + "." + n.get("kind").str(), "properties"})
		if def[name] != nil {
			return fmt.Sprintf("it belongs under with, as a parameter of %s", n.get("kind").str())
		}
	}
	if hint := elsewhere[name]; hint != "" {
		return hint
	}
	return suggest(name, slices.Collect(maps.Keys(known)))
}

// elsewhere says what the words of other tools are called here.
var elsewhere = map[string]string{
	"tolerance":               "what a probe accepts is a parameter of its kind, under with: expectStatus and expectBody (http), expectExit and expectOutput (exec), expect",
	"steady-state-hypothesis": "the steady state is what the probes see: give each one a mode, or leave it at Continuous",
	"method":                  "what to do is said under faults, and what heals it under remediation",
	"rollbacks":               "every fault is undone by itself, in any case: leave it out",
	"experiments":             "what to do is said under faults",
}

// needs tells what a missing "with" should hold.
func (v *validator) needs(n *node, name string) string {
	s := v.sortOf(n)
	if name != "with" || s == nil {
		return ""
	}
	def := follow(v.raw, []string{"$defs", s.Noun + "." + n.get("kind").str()})
	required, _ := def["required"].([]any)
	return fmt.Sprintf(": %s %s needs %s", s.Noun, n.get("kind").str(), words(required))
}

// explainEnum tells unknown kinds from other words that are not allowed.
func (v *validator) explainEnum(d *document, n *node, k *kind.Enum) {
	known := make([]string, len(k.Want))
	for i, w := range k.Want {
		known[i] = fmt.Sprint(w)
	}
	if s := v.sortNamed(n.path); s != nil {
		d.problem(n, "unknown %s kind %q: %s", s.Noun, k.Got, suggestKind(fmt.Sprint(k.Got), known))
		return
	}
	if len(known) == 1 {
		d.problem(n, "%s is not allowed: want %s", shown(k.Got), known[0])
		return
	}
	text := fmt.Sprintf("%s is not allowed: want one of %s", shown(k.Got), strings.Join(known, ", "))
	if hint := suggest(fmt.Sprint(k.Got), known); strings.HasPrefix(hint, "did") {
		text += "; " + hint
	}
	d.problem(n, "%s", text)
}

// sortOf tells which sort of plug-in a mapping with "kind" and "with" is.
func (v *validator) sortOf(n *node) *Sort { return v.sortNamed(below(n.path, "kind")) }

// holders are the paths of the kinds, without indexes.
var holders = map[string]string{
	"spec.probes.kind": "probe", "spec.faults.kind": "fault", "spec.remediation.kind": "remedy",
	"spec.components.kind": "component", "spec.components.members.control.kind": "control", "spec.routes.kind": "route",
}

func (v *validator) sortNamed(path string) *Sort {
	noun := holders[indexes.ReplaceAllString(path, "")]
	i := slices.IndexFunc(v.sorts, func(s Sort) bool { return s.Noun == noun })
	if i < 0 {
		return nil
	}
	return &v.sorts[i]
}
