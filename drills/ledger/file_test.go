package ledger_test

import (
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

func TestEntriesReadBackAsRecorded(t *testing.T) {
	f, path := create(t)
	a, b := lane(t, f), lane(t, f)
	want := []ledger.Entry{
		{ID: a.Next(), Outcome: ledger.Acknowledged, Start: 5, End: 9, Member: "db1"},
		{ID: b.Next(), Outcome: ledger.Rejected, Start: 7, End: 7, Member: ""},
		{ID: ledger.ID{Writer: 1, Seq: 2}, Outcome: ledger.Indeterminate, Start: 1e18, End: 1e18 + 3, Member: strings.Repeat("x", 255)},
		{ID: ledger.ID{Writer: 1, Seq: 3}, Outcome: ledger.Acknowledged, Start: -4, End: 2, Member: "db1"},
	}
	for i, e := range want {
		l := map[uint16]*ledger.Lane{1: a, 2: b}[e.ID.Writer]
		if i > 1 {
			assert.Equal(t, e.ID, l.Next())
		}
		require.NoError(t, l.Record(e.Outcome, e.Start, e.End, e.Member))
	}
	got, err := entries(path)
	require.ErrorIs(t, err, ledger.ErrTorn, "it is not closed yet")
	assert.Equal(t, want, got)
	require.NoError(t, f.Close())
	require.NoError(t, f.Close())
	got, err = entries(path)
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// The format is written down in format.go; whoever wrote a reader by it must be
// able to go on using it.
func TestFormatIsAsDocumented(t *testing.T) {
	f, path := create(t, ledger.WithLanes(7), ledger.WithEpoch(time.Unix(0, 5e8)))
	l := lane(t, f)
	l.Next()
	require.NoError(t, l.Record(ledger.Acknowledged, 10, 310, "db1"))
	l.Next()
	require.NoError(t, l.Record(ledger.Rejected, 300, 300, "db1"))
	require.NoError(t, f.Close())
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	line, records, _ := strings.Cut(string(b), "\n")
	assert.Equal(t, `{"format":"firedrill/ledger/v1","name":"orders","epoch":"1970-01-01T00:00:00.5Z","lanes":7}`, line)
	got := hex.EncodeToString([]byte(records))
	want := "0303646231" + "........" + // the first member's name is db1
		"050114ac02" + "........" + // writer 1 acknowledged; member 1; 10 after 0; took 300
		"06011300" + "........" + // writer 1 rejected; member 1; 10 before 310; took 0
		"0702" + "........" // the end, 2 attempts
	require.Regexp(t, "^"+want+"$", got)
}

func TestLanesAreReusedUpToTheCap(t *testing.T) {
	f, path := create(t, ledger.WithLanes(2))
	a, b := lane(t, f), lane(t, f)
	assert.Equal(t, []uint16{1, 2}, []uint16{a.Writer(), b.Writer()})
	_, ok := f.Lane()
	assert.False(t, ok, "there are two")
	a.Next()
	require.NoError(t, a.Record(ledger.Acknowledged, 1, 2, "db1"))
	a.Release()
	a.Release()
	again := lane(t, f)
	assert.Equal(t, ledger.ID{Writer: 1, Seq: 2}, again.Next(), "the sequence goes on")
	_, ok = f.Lane()
	assert.False(t, ok, "released twice is released once")
	require.NoError(t, f.Close())
	_, ok = f.Lane()
	assert.False(t, ok, "it is closed")
	got, err := entries(path)
	require.NoError(t, err)
	assert.Equal(t, ledger.Entry{ID: ledger.ID{Writer: 1, Seq: 2}, Start: 2, End: 2}, got[1], "under way at Close")
}

func TestAttemptsNotRecordedAreIndeterminate(t *testing.T) {
	f, path := create(t)
	l := lane(t, f)
	l.Next()
	l.Next()
	l.Release()
	require.NoError(t, f.Close())
	got, err := entries(path)
	require.NoError(t, err)
	assert.Equal(t, []ledger.Entry{{ID: ledger.ID{Writer: 1, Seq: 1}}, {ID: ledger.ID{Writer: 1, Seq: 2}}}, got)
}

func TestRecordRefusesWhatMakesNoSense(t *testing.T) {
	f, path := create(t)
	l := lane(t, f)
	require.ErrorContains(t, l.Record(ledger.Acknowledged, 1, 2, ""), "Next was not called")
	l.Next()
	require.ErrorContains(t, l.Record(ledger.Acknowledged, 2, 1, ""), "ends 1 ns before it starts")
	require.ErrorContains(t, l.Record(9, 1, 2, ""), "unknown outcome 9")
	require.ErrorContains(t, l.Record(ledger.Rejected, 1, 2, strings.Repeat("x", 256)), "256 bytes")
	require.NoError(t, l.Record(ledger.Acknowledged, 1, 2, ""), "the attempt is still under way")
	require.Error(t, l.Record(ledger.Acknowledged, 1, 2, ""), "recorded twice")
	require.NoError(t, f.Close())
	l.Next()
	require.ErrorIs(t, l.Record(ledger.Acknowledged, 1, 2, ""), ledger.ErrClosed)
	got, err := entries(path)
	require.NoError(t, err)
	assert.Len(t, got, 1)
}

func TestCreateRefuses(t *testing.T) {
	_, path := create(t)
	_, err := ledger.Create(path, "orders")
	require.ErrorIs(t, err, os.ErrExist, "evidence is not overwritten")
	_, err = ledger.Create(path+"2", "orders", ledger.WithLanes(0))
	require.ErrorContains(t, err, "0 lanes")
	_, err = ledger.Create(path+"/no/such", "orders")
	require.Error(t, err)
}

func TestManyLanesAtOnce(t *testing.T) {
	const lanes, each = 32, 500
	f, path := create(t)
	var wg sync.WaitGroup
	for range lanes {
		wg.Go(func() {
			l, _ := f.Lane()
			for i := range each {
				l.Next()
				at := timeline.Offset(i)
				assert.NoError(t, l.Record(ledger.Acknowledged, at, at+1, "db1"))
				f.MustSee(at)
				if i%50 == 0 {
					l.Release()
					l, _ = f.Lane()
				}
			}
			l.Release()
		})
	}
	wg.Wait()
	require.NoError(t, f.Close())
	got, err := entries(path)
	require.NoError(t, err)
	assert.Len(t, got, lanes*each)
	last := map[uint16]uint64{}
	for _, e := range got {
		require.Equal(t, last[e.ID.Writer]+1, e.ID.Seq)
		last[e.ID.Writer] = e.ID.Seq
	}
}
