package verdict_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// plan makes a series with a sample every 50 ms, all of them good after 2 ms,
// and then changes some.
type plan []timeline.Sample

func newPlan(n int) plan {
	p := make(plan, n)
	for i := range p {
		p.set(i, timeline.OK, 2*ms)
	}
	return p
}

func (p plan) set(i int, c timeline.Class, took timeline.Offset) {
	due := timeline.Offset(i) * 50 * ms
	p[i] = timeline.Sample{N: int64(i), Due: due, Start: due, End: due + took, Class: c}
}

// fill sets the samples from i up to, not including, to.
func (p plan) fill(i, to int, c timeline.Class, took timeline.Offset) plan {
	for ; i < to; i++ {
		p.set(i, c, took)
	}
	return p
}

func (p plan) readings(gaps ...timeline.Gap) verdict.Readings {
	return verdict.Readings{Samples: p, Gaps: gaps, Every: 50 * time.Millisecond, Timeout: time.Second}
}

func between(lo, hi timeline.Offset) timeline.Interval {
	return timeline.Interval{Lo: lo * ms, Hi: hi * ms}
}

func TestOutageBounds(t *testing.T) {
	p := newPlan(100).fill(50, 60, timeline.Refused, ms)
	p.set(55, timeline.Reset, ms)
	got := p.readings().Outages()
	require.Equal(t, []verdict.Downtime{{
		Start: between(2450, 2501), End: between(2950, 3002), Ended: true, Bad: 10, Class: timeline.Refused,
	}}, got)
	lo, hi, bounded := got[0].Length()
	require.True(t, bounded)
	require.Equal(t, []time.Duration{449 * time.Millisecond, 552 * time.Millisecond}, []time.Duration{lo, hi})
}

func TestNoOutageWithoutBadSamples(t *testing.T) {
	require.Empty(t, verdict.Readings{}.Outages())
	require.Empty(t, newPlan(100).fill(50, 60, timeline.NoData, 0).readings().Outages())
}

// The first sample is bad, and so is the last: no bound on that side.
func TestOutageAtTheEdgesOfTheSeries(t *testing.T) {
	got := newPlan(100).fill(0, 3, timeline.Refused, ms).fill(90, 100, timeline.Refused, ms).readings().Outages()
	require.Len(t, got, 2)
	require.True(t, got[0].Open)
	require.Equal(t, between(0, 1), got[0].Start)
	_, _, bounded := got[0].Length()
	require.False(t, bounded)
	require.False(t, got[1].Ended)
	require.Equal(t, 4950*ms, got[1].End.Lo)
	lo, _, bounded := got[1].Length()
	require.False(t, bounded)
	require.Equal(t, 449*time.Millisecond, lo)
}

func TestFlapsAreSeparateOutages(t *testing.T) {
	p := newPlan(100).fill(50, 60, timeline.Refused, ms)
	p.set(53, timeline.OK, 2*ms)
	p.set(57, timeline.NoData, 0)
	got := p.readings().Outages()
	require.Len(t, got, 2, "one good sample parts them, no data does not")
	require.Equal(t, between(2600, 2652), got[0].End)
	require.Equal(t, between(2650, 2701), got[1].Start)
}

// Hung samples end long after later good ones; the outage starts when the first
// of them would have been answered, not when it timed out.
func TestTimeoutsStartAtTheirRoundTripNotAtTheirDeadline(t *testing.T) {
	got := newPlan(100).fill(50, 56, timeline.Timeout, 1000*ms).readings().Outages()
	require.Len(t, got, 1)
	// 2 ms, the longest good round trip, and a quarter of the rhythm.
	require.Equal(t, timeline.Interval{Lo: 2450 * ms, Hi: 2500*ms + 14*ms + ms/2}, got[0].Start)
	require.Equal(t, between(2750, 2802), got[0].End)
}

func TestTooFewRoundTripsAreNoMeasure(t *testing.T) {
	got := newPlan(60).fill(15, 20, timeline.Timeout, 1000*ms).readings().Outages()
	require.Len(t, got, 1)
	require.Equal(t, between(700, 1750), got[0].Start)
	require.Equal(t, between(950, 1952), got[0].End, "a good sample counts once all bad ones are settled")
}

