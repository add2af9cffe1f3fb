package main

import (
	"os"
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
		assert.Equal(t, string(want), string(got), "%s is out of date: run go generate ./...", name)
	}
}
