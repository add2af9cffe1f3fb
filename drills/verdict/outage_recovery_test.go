package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

var stable = timeline.Stable{For: 500 * time.Millisecond, Samples: 10, Share: 0.9}

func window(until timeline.Offset) verdict.Window {
	return verdict.Window{Disruption: between(2480, 2490), Until: until * ms}
}

func requireTime(t *testing.T, lo, hi int, got verdict.RecoveryTime) {
	t.Helper()
	require.True(t, got.Recovered, "%+v", got)
	require.Equal(t, time.Duration(lo)*time.Millisecond, got.Lo)
	require.Equal(t, time.Duration(hi)*time.Millisecond, got.Hi)
}

func TestRecoveryCountsFromTheDisruption(t *testing.T) {
	got := newPlan(100).fill(50, 60, timeline.Refused, ms).readings().Recovery(window(0), stable, 0)
	requireTime(t, 2950-2490, 3002-2480, got)
	require.Len(t, got.Outages, 1)
	require.Equal(t, between(2950, 3002), got.End)
	require.Equal(t, 3502*ms, got.StableAt)
}

// A fault may show late, after a stretch that looks stable: the last outage counts.
func TestRecoveryIsTheEndOfTheLastOutage(t *testing.T) {
	p := newPlan(200).fill(50, 52, timeline.Refused, ms).fill(100, 120, timeline.Reset, ms)
	got := p.readings().Recovery(window(0), stable, 0)
	requireTime(t, 5950-2490, 6002-2480, got)
	require.Len(t, got.Outages, 2)
}

// What begins after the window has another cause, and does not undo a proof that
// was complete before; without one, there is no recovery.
func TestRecoveryEndsWithItsWindow(t *testing.T) {
	p := newPlan(200).fill(50, 60, timeline.Refused, ms).fill(100, 120, timeline.Reset, ms)
	got := p.readings().Recovery(window(4960), stable, 0)
	requireTime(t, 460, 522, got)
	require.Len(t, got.Outages, 1)

	p = newPlan(200).fill(50, 60, timeline.Refused, ms).fill(65, 80, timeline.Reset, ms)
	w := window(3220)
	requireTime(t, 460, 522, p.readings().Recovery(w, stable, 0))
	w.By = 3220 * ms
	got = p.readings().Recovery(w, stable, 0)
	require.False(t, got.Recovered, "not stable before the revert")
	require.Equal(t, 460*time.Millisecond, got.Lo)
}

func TestOutageThatNeverEndsIsNoRecovery(t *testing.T) {
	got := newPlan(100).fill(50, 100, timeline.Refused, ms).readings().Recovery(window(0), stable, 0)
	require.False(t, got.Recovered)
	require.Equal(t, (4950-2490)*time.Millisecond, got.Lo)
}

func TestOutagesBeforeTheDisruptionDoNotCount(t *testing.T) {
	p := newPlan(100).fill(10, 20, timeline.Refused, ms)
	require.Empty(t, p.readings().Recovery(window(0), stable, 0).Outages)
	p.fill(45, 60, timeline.Refused, ms)
	require.Len(t, p.readings().Recovery(window(0), stable, 0).Outages, 1, "it lasts into the window")
}

// No outage seen is a result: 0, and at most what the samples can have missed.
func TestNoOutageIsRecoveryTimeZeroWithABound(t *testing.T) {
	requireTime(t, 0, 102, newPlan(100).readings().Recovery(window(0), stable, 0))
	p := newPlan(100).fill(52, 55, timeline.NoData, 0)
	got := p.readings().Recovery(window(0), timeline.Stable{For: stable.For, Samples: 10}, 0)
	requireTime(t, 0, 202, got)
	require.False(t, newPlan(55).readings().Recovery(window(0), stable, 0).Recovered, "too short a look")
	require.False(t, newPlan(100).fill(50, 100, timeline.NoData, 0).readings().Recovery(window(0), stable, 0).Recovered)
}

// Enough good samples, for long enough, often enough, without a hole.
func TestStabilityMustBeProven(t *testing.T) {
	short := newPlan(70).fill(50, 60, timeline.Refused, ms)
	require.False(t, short.readings().Recovery(window(0), stable, 0).Recovered)

	many := timeline.Stable{For: stable.For, Samples: 30, Share: 0.9}
	got := newPlan(100).fill(50, 60, timeline.Refused, ms).readings().Recovery(window(0), many, 0)
	require.Equal(t, 4452*ms, got.StableAt)

	hole := newPlan(120).fill(50, 60, timeline.Refused, ms).fill(65, 70, timeline.NoData, 0)
	got = hole.readings().Recovery(window(0), stable, 0)
	require.Equal(t, 4002*ms, got.StableAt, "it starts over after the hole")
	requireTime(t, 460, 522, got)

	thin := newPlan(200).fill(50, 60, timeline.Refused, ms)
	for i := 60; i < 140; i += 2 {
		thin.set(i, timeline.NoData, 0)
	}
	got = thin.readings().Recovery(window(0), stable, 0)
	require.Greater(t, got.StableAt, 7000*ms, "half of the rate is too little")
	require.True(t, got.Recovered)
	require.Less(t, thin.readings().Recovery(window(0), stable, 10).StableAt, 4500*ms, "unless the baseline was no better")
}

func TestAttribution(t *testing.T) {
	p := newPlan(300).fill(20, 22, timeline.Refused, ms).fill(50, 60, timeline.Refused, ms).
		fill(100, 110, timeline.Refused, ms).fill(150, 160, timeline.Refused, ms).fill(200, 210, timeline.Refused, ms)
	outages := p.readings().Outages()
	causes := []verdict.Cause{
		{Name: "A", Kind: verdict.CauseFault, At: between(2480, 2490)},
		{Name: "promote", Kind: verdict.CauseRemedy, At: between(4990, 6000)},
		{Name: "A", Kind: verdict.CauseRevert, At: between(9990, 9999)},
		{Name: "B", Kind: verdict.CauseFault, At: between(7495, 7500)},
	}
	got := verdict.Attribute(outages, causes)
	require.Equal(t, []verdict.Cause{{}, causes[0], causes[1], causes[3], causes[2]}, got)

	a, b := verdict.WindowOf(causes, 0), verdict.WindowOf(causes, 3)
	require.Equal(t, verdict.Window{Disruption: between(2480, 2490), Until: 7495 * ms}, a)
	require.Equal(t, verdict.Window{Disruption: between(7495, 7500), Until: 9990 * ms}, b)
	require.Equal(t, outages[1:3], p.readings().Recovery(a, stable, 0).Outages, "what a remedy brings about is the fault's")
	require.Equal(t, outages[3:4], p.readings().Recovery(b, stable, 0).Outages, "what the revert brings about is not")
}
