package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

// shape is what a node is.
type shape uint8

const (
	scalar shape = iota
	mapping
	sequence
)

// node is one value of a document with its place in the file. The methods that
// look into it accept a nil node, so that a check can ask for what may be missing.
type node struct {
	shape     shape
	line, col int
	path      string
	// value is a scalar's: string, bool, int64, uint64, float64 or nil.
	value any
	// text is a scalar as it was written, without quotes.
	text   string
	fields []field
	items  []*node
	// from names the variable that the whole value came from.
	from string
	// spoilt tells that the value itself is known to be wrong: anything else that
	// could be said about it would only follow from that.
	spoilt bool
}

// field is one key of a mapping.
type field struct {
	name      string
	line, col int
	value     *node
}

// field returns the field of that name; of duplicates the first.
func (n *node) field(name string) *field {
	if n == nil {
		return nil
	}
	i := slices.IndexFunc(n.fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	return &n.fields[i]
}

// get follows keys down and returns nil where one is missing.
func (n *node) get(names ...string) *node {
	for _, name := range names {
		f := n.field(name)
		if f == nil {
			return nil
		}
		n = f.value
	}
	return n
}

// list returns the items of a sequence.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// mapping returns the fields of a mapping.
func (n *node) mapping() []field {
	if n == nil {
		return nil
	}
	return n.fields
}

// str returns a scalar's string, "" for anything else.
func (n *node) str() string {
	if n == nil {
		return ""
	}
	s, _ := n.value.(string)
	return s
}

// at follows keys and indexes as far as they lead and returns the last node
// that is there.
func (n *node) at(steps ...any) *node {
	for _, step := range steps {
		var next *node
		switch s := step.(type) {
		case string:
			next = n.get(s)
		case int:
			if items := n.list(); s < len(items) {
				next = items[s]
			}
		}
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// find follows the location of a JSON Schema error.
func (n *node) find(location []string) *node {
	for _, step := range location {
		i, err := strconv.Atoi(step)
		if n.shape == sequence && err == nil && i < len(n.items) {
			n = n.items[i]
			continue
		}
		next := n.get(step)
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

// json returns the value as encoding/json knows it; of duplicate keys the first
// counts.
func (n *node) json() any {
	switch n.shape {
	case mapping:
		m := make(map[string]any, len(n.fields))
		for _, f := range slices.Backward(n.fields) {
			m[f.name] = f.value.json()
		}
		return m
	case sequence:
		s := make([]any, len(n.items))
		for i, item := range n.items {
			s[i] = item.json()
		}
		return s
	}
	return n.value
}

var plainKey = regexp.MustCompile(`^[-_A-Za-z0-9]+$`)

// below is the path of a key or an index below path.
func below(path string, step any) string {
	if i, ok := step.(int); ok {
		return fmt.Sprintf("%s[%d]", path, i)
	}
	switch name := fmt.Sprint(step); {
	case !plainKey.MatchString(name):
		return fmt.Sprintf("%s[%q]", path, name)
	case path == "":
		return name
	default:
		return path + "." + name
	}
}
