package scenarios

import (
	"regexp"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

var (
	// decimal is the one way to write a whole number that all YAML versions agree on.
	decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	// numeric is what YAML 1.2 takes for a number; the parser reads some of it as text.
	numeric = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
)

const ambiguous = "this is read differently by different YAML readers: write a number in decimal, and text in quotes"

func (b *builder) scalar(n *node, from ast.Node) {
	if tk := from.GetToken(); tk != nil {
		n.text = tk.Value
	}
	switch from := from.(type) {
	case *ast.StringNode:
		n.value, n.text = from.Value, from.Value
		if from.Token.Type == token.StringType && numeric.MatchString(from.Value) {
			b.spoil(n, ambiguous)
		}
	case *ast.LiteralNode:
		n.value, n.text = from.Value.Value, from.Value.Value
	case *ast.IntegerNode:
		n.value = from.Value
		if from.Value == nil || !decimal.MatchString(n.text) {
			b.spoil(n, ambiguous)
		}
	case *ast.FloatNode:
		n.value = from.Value
	case *ast.BoolNode:
		n.value = from.Value
	case *ast.InfinityNode, *ast.NanNode:
		b.spoil(n, "want a finite number")
	case *ast.NullNode:
	default:
		b.spoil(n, "this kind of YAML value is not supported: want text, a number, true or false, a list or a mapping")
	}
}
