package drills_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/verdict"
)

// another adds a fault on the primary that is due at another time.
func another(d *drills.Drill, at time.Duration) {
	p := d.Plan.Faults[0]
	p.Name, p.At = "again", at
	d.Plan.Faults, d.Faults = append(d.Plan.Faults, p), append(d.Faults, d.Faults[0])
}

// A plan shows what a run does: the same targets, each with who is on the other
// side, in the order in which they are due.
func TestPreviewIsWhatARunDoes(t *testing.T) {
	w := &world{}
	d := w.drill(t)
	another(d, 0)
	d.Plan.Faults[0].At = time.Second
	p, err := drills.PreviewOf(t.Context(), d, w.plugins().Topology, 1)
	require.NoError(t, err)
	require.Len(t, p.Steps, 3)
	assert.Equal(t, "fault again (break)", p.Steps[0].What)
	assert.Equal(t, "fault break (break)", p.Steps[1].What)
	assert.Equal(t, "primary of svc: a, b", p.Steps[2].On)
	for _, target := range w.prepared {
		assert.Equal(t, "a", target.Members[0].Name())
		require.Len(t, target.Others, 1)
		assert.Equal(t, "b", target.Others[0].Name())
		assert.Greater(t, target.Stay, d.Plan.Longest)
	}
	assert.Zero(t, w.injected)
}

// Faults that are in force at the same time count together, whatever their order in
// the file, in a plan as in a run.
func TestLimitsOfSeveralFaults(t *testing.T) {
	both := func(d *drills.Drill, _ *drills.Options) {
		another(d, 0)
		d.Plan.Faults[0].At = time.Second
		d.Faults[1].Target.Role = topology.Replica
	}
	w := &world{}
	d := w.drill(t)
	both(d, nil)
	_, err := drills.PreviewOf(t.Context(), d, w.plugins().Topology, 1)
	require.ErrorContains(t, err, "limits.members is 1")
	res, _ := w.run(t, both)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "limits.members is 1")
	assert.Zero(t, w.injected)
}

// Who is primary changes between two faults: the second would hit another member
// than the preflight saw.
func TestLimitsHoldWhenRolesChangeAmidADrill(t *testing.T) {
	w := &world{swaps: true}
	res, clean := w.run(t, func(d *drills.Drill, _ *drills.Options) { another(d, time.Second) })
	assert.True(t, clean)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "would touch 2 members (b, a), limits.members is 1")
	assert.Equal(t, 1, w.injected)
	assert.False(t, w.broken)
}

// The runner dies when its record is complete and the journal is not put away yet:
// whoever recovers adds nothing.
func TestRecoverLeavesAFinishedRecordAlone(t *testing.T) {
	w := &world{}
	var home, dir string
	res, _ := w.run(t, func(_ *drills.Drill, o *drills.Options) { home, dir = o.Home, o.Dir })
	require.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	whole, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	require.NoError(t, err)
	record, err := os.ReadFile(filepath.Join(dir, timeline.EventsFile))
	require.NoError(t, err)
	lines := bytes.SplitAfter(bytes.TrimSpace(whole), []byte{'\n'})
	for cut := range 2 { // with its last line, "close", and without
		path := filepath.Join(home, "journal", "r1.jsonl")
		require.NoError(t, os.WriteFile(path, bytes.Join(lines[:len(lines)-cut], nil), 0o600))
		_, err = drills.Recover(context.Background(), home, path, w.plugins(), "test", false)
		require.NoError(t, err)
		assert.NoFileExists(t, path)
		after, err := os.ReadFile(filepath.Join(dir, timeline.EventsFile))
		require.NoError(t, err)
		assert.Equal(t, string(record), string(after))
	}
}

// A journal whose first line is damaged says nothing about where it belongs.
func TestRecoverADamagedJournal(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "journal", "r1.jsonl")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := drills.Recover(t.Context(), home, path, (&world{}).plugins(), "test", false)
	require.ErrorIs(t, err, drills.ErrDirty)
	require.ErrorContains(t, err, path)
	assert.FileExists(t, path)
}

// A run that could not begin has touched nothing, and its record says that.
func TestRunThatCouldNotBegin(t *testing.T) {
	w := &world{}
	home, dir := t.TempDir(), t.TempDir()
	_, err := drills.Run(t.Context(), w.drill(t), drills.Options{
		Home: home, Dir: dir, RunID: "r1", Plugins: w.plugins(),
		Watchdog: func(context.Context, string) error { return context.Canceled },
	})
	require.ErrorContains(t, err, "nothing was touched")
	rec, err := timeline.Read(dir)
	require.NoError(t, err)
	require.Empty(t, rec.Broken)
	res, err := verdict.Judge(rec)
	require.NoError(t, err)
	assert.Equal(t, verdict.Aborted, res.Verdict, res.Reasons)
	assert.Equal(t, "clean", res.Cleanup.Verdict)
	b, err := json.Marshal(res.Reasons)
	require.NoError(t, err)
	assert.Contains(t, string(b), "start watchdog")
}
