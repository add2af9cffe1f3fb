package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is checked in is what the types and catalogues of today give.
func TestGeneratedFilesAreUpToDate(t *testing.T) {
	t.Chdir("../..")
	files, err := generate(kinds())
	require.NoError(t, err)
	again, err := generate(kinds())
	require.NoError(t, err)
	assert.Equal(t, files, again, "the same input gives the same bytes")
	for name, want := range files {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		assert.Empty(t, firstDifference(string(want), string(got)), "%s is out of date: run go generate ./...", name)
	}
}

// firstDifference is the first line of want that got has differently.
func firstDifference(want, got string) string {
	lines := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(lines) || line != lines[i] {
			return fmt.Sprintf("line %d: %s", i+1, line)
		}
	}
	return strings.TrimPrefix(got, want)
}