// A server that hangs, then answers: the answers neither split the outage nor
// bound it from the wrong side.
func TestAnswersThatWaitedForTheEnd(t *testing.T) {
	p := newPlan(100).fill(50, 60, timeline.Timeout, 1000*ms)
	for i := 60; i < 80; i++ { // all answered at 4 s
		p.set(i, timeline.OK, 4000*ms-p[i].Start+ms)
	}
	got := p.readings().Outages()
	require.Len(t, got, 1)
	require.Equal(t, between(2950, 4001), got[0].End)

	p = newPlan(100).fill(50, 60, timeline.Reset, ms)
	p.set(50, timeline.OK, 600*ms) // sent in the outage, answered after it
	p.set(55, timeline.OK, 400*ms)
	got = p.readings().Outages()
	require.Len(t, got, 1)
	require.Equal(t, between(2450, 2551), got[0].Start)
	require.Equal(t, between(2950, 3002), got[0].End)
}

// One request that lags while a later one is answered does not date the outage.
func TestGoodSampleThatOvertakesDropsWhatWasInferred(t *testing.T) {
	p := newPlan(100).fill(50, 56, timeline.Timeout, 1000*ms)
	p[48].End = p[48].Start + 45*ms // so that a good answer may take 57.5 ms
	p.set(51, timeline.OK, 2*ms)
	got := p.readings().Outages()
	require.Len(t, got, 1)
	require.Equal(t, timeline.Interval{Lo: 2450 * ms, Hi: 2600*ms + 57*ms + ms/2}, got[0].Start)
}

// A request that hung in one outage is no measure of how fast the next ones are answered.
func TestAnswersThatWaitedDoNotWidenLaterOutages(t *testing.T) {
	p := newPlan(200).fill(50, 60, timeline.Refused, ms).fill(150, 160, timeline.Timeout, 1000*ms)
	p.set(49, timeline.OK, 700*ms)
	got := p.readings().Outages()
	require.Len(t, got, 2)
	require.Equal(t, timeline.Interval{Lo: 7450 * ms, Hi: 7500*ms + 14*ms + ms/2}, got[1].Start)
}

func TestGapsWidenTheBounds(t *testing.T) {
	// The runner sleeps from 2.3 to 2.7 s: nothing is due in it that is not missed.
	p := newPlan(100).fill(46, 54, timeline.NoData, 0).fill(54, 60, timeline.Refused, ms)
	got := p.readings(timeline.Gap{From: 2295 * ms, To: 2700 * ms}).Outages()
	require.Equal(t, between(2250, 2701), got[0].Start)

	// It sleeps for 40 ms just when the first answer should have come.
	p = newPlan(100).fill(50, 60, timeline.Timeout, 1000*ms)
	got = p.readings(timeline.Gap{From: 2510 * ms, To: 2550 * ms}).Outages()
	require.Equal(t, timeline.Interval{Lo: 2450 * ms, Hi: 2500*ms + 54*ms + ms/2}, got[0].Start)
}

// What timed out because the runner was stopped is no data; what had no answer
// long before it was stopped is not, and a refusal never is.
func TestTimeoutsOfAStoppedRunnerAreNoData(t *testing.T) {
	stop := timeline.Gap{From: 2505 * ms, To: 4600 * ms}
	p := newPlan(120).fill(51, 92, timeline.NoData, 0)
	p.set(50, timeline.Timeout, 2100*ms)
	require.Empty(t, p.readings(stop).Outages())
	p.set(50, timeline.Reset, 2100*ms)
	require.Empty(t, p.readings(stop).Outages())
	p.set(50, timeline.Refused, 2100*ms)
	require.Len(t, p.readings(stop).Outages(), 1)
	p.set(50, timeline.OK, 2*ms)
	p.set(45, timeline.Timeout, 2350*ms) // unanswered for 255 ms before the stop
	require.Len(t, p.readings(stop).Outages(), 1)
}

// A runner that noticed the deadline far too late had no CPU to read an answer.
func TestTimeoutsNoticedLateAreNoData(t *testing.T) {
	require.Empty(t, newPlan(100).fill(50, 52, timeline.Timeout, 1101*ms).readings().Outages())
	require.Len(t, newPlan(100).fill(50, 52, timeline.Timeout, 1100*ms).readings().Outages(), 1)
	late := newPlan(100).fill(50, 52, timeline.Timeout, 1500*ms) // but for a pause after the deadline
	require.Len(t, late.readings(timeline.Gap{From: 3510 * ms, To: 4020 * ms}).Outages(), 1)
}

func TestOrderOfGapsDoesNotMatter(t *testing.T) {
	p := newPlan(100).fill(50, 60, timeline.Timeout, 1000*ms)
	gaps := []timeline.Gap{{From: 2505 * ms, To: 2530 * ms}, {From: 2520 * ms, To: 2540 * ms}, {From: 4200 * ms, To: 4300 * ms}}
	want := p.readings(gaps...).Outages()
	slices.Reverse(gaps)
	require.Equal(t, want, p.readings(gaps...).Outages())
}
