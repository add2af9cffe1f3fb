package main

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/scenarios"
)

const module = "../.."

// pages are all that people read, by path below the module.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != module {
			return cmp.Or(err, fs.SkipDir)
		}
		if filepath.Ext(path) != ".md" || strings.Contains(path, "testdata") {
			return nil
		}
		b, err := os.ReadFile(path)
		name, relErr := filepath.Rel(module, path)
		all[name] = string(b)
		return cmp.Or(err, relErr)
	})
	require.NoError(t, err)
	require.Contains(t, all, "README.md")
	require.Contains(t, all, "docs/concepts.md")
	return all
}

// blocks are the fenced examples of a page in one language.
func blocks(page, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		out = append(out, m[1])
	}
	return out
}

// Every scenario and topology that the documentation shows is valid.
func TestDocumentedFilesAreValid(t *testing.T) {
	n := 0
	for name, page := range pages(t) {
		for _, text := range blocks(page, "yaml") {
			if !strings.HasPrefix(text, "apiVersion:") {
				continue
			}
			n++
			file := filepath.Join(t.TempDir(), "example.yaml")
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			s, top, err := scenarios.LoadEither(file, nil, entries())
			if err == nil {
				err = fits(s, top, nil)
			}
			if err != nil {
				t.Errorf("%s: %v in\n%s", name, err, text)
			}
		}
	}
	assert.GreaterOrEqual(t, n, 2, "the README shows a scenario and a topology")
}

// The scenario that the README shows fits the topology that it shows.
func TestDocumentedFilesFitEachOther(t *testing.T) {
	var s *scenarios.File
	var top *scenarios.TopologyFile
	for _, text := range blocks(pages(t)["README.md"], "yaml") {
		var err error
		if strings.Contains(text, "kind: Topology") {
			top, err = scenarios.ReadTopology("README.md", []byte(text), entries())
		} else {
			s, err = scenarios.Read("README.md", []byte(text), nil, entries())
		}
		require.NoError(t, err)
	}
	require.NotNil(t, s)
	require.NotNil(t, top)
	_, err := scenarios.Compile(s, top, plugins())
	assert.NoError(t, err)
}

// Every relative link leads to a file that is there, and to a heading in it.
func TestDocumentedLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	for name, page := range all {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(page, -1) {
			path, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], "://") {
				continue
			}
			to := name
			if path != "" {
				to = filepath.Join(filepath.Dir(name), path)
				if _, err := os.Stat(filepath.Join(module, to)); err != nil {
					t.Errorf("%s links to %s: %v", name, m[1], err)
				}
			}
			if heading != "" && filepath.Ext(to) == ".md" {
				assert.Contains(t, anchors(all[to]), heading, "%s links to %s", name, m[1])
			}
		}
	}
}

// anchors are the names that a page's headings can be linked by.
func anchors(page string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, m[1]))
	}
	return out
}

// The plug-ins that CONTRIBUTING.md shows pass go vet as parts of their packages.
func TestDocumentedPlugInsCompile(t *testing.T) {
	root, err := filepath.Abs(module)
	require.NoError(t, err)
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	args := []string{"vet", "-overlay"}
	var packages []string
	for i, text := range blocks(pages(t)["CONTRIBUTING.md"], "go") {
		first, body, _ := strings.Cut(text, "\n")
		name, ok := strings.CutPrefix(first, "// file: ")
		require.True(t, ok, "example %d names no file", i)
		file := filepath.Join(t.TempDir(), filepath.Base(name))
		require.NoError(t, os.WriteFile(file, []byte(body), 0o600))
		require.NoFileExists(t, filepath.Join(root, name), "the example is in the product now: show another")
		overlay.Replace[filepath.Join(root, name)] = file
		if p := "./" + filepath.Dir(name); !slices.Contains(packages, p) {
			packages = append(packages, p)
		}
	}
	require.Len(t, packages, 3)
	b, err := json.Marshal(overlay)
	require.NoError(t, err)
	list := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(list, b, 0o600))
	c := exec.CommandContext(t.Context(), "go", append(append(args, list), packages...)...)
	c.Dir = root
	out, err := c.CombinedOutput()
	assert.NoError(t, err, string(out))
}

// The pipeline templates are YAML.
func TestPipelineTemplatesAreYAML(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(module, "ci", "*.yml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		var v map[string]any
		assert.NoError(t, yaml.Unmarshal(b, &v), f)
		assert.Contains(t, string(b), "firedrill recover", f)
	}
}
