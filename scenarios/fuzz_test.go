package scenarios

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzLoad feeds the loaders with anything: they must end, without a panic, in a
// file or in problems that point into it.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/*/*.yaml", "library/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		require.NotEmpty(f, files)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(data, "lag", "2s")
		}
	}
	kinds := fixtureKinds()
	f.Fuzz(func(t *testing.T, data []byte, name, value string) {
		_, err := Read("fuzz.yaml", data, map[string]string{name: value}, kinds)
		pointing(t, err)
		_, err = ReadTopology("fuzz.yaml", data, kinds)
		pointing(t, err)
	})
}

func pointing(t *testing.T, err error) {
	if err == nil {
		return
	}
	var problems Problems
	require.ErrorAs(t, err, &problems)
	for _, p := range problems {
		require.Positive(t, p.Line, "%s", p)
		require.Positive(t, p.Column, "%s", p)
	}
}
