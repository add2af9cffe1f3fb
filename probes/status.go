package probes

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// StatusRange is a range of HTTP status codes, both ends included. Files write a
// number (204) or a range ("200-299").
type StatusRange struct{ Lo, Hi int }

// StatusSet is a set of HTTP status codes.
type StatusSet []StatusRange

// Has tells whether the set contains a code.
func (s StatusSet) Has(code int) bool {
	for _, r := range s {
		if r.Lo <= code && code <= r.Hi {
			return true
		}
	}
	return false
}

func (s StatusSet) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return strings.Join(parts, ", ")
}

func (r StatusRange) String() string {
	if r.Lo == r.Hi {
		return strconv.Itoa(r.Lo)
	}
	return fmt.Sprintf("%d-%d", r.Lo, r.Hi)
}

// MarshalJSON writes what UnmarshalJSON reads.
func (r StatusRange) MarshalJSON() ([]byte, error) {
	if r.Lo == r.Hi {
		return json.Marshal(r.Lo)
	}
	return json.Marshal(r.String())
}

// UnmarshalJSON reads a number or a range; codes are 100 to 599.
func (r *StatusRange) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	lo, err1 := strconv.Atoi(from)
	hi, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || lo < 100 || hi > 599 || lo > hi {
		return fmt.Errorf("status %s: want a code such as 204 or a range such as \"200-299\"", b)
	}
	r.Lo, r.Hi = lo, hi
	return nil
}

// JSONSchema says how files write a range.
func (StatusRange) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "integer", Minimum: "100", Maximum: "599"},
		{Type: "string", Pattern: "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"},
	}}
}
