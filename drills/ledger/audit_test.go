package ledger_test

import (
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

const (
	ack = ledger.Acknowledged
	rej = ledger.Rejected
	ind = ledger.Indeterminate
)

// attempts gives one writer's attempts sequences and times: number n starts at
// 10n and ends at 10n+5.
func attempts(writer uint16, member string, outcomes ...ledger.Outcome) []ledger.Entry {
	var all []ledger.Entry
	for i, o := range outcomes {
		n := timeline.Offset(i + 1)
		all = append(all, ledger.Entry{
			ID: ledger.ID{Writer: writer, Seq: uint64(n)}, Outcome: o, Start: 10 * n, End: 10*n + 5, Member: member,
		})
	}
	return all
}

// ones are the given sequences of writer 1.
func ones(seqs ...uint64) []ledger.ID {
	var ids []ledger.ID
	for _, s := range seqs {
		ids = append(ids, ledger.ID{Writer: 1, Seq: s})
	}
	return ids
}

func again[T any](values []T, err error) func() iter.Seq2[T, error] {
	return func() iter.Seq2[T, error] { return seq(values, err) }
}

// known returns the ids of the classes that are known and, of these, not empty.
func known(a ledger.Accounting) (ids map[string][]string, unknown []string) {
	ids = map[string][]string{}
	for _, c := range []struct {
		name string
		ledger.Class
	}{
		{"lost", a.Lost},
		{"indeterminate", a.Indeterminate},
		{"rejected-but-present", a.RejectedButPresent},
		{"duplicated", a.Duplicated},
		{"phantom", a.Phantom},
		{"diverged", a.Diverged},
		{"resurrected", a.Resurrected},
		{"vanished", a.Vanished},
		{"dual-write", a.DualWrite},
	} {
		if n, ok := c.Count(); !ok {
			unknown = append(unknown, c.name)
		} else if n > 0 {
			ids[c.name] = c.IDs()
		}
	}
	return ids, unknown
}

func TestAuditClasses(t *testing.T) {
	primary := func(ids ...ledger.ID) ledger.ReadBack { return collect(t, "db2", ledger.Recovered, true, ids...) }
	later := func(ids ...ledger.ID) ledger.ReadBack { return collect(t, "db2", ledger.Rejoined, true, ids...) }
	rejoined := func(ids ...ledger.ID) ledger.ReadBack { return collect(t, "db1", ledger.Rejoined, false, ids...) }
	noRejoin := []string{"diverged", "resurrected", "vanished"}
	for name, c := range map[string]struct {
		outcomes []ledger.Outcome
		reads    []ledger.ReadBack
		want     map[string][]string
		unknown  []string
	}{
		"all is well":          {[]ledger.Outcome{ack, ack, ack}, []ledger.ReadBack{primary(ones(1, 2, 3)...)}, nil, noRejoin},
		"lost":                 {[]ledger.Outcome{ack, ack, ack, ack}, []ledger.ReadBack{primary(ones(2)...)}, map[string][]string{"lost": {"1:1", "1:3-4"}}, noRejoin},
		"lost, nothing there":  {[]ledger.Outcome{ack, ack}, []ledger.ReadBack{primary()}, map[string][]string{"lost": {"1:1-2"}}, noRejoin},
		"indeterminate":        {[]ledger.Outcome{ind, ind, ack}, []ledger.ReadBack{primary(ones(1, 3)...)}, map[string][]string{"indeterminate": {"1:1-2"}}, noRejoin},
		"rejected and absent":  {[]ledger.Outcome{ack, rej}, []ledger.ReadBack{primary(ones(1)...)}, nil, noRejoin},
		"rejected but present": {[]ledger.Outcome{ack, rej}, []ledger.ReadBack{primary(ones(1, 2)...)}, map[string][]string{"rejected-but-present": {"1:2"}}, noRejoin},
		"duplicated":           {[]ledger.Outcome{ack, ack}, []ledger.ReadBack{primary(ones(1, 1, 2)...), later(ones(1, 1, 2, 2)...)}, map[string][]string{"duplicated": {"1:1-2"}}, []string{"diverged"}},
		"phantom": {
			[]ledger.Outcome{ack},
			[]ledger.ReadBack{primary(append(ones(0, 1, 2, 3), ledger.ID{Writer: 4, Seq: 1})...)},
			map[string][]string{"phantom": {"1:0", "1:2-3", "4:1"}},
			noRejoin,
		},
		"diverged": {
			[]ledger.Outcome{ack, ind, ack},
			[]ledger.ReadBack{primary(ones(1, 3)...), later(ones(1, 3)...), rejoined(ones(1, 2, 3, 9)...)},
			map[string][]string{"indeterminate": {"1:2"}, "diverged": {"1:2", "1:9"}},
			nil,
		},
		"diverged from the primary at recovered": {
			[]ledger.Outcome{ind},
			[]ledger.ReadBack{primary(), rejoined(ones(1)...)},
			map[string][]string{"indeterminate": {"1:1"}, "diverged": {"1:1"}},
			[]string{"resurrected", "vanished"},
		},
		"resurrected on the primary": {
			[]ledger.Outcome{ack, ack},
			[]ledger.ReadBack{primary(ones(1)...), later(ones(1, 2)...), rejoined(ones(1, 2)...)},
			map[string][]string{"lost": {"1:2"}, "resurrected": {"1:2"}},
			nil,
		},
		"lost, and on the rejoined member alone": {
			[]ledger.Outcome{ack, ack},
			[]ledger.ReadBack{primary(ones(1)...), later(ones(1)...), rejoined(ones(1, 2)...)},
			map[string][]string{"lost": {"1:2"}, "diverged": {"1:2"}},
			nil,
		},
		"vanished": {
			[]ledger.Outcome{ack, ack},
			[]ledger.ReadBack{primary(ones(1, 2)...), later(ones(1)...)},
			map[string][]string{"vanished": {"1:2"}},
			[]string{"diverged"},
		},
		"nothing was read": {
			[]ledger.Outcome{ack},
			nil, nil,
			[]string{"lost", "rejected-but-present", "duplicated", "phantom", "diverged", "resurrected", "vanished"},
		},
		"no primary was read": {
			[]ledger.Outcome{ack},
			[]ledger.ReadBack{collect(t, "db3", ledger.Recovered, false)},
			nil,
			[]string{"lost", "rejected-but-present", "duplicated", "phantom", "diverged", "resurrected", "vanished"},
		},
		"the primary was read after the rejoining alone": {
			[]ledger.Outcome{ack, rej},
			[]ledger.ReadBack{later(ones(2)...), rejoined(ones(1)...)},
			map[string][]string{"rejected-but-present": {"1:2"}, "diverged": {"1:1"}},
			[]string{"lost", "resurrected", "vanished"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ledger.Audit(again(attempts(1, "db1", c.outcomes...), nil), c.reads, ledger.Options{})
			require.NoError(t, err)
			got, unknown := known(a)
			if c.want == nil {
				c.want = map[string][]string{}
			}
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.unknown, unknown)
			assert.EqualValues(t, len(c.outcomes), a.Attempted)
			_, lostKnown := a.Lost.Count()
			assert.Equal(t, lostKnown, a.Unknown == "", "unknown is said, never zero")
		})
	}
}

