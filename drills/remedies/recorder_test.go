package remedies_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// recorder is a RemedyLog that does what the engine's does, with a journal and a
// record that are files on disk.
type recorder struct {
	b    *testing.B
	jr   *journal.Journal
	rec  *timeline.Writer
	name string
	from timeline.Offset
	n    int
}

func newRecorder(b *testing.B) *recorder {
	dir := b.TempDir()
	jr, err := journal.Create(filepath.Join(dir, "journal.jsonl"), journal.Header{RunID: "bench"}, nil)
	require.NoError(b, err)
	rec, err := timeline.Create(dir, timeline.NewClock())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, cmp.Or(jr.Leave(), rec.Seal(), rec.Close())) })
	return &recorder{b: b, jr: jr, rec: rec}
}

func (r *recorder) note(payload any) timeline.Offset {
	at, err := r.rec.Append(payload)
	require.NoError(r.b, err)
	return at
}

// Intend implements drills.RemedyLog.
func (r *recorder) Intend(step string, u *drills.Undo) error {
	if u == nil {
		return r.jr.Step(r.name + ": " + step)
	}
	r.n++
	i := journal.Intent{ID: fmt.Sprint(r.n), Sort: "remedy", Name: r.name + ": " + step, Kind: r.name, Says: u.Says, Undo: u.Data}
	if err := r.jr.Intend(i); err != nil {
		return err
	}
	r.note(timeline.Journaled{Intent: i.ID, Kind: i.Sort, For: i.Name})
	return nil
}

// Step implements drills.RemedyLog.
func (r *recorder) Step(s topology.Step) {
	r.from = r.note(timeline.RemedyStep{Remedy: r.name, Step: s.Name, Member: s.Member, From: r.from, Detail: s.Detail, Err: s.Err})
}
