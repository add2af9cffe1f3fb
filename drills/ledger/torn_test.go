package ledger_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// small makes a closed file of a few entries.
func small(t *testing.T) (content []byte, all []ledger.Entry) {
	t.Helper()
	f, path := create(t)
	a, b := lane(t, f), lane(t, f)
	for i := range timeline.Offset(6) {
		for _, l := range []*ledger.Lane{a, b} {
			l.Next()
			require.NoError(t, l.Record(ledger.Acknowledged, i*1000, i*1000+300, []string{"db1", "db2"}[i/3]))
		}
	}
	require.NoError(t, f.Close())
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	all, err = entries(path)
	require.NoError(t, err)
	return content, all
}

func TestTornAnywhere(t *testing.T) {
	content, all := small(t)
	path := filepath.Join(t.TempDir(), "torn")
	for n := range content {
		for _, tail := range [][]byte{nil, make([]byte, 40)} {
			require.NoError(t, os.WriteFile(path, append(content[:n:n], tail...), 0o600))
			got, err := entries(path)
			require.Error(t, err, "cut at %d", n)
			if tail == nil || n > len(`{"format":"firedrill/ledger/v1","name":"orders","lanes":1024}`) {
				require.ErrorIs(t, err, ledger.ErrTorn, "cut at %d", n)
			}
			require.LessOrEqual(t, len(got), len(all))
			assert.Equal(t, all[:len(got)], append([]ledger.Entry{}, got...), "cut at %d", n)
		}
	}
}

func TestDamageIsNeverReadAsEntries(t *testing.T) {
	content, all := small(t)
	path := filepath.Join(t.TempDir(), "damaged")
	for n := range content {
		for _, flip := range []byte{1, 0x80, 0xff} {
			damaged := append([]byte{}, content...)
			damaged[n] ^= flip
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			got, err := entries(path)
			require.Error(t, err, "byte %d", n)
			assert.Equal(t, all[:len(got)], append([]ledger.Entry{}, got...), "byte %d", n)
		}
	}
}

func TestOtherFilesAreNotTorn(t *testing.T) {
	content, _ := small(t)
	path := filepath.Join(t.TempDir(), "other")
	for name, c := range map[string]string{
		"unexpected end of JSON":           "{\n",
		`format "x/v9", want "firedrill/l`: `{"format":"x/v9"}` + "\n",
		"bytes after the end record":       string(content) + "x",
	} {
		require.NoError(t, os.WriteFile(path, []byte(c), 0o600))
		_, err := entries(path)
		require.ErrorContains(t, err, name)
		assert.NotErrorIs(t, err, ledger.ErrTorn)
	}
	_, err := entries(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReadingCanStop(t *testing.T) {
	f, path := create(t)
	l := lane(t, f)
	l.Next()
	l.Next()
	require.NoError(t, f.Close())
	for e, err := range ledger.Read(path) {
		require.NoError(t, err)
		assert.EqualValues(t, 1, e.ID.Seq)
		break
	}
}