func TestAuditMembers(t *testing.T) {
	a, err := ledger.Audit(again(attempts(1, "db1", ack, ack, ack), nil), []ledger.ReadBack{
		collect(t, "db3", ledger.Recovered, false, ones(1, 3)...),
		collect(t, "db2", ledger.Recovered, true, ones(1, 2)...),
	}, ledger.Options{})
	require.NoError(t, err)
	assert.Equal(t, "db2", a.Against)
	assert.Equal(t, []string{"1:2"}, a.Members[0].Missing.IDs())
	assert.Equal(t, []string{"1:3"}, a.Members[0].Extra.IDs())
	_, ok := a.Members[1].Missing.Count()
	assert.False(t, ok, "the primary is compared with nobody")
	assert.EqualValues(t, 2, a.Members[1].Rows)
}

// The first lost acknowledgement lies between the least start and the least end,
// even if those are of two writes.
func TestAuditBoundsLostMoments(t *testing.T) {
	all := []ledger.Entry{
		{ID: ledger.ID{1, 1}, Outcome: ack, Start: 10, End: 90},
		{ID: ledger.ID{2, 1}, Outcome: ack, Start: 20, End: 40},
		{ID: ledger.ID{2, 2}, Outcome: ack, Start: 50, End: 60},
	}
	lost := map[string]bool{}
	a, err := ledger.Audit(again(all, nil), []ledger.ReadBack{collect(t, "db2", ledger.Recovered, true, ledger.ID{2, 2})},
		ledger.Options{Acknowledged: func(e ledger.Entry, l bool) { lost[e.ID.String()] = l }})
	require.NoError(t, err)
	assert.Equal(t, &timeline.Interval{Lo: 10, Hi: 40}, a.FirstLost)
	assert.Equal(t, &timeline.Interval{Lo: 20, Hi: 90}, a.LastLost)
	assert.Equal(t, map[string]bool{"1:1": true, "2:1": true, "2:2": false}, lost)
}

