package scenarios

import "github.com/goccy/go-yaml/ast"

// builder turns the parser's tree into nodes: aliases followed, and everything
// refused that reads differently from one YAML library to the next.
type builder struct {
	*document
	anchors map[string]*node
	nodes   int
	// refused tells that the problem of too many nodes is noted.
	refused bool
}

// full tells whether there is no room for one more node: aliases of aliases can
// make a small file very large.
func (b *builder) full(n *node, depth int) bool {
	b.nodes++
	if depth <= maxDepth && b.nodes <= maxNodes {
		return false
	}
	if !b.refused {
		b.add(n.line, n.col, n.path, tooLarge)
	}
	b.refused = true
	return true
}

func (b *builder) build(from ast.Node, path string, depth int) *node {
	n := &node{path: path}
	if tk := from.GetToken(); tk != nil && tk.Position != nil {
		n.line, n.col = tk.Position.Line, tk.Position.Column
	}
	if b.full(n, depth) {
		return n
	}
	switch from := from.(type) {
	case *ast.MappingNode:
		b.mapping(n, from.Values, depth)
	case *ast.MappingValueNode:
		b.mapping(n, []*ast.MappingValueNode{from}, depth)
	case *ast.SequenceNode:
		n.shape = sequence
		for i, v := range from.Values {
			n.items = append(n.items, b.build(v, below(path, i), depth+1))
		}
	case *ast.AnchorNode:
		n = b.build(from.Value, path, depth+1)
		b.anchors[from.Name.GetToken().Value] = n
	case *ast.AliasNode:
		return b.alias(n, from, depth)
	case *ast.TagNode:
		b.problem(n, "tags (!…) are not supported: write the value plainly, and in quotes if it is text")
		return b.build(from.Value, path, depth+1)
	default:
		b.scalar(n, from)
	}
	return n
}

// mapping fills n with the keys; duplicates are noted and kept.
func (b *builder) mapping(n *node, values []*ast.MappingValueNode, depth int) {
	n.shape = mapping
	lines := make(map[string]int, len(values))
	for i, v := range values {
		tk := v.Key.GetToken()
		f := field{name: tk.Value, line: tk.Position.Line, col: tk.Position.Column}
		if s, ok := v.Key.(*ast.StringNode); ok {
			f.name = s.Value
		}
		if i == 0 && tk.Position.Line >= n.line { // a block mapping's own token is a colon
			n.line, n.col = f.line, f.col
		}
		f.value = b.build(v.Value, below(n.path, f.name), depth+1)
		if b.refused {
			return
		}
		if f.value.shape == scalar && f.value.value == nil {
			f.value.line, f.value.col = f.line, f.col
		}
		if !b.plain(v.Key, &f) {
			n.spoilt = true
			continue
		}
		if line, dup := lines[f.name]; dup {
			b.keyProblem(&f, "duplicate key: it is there already on line %d; keep one of them", line)
		} else {
			lines[f.name] = f.line
		}
		n.fields = append(n.fields, f)
	}
}

// plain notes a key that is not just a word.
func (b *builder) plain(key ast.MapKeyNode, f *field) bool {
	switch key.(type) {
	case *ast.MergeKeyNode:
		b.keyProblem(f, "merge keys (<<) are not supported: write the keys out, or use an alias for a whole value")
	case *ast.MappingKeyNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		b.keyProblem(f, "a key must be plain text")
	default:
		return true
	}
	return false
}

// alias stands for a copy of what the anchor named.
func (b *builder) alias(n *node, from *ast.AliasNode, depth int) *node {
	anchored := b.anchors[from.Value.GetToken().Value]
	if anchored == nil {
		b.spoil(n, "alias (*) of an anchor (&) that is not defined above; if it is meant as text, put it in quotes")
		return n
	}
	return b.copy(anchored, n.path, depth)
}

// copy keeps the places of the original, which is where its values are written.
func (b *builder) copy(of *node, path string, depth int) *node {
	n := *of
	n.path, n.fields, n.items = path, nil, nil
	if b.full(&n, depth) {
		return &n
	}
	for _, f := range of.fields {
		f.value = b.copy(f.value, below(path, f.name), depth+1)
		n.fields = append(n.fields, f)
	}
	for i, item := range of.items {
		n.items = append(n.items, b.copy(item, below(path, i), depth+1))
	}
	return &n
}
