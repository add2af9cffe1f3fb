package scenarios

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errEmptyCommand = errors.New("command: must not be empty")

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// TestBadFiles reads each file of testdata/bad and testdata/bad-topology and
// compares what is said about it with the golden file next to it. A first line
// "# --var name=value" sets variables.
func TestBadFiles(t *testing.T) {
	for dir, load := range map[string]func(name string, data []byte) error{
		"bad": func(name string, data []byte) error {
			_, err := Read(name, data, varsOf(string(data)), fixtureKinds())
			return err
		},
		"bad-topology": func(name string, data []byte) error {
			_, err := ReadTopology(name, data, fixtureKinds())
			return err
		},
	} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			t.Run(dir+"/"+filepath.Base(file), func(t *testing.T) {
				data, err := os.ReadFile(file)
				require.NoError(t, err)
				err = load(filepath.Base(file), data)
				require.Error(t, err)
				var problems Problems
				require.ErrorAs(t, err, &problems)
				assert.NotContains(t, err.Error(), "hunter2", "a secret was repeated")
				golden(t, strings.TrimSuffix(file, ".yaml")+".golden", err.Error()+"\n")
			})
		}
	}
}

// varsOf reads the variables to set from the file's first line.
func varsOf(text string) map[string]string {
	line, _, _ := strings.Cut(text, "\n")
	vars := map[string]string{}
	for _, word := range strings.Fields(strings.TrimPrefix(line, "# ")) {
		if name, value, ok := strings.Cut(word, "="); ok && strings.Contains(line, "--var") {
			vars[name] = value
		}
	}
	return vars
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run go test ./scenarios -update")
	assert.Equal(t, string(want), got)
}