// What is acknowledged after a reading began is judged by a later one, or by none.
func TestAuditWhileWritesGoOn(t *testing.T) {
	first := collect(t, "db2", ledger.Recovered, true, ones(1)...)
	first.From = 25 // the second attempt's end
	second := collect(t, "db2", ledger.Rejoined, true, ones(1, 2)...)
	second.From = 40
	all := attempts(1, "db2", ack, ack, ack, ack)
	a, err := ledger.Audit(again(all, nil), []ledger.ReadBack{first}, ledger.Options{})
	require.NoError(t, err)
	got, _ := known(a)
	assert.Empty(t, got)
	assert.EqualValues(t, 3, a.Unjudged)
	a, err = ledger.Audit(again(all, nil), []ledger.ReadBack{first, second}, ledger.Options{})
	require.NoError(t, err)
	got, _ = known(a)
	assert.Equal(t, map[string][]string{"lost": {"1:3"}}, got)
	assert.EqualValues(t, 1, a.Unjudged)
}

func TestAuditOfATornFile(t *testing.T) {
	reads := []ledger.ReadBack{collect(t, "db2", ledger.Recovered, true, append(ones(1, 2, 3), ledger.ID{2, 1})...)}
	all := attempts(1, "db1", ack)
	a, err := ledger.Audit(again(all, ledger.ErrTorn), reads, ledger.Options{})
	require.NoError(t, err)
	assert.True(t, a.Torn)
	assert.EqualValues(t, 2, a.InFlight, "one in each lane, the unseen one too")
	assert.Equal(t, []string{"1:3"}, a.Phantom.IDs())
	a, err = ledger.Audit(again(all, ledger.ErrTorn), reads, ledger.Options{InFlight: 2})
	require.NoError(t, err)
	assert.Empty(t, a.Phantom.IDs())
	assert.EqualValues(t, 3, a.InFlight)
}

// Sets are kept in blocks of 65536: nothing may be lost at their edges.
func TestAuditAtTheEdgesOfBlocks(t *testing.T) {
	for n := 65533; n < 65540; n++ {
		outcomes := make([]ledger.Outcome, n)
		for i := range outcomes {
			outcomes[i] = ack
		}
		present := make([]uint64, 0, n)
		for s := range uint64(n) + 3 { // 1 is lost, n+1 and n+2 are phantoms
			if s > 1 {
				present = append(present, s)
			}
		}
		a, err := ledger.Audit(again(attempts(1, "db1", outcomes...), nil),
			[]ledger.ReadBack{collect(t, "db2", ledger.Recovered, true, ones(present...)...)}, ledger.Options{})
		require.NoError(t, err)
		got, _ := known(a)
		phantoms := ledger.Range{Writer: 1, From: uint64(n) + 1, To: uint64(n) + 2}
		assert.Equal(t, map[string][]string{"lost": {"1:1"}, "phantom": {phantoms.String()}}, got, n)
	}
}

func TestAuditErrors(t *testing.T) {
	broken := errors.New("broken disk")
	_, err := ledger.Audit(again(attempts(1, "db1", ack), broken), nil, ledger.Options{})
	require.ErrorIs(t, err, broken)
	_, err = ledger.Audit(again([]ledger.Entry{{ID: ledger.ID{1, 2}}}, nil), nil, ledger.Options{})
	require.ErrorContains(t, err, "dense")
	_, err = ledger.Audit(again[ledger.Entry](nil, nil), make([]ledger.ReadBack, 65), ledger.Options{})
	require.ErrorContains(t, err, "65 readings")
}

func TestAuditListsUpToALimit(t *testing.T) {
	a, err := ledger.Audit(again(attempts(1, "", ack, ack, ack, ack, ack, ack), nil),
		[]ledger.ReadBack{collect(t, "db2", ledger.Recovered, true, ones(2, 4)...)}, ledger.Options{Ranges: 2})
	require.NoError(t, err)
	n, ok := a.Lost.Count()
	assert.True(t, ok)
	assert.EqualValues(t, 4, n, "counts are exact")
	assert.Equal(t, []string{"1:1", "1:3"}, a.Lost.IDs())
	assert.EqualValues(t, 2, a.Lost.More())
}
