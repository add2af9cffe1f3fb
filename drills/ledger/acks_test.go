package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

func TestMustSee(t *testing.T) {
	f, _ := create(t)
	a, b, c := lane(t, f), lane(t, f), lane(t, f)
	record := func(l *ledger.Lane, o ledger.Outcome, end timeline.Offset) {
		l.Next()
		require.NoError(t, l.Record(o, end-5, end, "db1"))
	}
	record(a, ledger.Acknowledged, 10)
	record(a, ledger.Indeterminate, 20)
	record(a, ledger.Acknowledged, 30)
	record(a, ledger.Rejected, 40)
	record(b, ledger.Acknowledged, 25)
	record(c, ledger.Rejected, 5)

	a1, a3 := ledger.Ack{ID: ledger.ID{Writer: 1, Seq: 1}, End: 10}, ledger.Ack{ID: ledger.ID{Writer: 1, Seq: 3}, End: 30}
	b1 := ledger.Ack{ID: ledger.ID{Writer: 2, Seq: 1}, End: 25}
	assert.Empty(t, f.MustSee(10), "it must have arrived before")
	assert.Equal(t, []ledger.Ack{a1}, f.MustSee(11))
	assert.Equal(t, []ledger.Ack{a1, b1}, f.MustSee(30), "the newest of lane 1 came too late")
	assert.Equal(t, []ledger.Ack{a3, b1}, f.MustSee(31))

	for _, c := range []struct {
		seen  ledger.ID
		start timeline.Offset
		want  ledger.Ack
		ok    bool
	}{
		{ledger.ID{Writer: 1}, 100, a1, true},
		{ledger.ID{Writer: 1, Seq: 1}, 100, a3, true},
		{ledger.ID{Writer: 1, Seq: 2}, 31, a3, true},
		{ledger.ID{Writer: 1, Seq: 2}, 30, ledger.Ack{}, false},
		{ledger.ID{Writer: 1, Seq: 3}, 100, ledger.Ack{}, false},
		{ledger.ID{Writer: 3}, 100, ledger.Ack{}, false},
		{ledger.ID{Writer: 0}, 100, ledger.Ack{}, false},
		{ledger.ID{Writer: 4}, 100, ledger.Ack{}, false},
	} {
		got, ok := f.Unseen(c.seen, c.start)
		assert.Equal(t, c.ok, ok, c)
		assert.Equal(t, c.want, got, c)
	}
}

func TestAcknowledgementsKeptAreBounded(t *testing.T) {
	f, _ := create(t)
	l := lane(t, f)
	for i := range timeline.Offset(3000) {
		l.Next()
		require.NoError(t, l.Record(ledger.Acknowledged, i, i, ""))
	}
	must := f.MustSee(2500)
	require.Len(t, must, 1)
	assert.Equal(t, ledger.Ack{ID: ledger.ID{Writer: 1, Seq: 2500}, End: 2499}, must[0])
	got, ok := f.Unseen(ledger.ID{Writer: 1, Seq: 2}, 5000)
	assert.True(t, ok)
	assert.EqualValues(t, 3000-1024+1, got.ID.Seq, "an older one is forgotten: the bound is lower, and true")
}
