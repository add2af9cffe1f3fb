package scenarios

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"firedrill/drills/kind"
)

// addKinds lets the holder's "kind" be one of the sort's, and its "with" what that
// kind takes: if kind is K, then with is "#/$defs/noun.K".
func addKinds(s *jsonschema.Schema, sort Sort, c Comments) {
	holder := s.Definitions[sort.holder]
	word, _ := holder.Properties.Get("kind")
	for _, e := range sort.Entries {
		name := sort.Noun + "." + e.Name
		with := WithSchema(e, c)
		s.Definitions[name] = with
		then := &jsonschema.Schema{Properties: jsonschema.NewProperties()}
		then.Properties.Set("with", &jsonschema.Schema{Ref: "#/$defs/" + name})
		if len(with.Required) > 0 {
			then.Required = []string{"with"}
		}
		is := &jsonschema.Schema{Properties: jsonschema.NewProperties(), Required: []string{"kind"}}
		is.Properties.Set("kind", &jsonschema.Schema{Const: e.Name})
		holder.AllOf = append(holder.AllOf, &jsonschema.Schema{If: is, Then: then})
		word.Enum = append(word.Enum, e.Name)
	}
}

// WithSchema is the schema of a kind's "with": every property with its default,
// and required only if it has none and is not marked omitempty.
func WithSchema(e kind.Entry, c Comments) *jsonschema.Schema {
	defaults := e.Defaults
	if defaults == nil {
		defaults = struct{}{}
	}
	r := reflector(c)
	r.DoNotReference = true
	s := r.Reflect(defaults)
	s.Version, s.Definitions = "", nil
	s.Description = e.Doc
	showDefaults(s, defaults)
	return s
}

// showDefaults gives the properties of s the values that they have in v, a
// struct. Zero values are no defaults; what has a default is not required.
func showDefaults(s *jsonschema.Schema, v any) {
	var values map[string]any
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &values)
	}
	if err != nil { // spec structs are plain data: a mistake in the program
		panic(fmt.Sprintf("defaults %T: %v", v, err))
	}
	showValues(s, values)
}

func showValues(s *jsonschema.Schema, values map[string]any) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		v := values[p.Key]
		if text, ok := v.(string); ok && p.Value.Ref == durationRef {
			v = short(text)
		}
		if nested, ok := v.(map[string]any); ok && p.Value.Properties != nil {
			showValues(p.Value, nested)
			if len(p.Value.Required) > 0 {
				continue
			}
		} else if ok || v == nil || v == "0s" || reflect.ValueOf(v).IsZero() || empty(v) {
			continue
		} else {
			p.Value.Default = v
		}
		s.Required = slices.DeleteFunc(s.Required, func(name string) bool { return name == p.Key })
	}
}

// short is a duration without the units of which it has none: 15m for 15m0s.
func short(d string) string {
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(d, none) {
			d = strings.TrimSuffix(d, none[1:])
		}
	}
	return d
}

func empty(v any) bool {
	r := reflect.ValueOf(v)
	return (r.Kind() == reflect.Slice || r.Kind() == reflect.Map) && r.Len() == 0
}

// lookup finds the comment of a type, or of one of its fields, on one line.
func (c Comments) lookup(t reflect.Type, field string) string {
	name := t.PkgPath() + "." + t.Name()
	if field != "" {
		name += "." + field
	}
	return strings.Join(strings.Fields(c[name]), " ")
}
