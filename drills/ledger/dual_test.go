package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// acked are acknowledgements of writer 1, as member, start and end.
type acked struct {
	member     string
	start, end timeline.Offset
}

func TestAuditDualWrites(t *testing.T) {
	for name, c := range map[string]struct {
		acks    []acked
		want    []string
		windows []ledger.DualWindow
	}{
		"one primary":       {[]acked{{"a", 1, 2}, {"a", 3, 4}}, nil, nil},
		"a clean failover":  {[]acked{{"a", 1, 2}, {"b", 3, 4}, {"b", 5, 6}}, nil, nil},
		"there and back":    {[]acked{{"a", 1, 2}, {"b", 3, 4}, {"a", 5, 6}, {"a", 7, 8}}, nil, nil},
		"sent before":       {[]acked{{"a", 1, 2}, {"b", 3, 6}, {"a", 6, 7}, {"b", 8, 9}}, nil, nil},
		"answered too late": {[]acked{{"a", 1, 2}, {"b", 3, 4}, {"a", 5, 8}, {"b", 8, 9}}, nil, nil},
		"two at once": {
			[]acked{{"a", 1, 2}, {"b", 3, 4}, {"a", 5, 6}, {"b", 7, 8}, {"a", 9, 10}, {"b", 11, 12}, {"a", 13, 14}},
			[]string{"1:3", "1:5"},
			[]ledger.DualWindow{{Predecessor: "a", Successor: "b", Window: timeline.Interval{Lo: 4, Hi: 9}, Writes: 2}},
		},
		"three": {
			[]acked{{"a", 1, 2}, {"b", 3, 4}, {"c", 5, 6}, {"b", 7, 8}, {"a", 9, 10}, {"c", 11, 12}, {"b", 13, 14}},
			[]string{"1:4-5"},
			[]ledger.DualWindow{
				{Predecessor: "a", Successor: "b", Window: timeline.Interval{Lo: 4, Hi: 9}, Writes: 1},
				{Predecessor: "a", Successor: "c", Window: timeline.Interval{Lo: 6, Hi: 9}, Writes: 1},
				{Predecessor: "b", Successor: "c", Window: timeline.Interval{Lo: 6, Hi: 7}, Writes: 1},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var all []ledger.Entry
			for i, a := range c.acks {
				all = append(all, ledger.Entry{
					ID: ledger.ID{Writer: 1, Seq: uint64(i + 1)}, Outcome: ack, Start: a.start, End: a.end, Member: a.member,
				})
			}
			a, err := ledger.Audit(again(all, nil), nil, ledger.Options{})
			require.NoError(t, err)
			n, ok := a.DualWrite.Count()
			assert.True(t, ok)
			assert.Equal(t, append([]string{}, c.want...), a.DualWrite.IDs())
			assert.Equal(t, c.windows, a.Windows)
			assert.Equal(t, n > 0, len(c.want) > 0)

			a, err = ledger.Audit(again(all, nil), nil, ledger.Options{ManyPrimaries: true})
			require.NoError(t, err)
			_, ok = a.DualWrite.Count()
			assert.False(t, ok)
		})
	}
}

func TestAuditDualWritesNeedNames(t *testing.T) {
	a, err := ledger.Audit(again(attempts(1, "", ack, ack), nil), nil, ledger.Options{})
	require.NoError(t, err)
	_, ok := a.DualWrite.Count()
	assert.False(t, ok, "who acknowledged is not known")
}
