package scenarios

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	invopop "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"firedrill/drills/spec"
)

// validator checks documents against a schema and says what is wrong in words.
type validator struct {
	schema *jsonschema.Schema
	// raw is the schema as JSON, to look up what would have been right.
	raw   any
	sorts []Sort
}

func newValidator(s *invopop.Schema, sorts []Sort) (*validator, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write schema %s: %w", s.ID, err)
	}
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", s.ID, err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.RegisterFormat(&jsonschema.Format{Name: formatDuration, Validate: checkDuration})
	c.RegisterFormat(&jsonschema.Format{Name: formatSecret, Validate: checkSecret})
	if err := c.AddResource(string(s.ID), raw); err != nil {
		return nil, fmt.Errorf("add schema %s: %w", s.ID, err)
	}
	compiled, err := c.Compile(string(s.ID))
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	return &validator{schema: compiled, raw: raw, sorts: sorts}, nil
}

func checkDuration(v any) error {
	text, ok := v.(string)
	if !ok {
		return nil // the wrong type is reported as that
	}
	b, _ := json.Marshal(text)
	var d spec.Duration
	return d.UnmarshalJSON(b)
}

// checkSecret does not repeat the value: it may be a secret that somebody pasted.
func checkSecret(v any) error {
	text, ok := v.(string)
	scheme, rest, _ := strings.Cut(text, ":")
	if !ok || rest != "" && (scheme == "env" || scheme == "file") {
		return nil
	}
	return errors.New("want a reference to the secret, env:NAME or file:PATH, and never the secret itself (what is there is not repeated here)")
}

// validate notes everything about d that the schema does not allow.
func (v *validator) validate(d *document) {
	var all *jsonschema.ValidationError
	if errors.As(v.schema.Validate(d.root.json()), &all) {
		v.leaves(d, all)
	}
}

// leaves walks down to the errors that say something by themselves.
func (v *validator) leaves(d *document, e *jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		v.alternatives(d, e)
		return
	}
	for _, cause := range e.Causes {
		v.leaves(d, cause)
	}
	if len(e.Causes) == 0 {
		v.explain(d, e)
	}
}

// alternatives says what each of the allowed forms would want, as one problem.
func (v *validator) alternatives(d *document, e *jsonschema.ValidationError) {
	n := d.root.find(e.InstanceLocation)
	var wants []string
	types := &kind.Type{}
	for _, cause := range e.Causes {
		if t, ok := cause.ErrorKind.(*kind.Type); ok {
			types.Got, types.Want = t.Got, append(types.Want, t.Want...)
		}
		tried := &document{root: d.root}
		v.leaves(tried, cause)
		for _, p := range tried.problems {
			wants = append(wants, p.Message)
		}
	}
	if len(types.Want) == len(e.Causes) {
		wants = []string{wrongType(n, types, nil)}
	}
	d.problem(n, "%s", strings.Join(wants, "; or: "))
}

// part returns the piece of the schema that an error comes from.
func (v *validator) part(e *jsonschema.ValidationError) map[string]any {
	_, pointer, _ := strings.Cut(e.SchemaURL, "#")
	return follow(v.raw, strings.Split(pointer, "/")[1:])
}

func follow(at any, steps []string) map[string]any {
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, step := range steps {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[unescape.Replace(step)]
	}
	m, _ := at.(map[string]any)
	return m
}
