package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/scenarios"
)

// call runs one subcommand and returns what it prints.
func call(c *cobra.Command, args ...string) (string, error) {
	var out bytes.Buffer
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.Execute()
	return out.String(), err
}

const labTopology = "../../scenarios/testdata/good/lab-topology.yaml"

func TestValidateAcceptsTheLibrary(t *testing.T) {
	const library = "../../scenarios/library/"
	for family, topology := range map[string]string{"mysql": labTopology, "llm": library + "topology-llm.yaml"} {
		files, err := filepath.Glob(library + family + "-*.yaml")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		out, err := call(newValidate(), append(files, topology, "--topology", topology)...)
		require.NoError(t, err, out)
		assert.Equal(t, len(files)+1, strings.Count(out, ": valid: "), out)
	}
	out, err := call(newValidate(), library+"topology.yaml")
	require.NoError(t, err, out)
	assert.Contains(t, out, "topology.yaml: valid: Topology production\n")
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yaml")
	text := "apiVersion: firedrill/v1\nkind: Scenario\nmetadata: {name: x}\nspec:\n  objectives: {rot: 5m}\n  probes: []\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))

	out, err := call(newValidate(), file)
	assert.Equal(t, exitError{code: verdict.ExitUsage}, err)
	assert.Equal(t, file+":5:3: spec.faults: required, but missing\n"+
		file+":5:16: spec.objectives.rot: unknown key: did you mean \"rto\"?\n"+
		file+":6:11: spec.probes: has 0 items: want at least 1\n", out)

	out, err = call(newValidate(), "-o", "json", file, labTopology)
	require.Error(t, err)
	var got struct {
		Valid bool
		Files []struct {
			File, Kind, Name string
			Valid            bool
			Problems         []scenarios.Problem
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	assert.False(t, got.Valid)
	require.Len(t, got.Files, 2)
	require.Len(t, got.Files[0].Problems, 3)
	assert.Equal(t, scenarios.Problem{
		File: file, Line: 5, Column: 16, Path: "spec.objectives.rot", Message: `unknown key: did you mean "rto"?`,
	}, got.Files[0].Problems[1])
	assert.True(t, got.Files[1].Valid)
}

func TestValidateNamesAMissingFile(t *testing.T) {
	out, err := call(newValidate(), "nowhere.yaml")
	require.Error(t, err)
	assert.Equal(t, "nowhere.yaml: read scenario: open nowhere.yaml: no such file or directory\n", out)
}

func TestSchemaPrintsTheGeneratedSchema(t *testing.T) {
	out, err := call(newSchema(), "topology")
	require.NoError(t, err)
	want, err := os.ReadFile("../../scenarios/schema/topology.json")
	require.NoError(t, err)
	assert.Equal(t, string(want), out)
	_, err = call(newSchema(), "drill")
	assert.ErrorContains(t, err, "drill")
}

// The kinds that are documented are those that the program has.
func TestKindsListsEveryPlugIn(t *testing.T) {
	out, err := call(newKinds(), "-o", "json")
	require.NoError(t, err)
	var docs []scenarios.KindDoc
	require.NoError(t, json.Unmarshal([]byte(out), &docs))
	var got, want []string
	for _, d := range docs {
		got = append(got, d.Sort+" "+d.Name)
		assert.NotEmpty(t, d.Doc, d.Name)
	}
	for _, s := range entries().Sorts() {
		for _, e := range s.Entries {
			want = append(want, s.Noun+" "+e.Name)
		}
	}
	assert.Equal(t, want, got, "run go generate ./...")

	out, err = call(newKinds(), "process-kill")
	require.NoError(t, err)
	assert.Contains(t, out, "fault process-kill: ")
	assert.Regexp(t, `signal +text +KILL`, out)
	_, err = call(newKinds(), "nothing")
	assert.ErrorContains(t, err, `unknown kind "nothing"`)
}
