package probes_test

import (
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// What the primary had lost when the service recovered, and what it has again
// once a member rejoined, is told id by id: lost in either case.
func TestMySQLWriteResurrected(t *testing.T) {
	w, write := acknowledged(t, 6)
	w.sql(0, "CREATE TABLE firedrill.aside AS SELECT * FROM "+table+" WHERE seq IN (2, 5)",
		"DELETE FROM "+table+" WHERE seq IN (2, 3, 5)")
	recovered := w.reading(ledger.Recovered)
	write() // 1:7, after the reading
	w.sql(0, "INSERT INTO "+table+" SELECT * FROM firedrill.aside")
	a := w.auditOf(recovered, w.reading(ledger.Rejoined))

	assert.Equal(t, []string{"1:2-3", "1:5"}, a.Lost.IDs())
	assert.Equal(t, []string{"1:2", "1:5"}, a.Resurrected.IDs(), "1:3 was not put back")
	w.exactly(a, a.Lost, a.Resurrected)
	all := w.entries()
	require.NotNil(t, a.FirstLost)
	assert.Equal(t, timeline.Interval{Lo: all["1:2"].Start, Hi: all["1:2"].End}, *a.FirstLost)
	assert.Equal(t, timeline.Interval{Lo: all["1:5"].Start, Hi: all["1:5"].End}, *a.LastLost)
}

// What the rejoining took away was there when the service recovered: it is not
// among the lost, and it is not passed over.
func TestMySQLWriteVanished(t *testing.T) {
	w, write := acknowledged(t, 6)
	w.sql(0, "DELETE FROM "+table+" WHERE seq = 6")
	recovered := w.reading(ledger.Recovered)
	write() // 1:7, after the reading
	w.sql(0, "DELETE FROM "+table+" WHERE seq IN (1, 4)")
	a := w.auditOf(recovered, w.reading(ledger.Rejoined))

	assert.Equal(t, []string{"1:1", "1:4"}, a.Vanished.IDs())
	assert.Equal(t, []string{"1:6"}, a.Lost.IDs(), "gone at both times")
	w.exactly(a, a.Lost, a.Vanished)
}

// acknowledged writes n rows, 1:1 and following, and returns what writes the next.
func acknowledged(t *testing.T, n int) (*world, func()) {
	w := newWorld(t, 1, 1)
	p := w.writer(w.c.Members[0].Address(), drills.Pooled)
	write := func() {
		t.Helper()
		o := look(t, p)
		require.Equal(t, timeline.OK, o.Class, o.Detail)
	}
	for range n {
		write()
	}
	return w, write
}

// reading reads db-1, the primary, while writes may go on.
func (w *world) reading(when string) ledger.ReadBack {
	w.t.Helper()
	from := w.clock.Now()
	r, err := w.readBack(0)
	require.NoError(w.t, err)
	r.When, r.Primary, r.From = when, true, from
	return r
}

// auditOf closes the ledger and compares it with what was read.
func (w *world) auditOf(reads ...ledger.ReadBack) ledger.Accounting {
	w.t.Helper()
	require.NoError(w.t, w.file.Close())
	a, err := ledger.Audit(func() iter.Seq2[ledger.Entry, error] { return ledger.Read(w.path) }, reads, ledger.Options{})
	require.NoError(w.t, err)
	return a
}

// exactly sees to it that 1:1 to 1:7 are acknowledged and judged, and that all
// classes but these are empty. Only the primary was read: who diverged is unknown.
func (w *world) exactly(a ledger.Accounting, but ...ledger.Class) {
	w.t.Helper()
	assert.EqualValues(w.t, 7, a.Acknowledged)
	assert.EqualValues(w.t, 7, a.Attempted)
	assert.Zero(w.t, a.Unjudged)
	assert.Empty(w.t, a.Unknown)
	_, known := a.Diverged.Count()
	assert.False(w.t, known)
	ids := 0
	for _, c := range []ledger.Class{a.Lost, a.Indeterminate, a.RejectedButPresent, a.Duplicated, a.Phantom, a.Resurrected, a.Vanished, a.DualWrite} {
		n, known := c.Count()
		assert.True(w.t, known)
		ids += int(n)
	}
	for _, c := range but {
		n, _ := c.Count()
		ids -= int(n)
	}
	assert.Zero(w.t, ids, "%+v", a)
}
