package journal

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func create(t *testing.T) (*Journal, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "journal", "r.jsonl")
	j, err := Create(path, Header{RunID: "r", Topology: "t"}, nil)
	require.NoError(t, err)
	return j, path
}

func TestPendingIsNewestFirst(t *testing.T) {
	j, path := create(t)
	for _, id := range []string{"1", "2", "3"} {
		require.NoError(t, j.Intend(Intent{ID: id, Name: "n" + id}))
	}
	require.NoError(t, j.Step("promote: db-2"))
	require.NoError(t, j.Done("2", "clean", "runner"))
	require.NoError(t, j.Done("3", "failed", "runner"))
	s, err := Read(path)
	require.NoError(t, err)
	assert.Equal(t, "r", s.Header.RunID)
	require.Len(t, s.Pending, 2)
	assert.Equal(t, "3", s.Pending[0].ID, "what failed stays pending")
	assert.Equal(t, "1", s.Pending[1].ID)
	assert.Equal(t, []string{"promote: db-2"}, s.Steps)
	assert.False(t, s.Closed)
}

// Whatever prefix of a journal survives, it is readable, and appending to it
// works: a write that was torn announces nothing.
func TestEveryPrefixIsReadable(t *testing.T) {
	j, path := create(t)
	require.NoError(t, j.Intend(Intent{ID: "1", Name: "kill", Undo: []byte(`{"pid":1}`)}))
	require.NoError(t, j.Intend(Intent{ID: "2", Name: "roles"}))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := range len(whole) {
		cut := filepath.Join(t.TempDir(), "cut.jsonl")
		require.NoError(t, os.WriteFile(cut, whole[:n], 0o600))
		before, err := Read(cut)
		require.NoError(t, err)
		again, err := Open(cut)
		require.NoError(t, err)
		require.NoError(t, again.Intend(Intent{ID: "new"}))
		after, err := Read(cut)
		require.NoError(t, err)
		require.Len(t, after.Pending, len(before.Pending)+1, "prefix of %d bytes", n)
		require.Equal(t, "new", after.Pending[0].ID)
	}
}

func TestCloseMovesTheJournalToTheRun(t *testing.T) {
	j, path := create(t)
	dir := t.TempDir()
	require.NoError(t, j.Close(dir))
	assert.NoFileExists(t, path)
	s, err := Read(filepath.Join(dir, "journal.jsonl"))
	require.NoError(t, err)
	assert.True(t, s.Closed)
	left, err := List(filepath.Dir(path))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// Nothing is pending any more: a run directory that is gone must not make every
// later run fail.
func TestCloseSetsTheJournalAsideWhereTheRunDirIsGone(t *testing.T) {
	j, path := create(t)
	require.NoError(t, j.Close(filepath.Join(t.TempDir(), "gone")))
	left, err := List(filepath.Dir(path))
	require.NoError(t, err)
	assert.Empty(t, left)
	s, err := Read(path + ".closed")
	require.NoError(t, err)
	assert.True(t, s.Closed)
}

func TestAfterAppendCounts(t *testing.T) {
	var seen []int
	path := filepath.Join(t.TempDir(), "r.jsonl")
	j, err := Create(path, Header{}, func(n int) { seen = append(seen, n) })
	require.NoError(t, err)
	require.NoError(t, j.Step("a"))
	require.NoError(t, j.Leave())
	assert.Equal(t, []int{1, 2, 3}, seen)
	s, err := Read(path)
	require.NoError(t, err)
	assert.True(t, s.Left)
}

// A prefix that holds the whole last line but not its newline is torn too.
func TestReadIgnoresGarbage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "g.jsonl")
	require.NoError(t, os.WriteFile(path, []byte("{\"op\":\"open\"}\nnot json\n{\"op\":\"intent\"}\n"), 0o600))
	s, err := Read(path)
	require.NoError(t, err)
	assert.Empty(t, s.Pending)
}
