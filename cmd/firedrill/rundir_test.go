package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// Run directories are made before the first drill: one that cannot be used is found
// while nothing is touched, and two scenarios of one name do not share any.
func TestRunDirsComeBeforeTheFirstDrill(t *testing.T) {
	same := &drills.Drill{Plan: timeline.Plan{Scenario: "loss"}}
	out := t.TempDir()
	f := runFlags{out: out, repeat: 2}
	require.NoError(t, f.runDirs([]*drills.Drill{same, same}))
	for _, name := range []string{"loss-001", "loss-002", "loss-003", "loss-004"} {
		dir, _, err := f.nextDir(same)
		require.NoError(t, err)
		assert.Equal(t, filepath.Join(out, name), dir)
		assert.DirExists(t, dir)
	}

	taken := filepath.Join(out, "loss-002", "run.jsonl")
	require.NoError(t, os.WriteFile(taken, nil, 0o600))
	err := (&runFlags{out: out, repeat: 2}).runDirs([]*drills.Drill{same})
	require.ErrorContains(t, err, "loss-002 is not empty: a record is never overwritten; give another --out")
	assert.Equal(t, verdict.ExitUsage, codeOf(err))
}

func TestWorstCodeWins(t *testing.T) {
	order := []int{verdict.ExitMet, verdict.ExitUsage, verdict.ExitAborted, verdict.ExitInconclusive, verdict.ExitMissed, verdict.ExitDirty}
	for i, a := range order {
		for j, b := range order {
			assert.Equal(t, order[max(i, j)], worseOf(a, b))
		}
	}
}

// The distribution is on standard output, for pipelines, and in a file in any case.
func TestDistributionIsWritten(t *testing.T) {
	t.Setenv("FIREDRILL_HOME", t.TempDir())
	require.NoError(t, os.MkdirAll(filepath.Join(home(), "runs"), 0o755))
	var stdout bytes.Buffer
	c := &cobra.Command{}
	c.SetOut(&stdout)
	c.SetErr(&bytes.Buffer{})
	f := runFlags{repeat: 2, output: "json"}
	require.NoError(t, f.distribution(c, verdict.Distribution{Scenario: "loss"}))
	var d verdict.Distribution
	require.NoError(t, json.Unmarshal(stdout.Bytes(), &d))
	assert.Equal(t, "loss", d.Scenario)
	files, err := filepath.Glob(filepath.Join(home(), "runs", "*-loss-distribution.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	assert.Equal(t, stdout.String(), string(b))
}
