package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The bounds on what is read. A file that a person wrote stays far below them.
const (
	maxBytes = 128 << 10
	maxDepth = 100
	maxNodes = 20_000

	tooLarge = "the file is too large or nested too deeply to be a scenario or a topology"
)

// parse reads the one YAML document of a file. Without a root the file is not
// YAML at all, and problems says why.
func parse(file string, data []byte) *document {
	d := &document{file: file}
	if msg := unreadable(data); msg != "" {
		d.add(1, 1, "", msg)
		return d
	}
	f, err := parseYAML(data)
	if err != nil {
		d.syntax(err)
		return d
	}
	b := &builder{document: d, anchors: map[string]*node{}}
	for _, doc := range f.Docs {
		switch {
		case doc.Body == nil:
		case d.root == nil:
			d.root = b.build(doc.Body, "", 0)
		default:
			tk := doc.Body.GetToken()
			if doc.Start != nil {
				tk = doc.Start
			}
			d.add(tk.Position.Line, tk.Position.Column, "", "second document: a file holds one; put this one into a file of its own")
		}
	}
	switch {
	case b.refused:
		d.root = nil
	case d.root == nil:
		d.add(1, 1, "", "the file is empty: want apiVersion, kind, metadata and spec")
	}
	return d
}

// unreadable tells why bytes are not worth parsing, "" if they are.
func unreadable(data []byte) string {
	switch {
	case len(data) > maxBytes:
		return fmt.Sprintf("the file has %d bytes: at most %d are read", len(data), maxBytes)
	case !utf8.Valid(data):
		return "the file is not UTF-8 text"
	}
	if tooDeep(data) {
		return tooLarge
	}
	return ""
}

// tooDeep finds nesting that the parser would need too long for, by the only two
// ways to nest within a line: brackets, and "- - -".
func tooDeep(data []byte) bool {
	open := 0
	for line := range bytes.Lines(data) {
		text := bytes.TrimLeft(line, "-? \t")
		indicators := line[:len(line)-len(text)]
		if bytes.Count(indicators, []byte("-"))+bytes.Count(indicators, []byte("?")) > maxDepth {
			return true
		}
		for _, c := range text {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open--
			}
			if open > 10*maxDepth { // some may be text
				return true
			}
		}
	}
	return false
}

// parseYAML turns a panic of the parser into an error: it reads what people
// typed, and whatever that is must end in a message.
func parseYAML(data []byte) (f *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("the text confuses the YAML parser; check indentation, quotes and brackets")
		}
	}()
	return parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
}

// syntax notes why the file is not YAML. The source line is not repeated: it may
// hold a secret.
func (d *document) syntax(err error) {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		d.add(1, 1, "", "not valid YAML: "+err.Error())
		return
	}
	pos := at.GetToken().Position
	d.add(pos.Line, pos.Column, "", "not valid YAML: "+at.GetMessage())
}
