package verdict

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// of is a run with a recovery time of each of two components; below 0 is none.
func of(verdict string, a, b float64) Result {
	r := Result{Verdict: verdict, Valid: true, Faults: []FaultResult{{}}}
	for i, s := range []float64{a, b} {
		o := ObjectiveResult{Name: "rto", Component: []string{"a", "b"}[i], Actual: &Seconds{Lo: s / 2, Hi: &s}}
		if s < 0 {
			o.Actual = &Seconds{Lo: 30}
		}
		r.Objectives = append(r.Objectives, o)
	}
	return r
}

func TestDistributionHasOneValueOfEachRunAndComponent(t *testing.T) {
	// In the second, the target lies within the bounds: it is measured all the same.
	d := Distribute([]Result{of(Met, 1, 10), of(Inconclusive, 3, 30), of(Missed, 2, 20), {Verdict: Aborted}})
	assert.Equal(t, 4, d.Runs)
	require.Len(t, d.Recovery, 2)
	a, b := d.Recovery[0], d.Recovery[1]
	assert.Equal(t, []float64{1, 2, 3}, a.RTO)
	assert.Equal(t, []float64{10, 20, 30}, b.RTO)
	assert.InDelta(t, 20, *b.Median, 0)
	assert.InDelta(t, 30, *b.Worst, 0)
	assert.InDelta(t, math.Pow(0.05, 1./3), *a.Quantile, 1e-12, "of three runs, not of six objectives")
}

func TestRunsThatDidNotRecoverBoundNothing(t *testing.T) {
	d := Distribute([]Result{of(Met, 1, 1), of(Met, 2, 2), of(Missed, -1, 3)})
	a, b := d.Recovery[0], d.Recovery[1]
	assert.Equal(t, 1, a.Unrecovered)
	assert.Nil(t, a.Quantile)
	assert.InDelta(t, 2, *a.Median, 0, "it took longer than any")
	assert.NotNil(t, b.Quantile, "the other component recovered each time")

	invalid := of(Inconclusive, 4, 4)
	invalid.Valid = false
	d = Distribute([]Result{of(Met, 1, 1), invalid})
	assert.Equal(t, []float64{1}, d.Recovery[0].RTO)
	assert.Equal(t, 1, d.Recovery[0].Unmeasured)
	assert.Nil(t, d.Recovery[0].Quantile)

	d = Distribute([]Result{of(Missed, -1, -1), of(Missed, -1, -1), of(Met, 1, 1)})
	assert.Nil(t, d.Recovery[0].Median)
}

func TestDistributionCountsAllLosses(t *testing.T) {
	r := of(Met, 1, 1)
	r.Ledgers = []LedgerResult{
		{Acknowledged: 100, Lost: 2, Vanished: 3, RecoveryPoint: &Seconds{}},
		{Acknowledged: 100}, // nobody knows
	}
	d := Distribute([]Result{r})
	assert.Equal(t, [2]uint64{5, 100}, [2]uint64{d.Lost, d.Acked})
	assert.Equal(t, 1, d.Unaccounted)
}
