package scenarios

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"

	"github.com/invopop/jsonschema"
)

// KindDoc describes one plug-in for people.
type KindDoc struct {
	// Sort is "probe", "fault", "remedy", "component", "control" or "route".
	Sort string `json:"sort"`
	Name string `json:"name"`
	Doc  string `json:"doc"`
	// Parameters are what "with" takes; those of a mapping are called "outer.inner".
	Parameters []Parameter `json:"parameters"`
}

// Parameter is one key of a mapping.
type Parameter struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	// Default is what holds without the key; nil if nothing does.
	Default any    `json:"default,omitempty"`
	Doc     string `json:"doc,omitempty"`
}

// Describe returns the kinds of a schema made by ScenarioSchema or
// TopologySchema, in the order of its enumerations.
func Describe(s *jsonschema.Schema) []KindDoc {
	docs := []KindDoc{}
	for _, sort := range (Kinds{}).Sorts() {
		holder := s.Definitions[sort.holder]
		if holder == nil {
			continue
		}
		word, _ := holder.Properties.Get("kind")
		for _, name := range word.Enum {
			def := s.Definitions[fmt.Sprintf("%s.%s", sort.Noun, name)]
			docs = append(docs, KindDoc{
				Sort: sort.Noun, Name: fmt.Sprint(name), Doc: def.Description, Parameters: Flatten(def),
			})
		}
	}
	return docs
}

// DescribeBuiltin describes the plug-ins that the embedded schemas were generated
// from.
func DescribeBuiltin() ([]KindDoc, error) {
	var docs []KindDoc
	for _, name := range []string{"scenario.json", "topology.json"} {
		b, err := fs.ReadFile(Schemas(), name)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		var s jsonschema.Schema
		if err := json.Unmarshal(b, &s); err != nil {
			return nil, fmt.Errorf("decode schema %s: %w", name, err)
		}
		docs = append(docs, Describe(&s)...)
	}
	return docs, nil
}

// Flatten lists the keys of a mapping's schema in their order, and those of the
// mappings written out within it.
func Flatten(s *jsonschema.Schema) []Parameter {
	ps := []Parameter{}
	if s.Properties == nil {
		return ps
	}
	required := map[string]bool{}
	for _, name := range s.Required {
		required[name] = true
	}
	for pair := s.Properties.Oldest(); pair != nil; pair = pair.Next() {
		p := Parameter{
			Name: pair.Key, Type: TypeName(pair.Value), Required: required[pair.Key],
			Default: pair.Value.Default, Doc: pair.Value.Description,
		}
		ps = append(ps, p)
		for _, inner := range Flatten(pair.Value) {
			inner.Name = pair.Key + "." + inner.Name
			ps = append(ps, inner)
		}
	}
	return ps
}

// TypeName says in a word or two what a schema takes.
func TypeName(s *jsonschema.Schema) string {
	switch {
	case s.Ref != "":
		return lowerFirst(strings.TrimPrefix(s.Ref, "#/$defs/"))
	case len(s.Enum) == 1:
		return "always " + words(s.Enum)
	case len(s.Enum) > 0:
		return "one of " + words(s.Enum)
	case len(s.OneOf) > 0:
		return either(s.OneOf)
	case s.Type == "array" && s.Items != nil:
		return "list of " + TypeName(s.Items)
	case s.Type == "object" && s.Properties == nil && s.AdditionalProperties != nil:
		return "map of " + TypeName(s.AdditionalProperties)
	case s.Type == "object":
		return "mapping"
	case s.Type == "string":
		return "text"
	case s.Type == "integer":
		return "whole number"
	case s.Type == "boolean":
		return "true or false"
	case s.Type == "":
		return "any value"
	}
	return s.Type
}

func either(of []*jsonschema.Schema) string {
	names := make([]string, len(of))
	for i, s := range of {
		names[i] = TypeName(s)
	}
	return strings.Join(names, " or ")
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
