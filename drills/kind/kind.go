// Package kind is the catalogue of plug-ins: one entry is registration, default
// values and documentation at once.
package kind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// Kind is one entry of a catalogue whose plug-ins are of type T.
type Kind[T any] struct {
	// Name is the word that files use ("process-kill").
	Name string
	// Doc is one sentence for people.
	Doc string
	// Defaults is the kind's spec struct with its default values.
	Defaults any

	build func(with json.RawMessage) (T, error)
}

// New describes a kind. S is the struct that the file's "with" is decoded into,
// over a copy of defaults; build turns it into the plug-in and refuses what the
// schema cannot express.
func New[S, T any](name, doc string, defaults S, build func(S) (T, error)) Kind[T] {
	return Kind[T]{Name: name, Doc: doc, Defaults: defaults, build: func(with json.RawMessage) (T, error) {
		var s S
		clone(defaults, &s)
		if len(with) > 0 {
			d := json.NewDecoder(bytes.NewReader(with))
			d.DisallowUnknownFields()
			if err := d.Decode(&s); err != nil {
				var zero T
				return zero, fmt.Errorf("%s: with: %w", name, err)
			}
		}
		t, err := build(s)
		if err != nil {
			return t, fmt.Errorf("%s: %w", name, err)
		}
		return t, nil
	}}
}

// clone copies the defaults deeply, so that decoding over them cannot reach the
// slices and maps of the catalogue. Spec structs are plain data: a failure is a
// mistake in the program.
func clone[S any](from S, to *S) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		panic(fmt.Sprintf("defaults %T: %v", from, err))
	}
}

// Catalogue is a set of kinds of one sort. The zero value is empty.
type Catalogue[T any] struct {
	sort  string
	kinds map[string]Kind[T]
}

// Of makes a catalogue. noun says what its plug-ins are ("fault"). A duplicate
// name panics: it is a mistake in the program.
func Of[T any](noun string, kinds ...Kind[T]) Catalogue[T] {
	c := Catalogue[T]{sort: noun, kinds: make(map[string]Kind[T], len(kinds))}
	for _, k := range kinds {
		if _, dup := c.kinds[k.Name]; dup {
			panic(fmt.Sprintf("%s kind %q registered twice", noun, k.Name))
		}
		c.kinds[k.Name] = k
	}
	return c
}

// Noun says what the catalogue's plug-ins are.
func (c Catalogue[T]) Noun() string { return c.sort }

// Build makes the plug-in of a kind from the "with" of a file (JSON; may be
// empty). An unknown kind is an error that lists the known ones.
func (c Catalogue[T]) Build(name string, with json.RawMessage) (T, error) {
	k, ok := c.kinds[name]
	if !ok {
		var zero T
		return zero, fmt.Errorf("unknown %s kind %q: known are %s", c.sort, name, strings.Join(c.Names(), ", "))
	}
	return k.build(with)
}

// Names returns the names of all kinds, sorted.
func (c Catalogue[T]) Names() []string {
	names := make([]string, 0, len(c.kinds))
	for n := range c.kinds {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// Entry is a kind without its type, for documentation and schemas.
type Entry struct {
	Name, Doc string
	Defaults  any
}

// Entries returns all kinds, sorted by name.
func (c Catalogue[T]) Entries() []Entry {
	var es []Entry
	for _, n := range c.Names() {
		k := c.kinds[n]
		es = append(es, Entry{Name: k.Name, Doc: k.Doc, Defaults: k.Defaults})
	}
	return es
}
