package ledger_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
)

// collect makes a reading of ids.
func collect(t testing.TB, member, when string, primary bool, ids ...ledger.ID) ledger.ReadBack {
	t.Helper()
	rb, err := ledger.Collect(seq(ids, nil))
	require.NoError(t, err)
	rb.Member, rb.When, rb.Primary = member, when, primary
	return rb
}

// expand lists what a reading holds.
func expand(rb ledger.ReadBack) []ledger.ID {
	var ids []ledger.ID
	for _, w := range rb.Writers() {
		copies := map[uint64]uint64{}
		for _, d := range rb.Dups(w) {
			copies[d.Seq] = d.Copies
		}
		for r := range rb.Ranges(w) {
			for s := r.From; s <= r.To && s >= r.From; s++ {
				for range max(copies[s], 1) {
					ids = append(ids, ledger.ID{Writer: w, Seq: s})
				}
			}
		}
	}
	return ids
}

func TestReadBackFileIsAsDocumented(t *testing.T) {
	path := filepath.Join(t.TempDir(), "readback.jsonl")
	ids := []ledger.ID{{1, 1}, {1, 2}, {1, 2}, {1, 4}, {10, 7}}
	rb := collect(t, "db1", ledger.Recovered, true, ids...)
	require.NoError(t, ledger.AppendReadBack(path, rb))
	rb.From = 99
	rb.When = ledger.Rejoined
	require.NoError(t, ledger.AppendReadBack(path, rb))
	require.NoError(t, ledger.AppendReadBack(path, collect(t, "db2", ledger.Rejoined, false)))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	lines := strings.Split(string(b), "\n")
	assert.Equal(t, `{"member":"db1","when":"recovered","primary":true,"from":0,"rows":5,`+
		`"writers":{"1":{"ranges":[[1,2],[4,4]],"dups":[[2,2]]},"10":{"ranges":[[7,7]]}}}`, lines[0])
	assert.Equal(t, `{"member":"db2","when":"rejoined","primary":false,"from":0,"rows":0,"writers":{}}`, lines[2])

	got, err := ledger.ReadBacks(path)
	require.NoError(t, err)
	require.Len(t, got, 3)
	assert.Equal(t, rb.From, got[1].From)
	assert.Equal(t, ledger.Rejoined, got[1].When)
	for _, rb := range got[:2] {
		assert.Equal(t, ids, expand(rb))
	}
}

// Sets of every texture survive Collect, the file, and reading it.
func TestReadBackOfAnyTexture(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), "readback.jsonl")
	textures := map[string]func(s uint64) bool{
		"dense":       func(uint64) bool { return true },
		"every other": func(s uint64) bool { return s%2 == 1 },
		"1 % missing": func(uint64) bool { return rnd.IntN(100) > 0 },
		"1 % there":   func(uint64) bool { return rnd.IntN(100) == 0 },
		"mixed":       func(s uint64) bool { return s/70000%2 == 0 || rnd.IntN(2) == 0 },
	}
	var want [][]ledger.ID
	for _, name := range []string{"dense", "every other", "1 % missing", "1 % there", "mixed"} {
		var ids []ledger.ID
		for w := range uint16(2) {
			for s := range uint64(300_000) {
				if textures[name](s) {
					ids = append(ids, ledger.ID{Writer: w * 9, Seq: s})
				}
			}
			ids = append(ids, ledger.ID{w * 9, 1 << 40}, ledger.ID{w * 9, 1<<64 - 1}, ledger.ID{w * 9, 1<<64 - 1})
		}
		rb := collect(t, name, ledger.Recovered, true, ids...)
		require.True(t, slices.Equal(ids, expand(rb)), name)
		require.NoError(t, ledger.AppendReadBack(path, rb))
		want = append(want, ids)
	}
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(content), `"ranges":[[0,299999],`, "what is dense is one range")
	got, err := ledger.ReadBacks(path)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i, rb := range got {
		require.True(t, slices.Equal(want[i], expand(rb)), rb.Member)
	}
}

func TestCollectErrors(t *testing.T) {
	for _, ids := range [][]ledger.ID{{{1, 2}, {1, 1}}, {{2, 1}, {1, 5}}, {{1, 1}, {1, 2}, {2, 1}, {1, 3}}} {
		_, err := ledger.Collect(seq(ids, nil))
		require.ErrorIs(t, err, ledger.ErrUnordered)
	}
	lost := errors.New("connection lost")
	_, err := ledger.Collect(seq([]ledger.ID{{1, 1}}, lost))
	require.ErrorIs(t, err, lost, "a part is no reading")
	require.ErrorContains(t, err, "after 1 rows")
}

func TestReadBackFileDamaged(t *testing.T) {
	dir := t.TempDir()
	got, err := ledger.ReadBacks(filepath.Join(dir, "none"))
	require.NoError(t, err)
	assert.Empty(t, got)
	whole := `{"member":"db1","when":"recovered","primary":true,"from":0,"rows":2,"writers":{"1":{"ranges":[[1,2]]}}}` + "\n"
	more := strings.Replace(whole, `]]}}}`, `]]}},"more":true}`, 1)
	for content, want := range map[string]string{
		whole + whole[:50]: "breaks off",
		whole + more:       "breaks off",
		whole + strings.Replace(more, "db1", "db2", 1) + whole:              "is not whole",
		whole + strings.Replace(whole, "[1,2]", "[1,2],[2,3]", 1):           "out of order",
		whole + strings.Replace(whole, "[1,2]", "[2,1]", 1):                 "out of order",
		whole + strings.Replace(whole, "[1,2]", "[1,3]", 1):                 "3 rows are listed, 2 are claimed",
		whole + strings.Replace(whole, "ranges", "rangs", 1):                "unknown field",
		whole + strings.Replace(whole, `{"ranges":[[1,2]]}`, "null", 1):     "writer 1 is null",
		whole + strings.Replace(whole, `]]}`, `]],"dups":[[1,1]]}`, 1):      "1 copies",
		whole + strings.Replace(whole, `]]}`, `]],"bits":{"1":"AA"}}`, 1):   "illegal base64",
		whole + strings.Replace(whole, `]]}`, `]],"bits":{"1":"AAAA"}}`, 1): "want 8192 bytes",
	} {
		path := filepath.Join(dir, "readback.jsonl")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		got, err := ledger.ReadBacks(path)
		require.ErrorContains(t, err, want)
		assert.Len(t, got, 1, "what is whole is there")
	}
}
