package scenarios

import "fmt"

// document is a file being read: its values with their places, and all that was
// found wrong so far.
type document struct {
	file     string
	root     *node
	problems Problems
}

// problem notes what is wrong with a value, unless the value is spoilt.
func (d *document) problem(n *node, format string, args ...any) {
	if n == nil {
		n = &node{}
	}
	if n.spoilt {
		return
	}
	text := fmt.Sprintf(format, args...)
	if n.from != "" {
		text += fmt.Sprintf(" (the value is that of ${%s})", n.from)
	}
	d.add(n.line, n.col, n.path, text)
}

// spoil notes what is wrong with a value, as the last word on it.
func (d *document) spoil(n *node, format string, args ...any) {
	d.problem(n, format, args...)
	n.spoilt = true
}

// keyProblem notes what is wrong with a key; its place is the key's.
func (d *document) keyProblem(f *field, format string, args ...any) {
	d.add(f.line, f.col, f.value.path, fmt.Sprintf(format, args...))
}

func (d *document) add(line, col int, path, text string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Column: col, Path: path, Message: text})
}
