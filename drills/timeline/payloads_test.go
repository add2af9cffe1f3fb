package timeline

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An event that the reader does not know breaks every record that it is in.
func TestEveryEventCanBeRead(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "events.go", nil, 0)
	require.NoError(t, err)
	var known []string
	for _, typ := range payloads {
		known = append(known, typ.Name())
	}
	parts := []string{reflect.TypeFor[Event]().Name(), reflect.TypeFor[MemberSeen]().Name()} // of events
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.TypeSpec); ok && !slices.Contains(parts, s.Name.Name) {
			assert.Contains(t, known, s.Name.Name)
		}
		return true
	})
}
