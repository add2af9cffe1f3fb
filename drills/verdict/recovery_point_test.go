package verdict

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// measured is a fault that took effect within a tenth of a second.
func measured(component string, at timeline.Offset) *fault {
	confirmed := at + second/10
	return &fault{measured: true, component: component, from: at, confirmed: &confirmed}
}

func TestRecoveryPointCountsFromTheFaultThatLostIt(t *testing.T) {
	write := func(at timeline.Offset) ledger.Entry { return ledger.Entry{Start: at, End: at + second/100} }
	for name, c := range map[string]struct {
		faults []*fault
		lost   []timeline.Offset
		lo, hi float64
	}{
		"nothing lost":                         {[]*fault{measured("db", 10*second)}, nil, 0, 0},
		"one fault":                            {[]*fault{measured("db", 10*second)}, []timeline.Offset{9 * second, 8 * second}, 1.99, 2.1},
		"a later one of another component":     {[]*fault{measured("db", 10*second), measured("web", 30*second)}, []timeline.Offset{8 * second}, 1.99, 2.1},
		"a later one of its own":               {[]*fault{measured("db", 10*second), measured("db", 30*second)}, []timeline.Offset{8 * second}, 1.99, 2.1},
		"between two":                          {[]*fault{measured("db", 10*second), measured("db", 30*second)}, []timeline.Offset{29 * second}, 0.99, 1.1},
		"both, and the second is worse":        {[]*fault{measured("db", 10*second), measured("db", 30*second)}, []timeline.Offset{9 * second, 27 * second}, 2.99, 3.1},
		"after all":                            {[]*fault{measured("db", 10*second)}, []timeline.Offset{11 * second}, 0, 0},
		"only another component's is measured": {[]*fault{measured("node", 10*second)}, []timeline.Offset{8 * second}, 1.99, 2.1},
	} {
		t.Run(name, func(t *testing.T) {
			j := &judge{index: &index{faults: c.faults}}
			w := j.newLosses("db")
			for _, at := range c.lost {
				w.add(write(at), true)
			}
			s := w.recoveryPoint()
			assert.InDelta(t, c.lo, s.Lo, 1e-9)
			assert.InDelta(t, c.hi, *s.Hi, 1e-9)
		})
	}
}

func TestAFewWritesMeetNoObjective(t *testing.T) {
	judged := func(before, lost uint64, hi, target float64) ObjectiveResult {
		j := &judge{index: &index{}}
		j.res.Ledgers = []LedgerResult{
			{Name: "busy", Component: "db", Acknowledged: 900, AcknowledgedBefore: 900, RecoveryPoint: &Seconds{Hi: new(float64)}},
			{Name: "orders", Component: "db", Acknowledged: 100, AcknowledgedBefore: before, Lost: lost, RecoveryPoint: &Seconds{Lo: hi, Hi: &hi}},
		}
		o := ObjectiveResult{Name: "rpo", Component: "db", Target: target, Verdict: Inconclusive}
		j.judgeRPO(&o)
		return o
	}
	assert.Equal(t, Met, judged(minWrites, 0, 0, 0).Verdict)
	few := judged(minWrites-1, 0, 0, 0)
	assert.Equal(t, Inconclusive, few.Verdict)
	assert.Equal(t, "0 of 1,000 acknowledged writes lost; ledger orders has 9 acknowledged writes from before the fault, want at least 10: hardly anything was there to be lost", few.Why)
	assert.Equal(t, Inconclusive, judged(0, 1, 1, 5).Verdict)
	assert.Equal(t, Missed, judged(0, 1, 1, 0).Verdict, "a loss is proven by one write")
	assert.Equal(t, Missed, judged(0, 1, 6, 5).Verdict)
}

func TestWritesBeforeTheFaultAreCounted(t *testing.T) {
	j := &judge{index: &index{faults: []*fault{measured("web", second), measured("db", 10*second), measured("db", 20*second)}}}
	w := j.newLosses("db")
	for _, end := range []timeline.Offset{2 * second, 10 * second, 10*second + 1, 15 * second} {
		w.add(ledger.Entry{Start: end - timeline.Offset(time.Millisecond), End: end}, false)
	}
	require.EqualValues(t, 2, w.before)
}
