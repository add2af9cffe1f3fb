package scenarios

import (
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// Comments are the doc comments of types ("firedrill/scenarios.Probe") and fields
// ("firedrill/scenarios.Probe.Every"). They live in the source, so that only the
// generator has them; without, a schema has no descriptions.
type Comments map[string]string

// ScenarioSchema makes the JSON Schema of scenario files from the Go types and
// the kinds.
func ScenarioSchema(k Kinds, c Comments) *jsonschema.Schema {
	r := reflector(c)
	r.ExpandedStruct = true
	s := r.Reflect(File{})
	s.ID, s.Title = "urn:firedrill:v1:scenario", "firedrill scenario"
	showDefaults(s.Definitions["Spec"], defaultSpec())
	showDefaults(s.Definitions["Stable"], defaultSpec().Stable)
	showDefaults(s.Definitions["Limits"], defaultSpec().Limits)
	showDefaults(s.Definitions["Probe"], defaultProbe())
	vars, _ := s.Definitions["Spec"].Properties.Get("vars")
	vars.AdditionalProperties = &jsonschema.Schema{
		OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}},
	}
	finish(s, k.scenario(), c)
	return s
}

// TopologySchema makes the JSON Schema of topology files.
func TopologySchema(k Kinds, c Comments) *jsonschema.Schema {
	r := reflector(c)
	r.ExpandedStruct = true
	s := r.Reflect(topology.File{})
	s.ID, s.Title = "urn:firedrill:v1:topology", "firedrill topology"
	finish(s, k.topology(), c)
	return s
}

func reflector(c Comments) *jsonschema.Reflector {
	return &jsonschema.Reflector{
		Anonymous:     true,
		LookupComment: c.lookup,
		Mapper:        scalarSchema,
		Namer: func(t reflect.Type) string {
			if t == reflect.TypeFor[topology.Objectives]() {
				return "ComponentObjectives"
			}
			return t.Name()
		},
	}
}

// The formats that a schema names and the loader checks.
const (
	formatDuration = "go-duration"
	formatSecret   = "secret-reference"

	durationRef = "#/$defs/Duration"
)

// The patterns of names; metaPattern is that of topology.Meta.
const (
	namePattern = `^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$`
	metaPattern = `^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
)

// scalarSchema maps the types that files write in their own way. What it returns
// is changed by the caller, so that each call makes it anew.
func scalarSchema(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[spec.Duration]():
		return &jsonschema.Schema{Ref: durationRef}
	case reflect.TypeFor[spec.Secret]():
		return &jsonschema.Schema{Ref: "#/$defs/Secret"}
	case reflect.TypeFor[json.RawMessage]():
		return &jsonschema.Schema{Type: "object"}
	}
	return nil
}

// finish adds what the types do not tell.
func finish(s *jsonschema.Schema, sorts []Sort, c Comments) {
	for name, def := range s.Definitions {
		if f, ok := def.Properties.Get("name"); ok && name != "Meta" {
			f.Pattern = namePattern
		}
		for _, required := range def.Required {
			f, _ := def.Properties.Get(required)
			if one := uint64(1); f.Type == "string" && len(f.Enum) == 0 && f.Pattern == "" {
				f.MinLength = &one
			}
		}
	}
	for _, sort := range sorts {
		addKinds(s, sort, c)
	}
	s.Definitions["Duration"] = &jsonschema.Schema{
		Type: "string", Format: formatDuration,
		Pattern:     `^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`,
		Description: "A length of time as a Go duration: 250ms, 30s, 1m30s, 2h. Never negative.",
		Examples:    []any{"250ms", "30s", "1m30s"},
	}
	s.Definitions["Secret"] = &jsonschema.Schema{
		Type: "string", Format: formatSecret, Pattern: `^(env|file):.+$`,
		Description: "A reference to a secret, never the secret itself: env:NAME is an environment variable of the runner, file:PATH a file that it can read.",
		Examples:    []any{"env:DB_PASSWORD", "file:/run/secrets/db"},
	}
}
