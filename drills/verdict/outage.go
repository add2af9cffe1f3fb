package verdict

import (
	"cmp"
	"math"
	"time"

	"firedrill/drills/timeline"
)

// Readings are the samples of one series, and what must be known to read them.
type Readings struct {
	// Samples are ordered by ByStart.
	Samples []timeline.Sample
	// Gaps are the stretches in which the runner did not run, in any order.
	Gaps []timeline.Gap
	// Every and Timeout are those of the series.
	Every, Timeout time.Duration
}

// ByStart orders the samples of one series.
func ByStart(a, b timeline.Sample) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.N, b.N))
}

// Downtime is one outage of one series.
type Downtime struct {
	// Start contains the moment from which the service was down.
	Start timeline.Interval
	// Open tells that no good sample came before: the service may have been down
	// since before Start.Lo, which is then the start of the first sample.
	Open bool
	// End contains the moment from which it was up again; without Ended, there is
	// no upper bound and End.Hi is meaningless.
	End   timeline.Interval
	Ended bool
	// Bad is the number of bad samples, Class the most frequent class of them.
	Bad   int
	Class timeline.Class
}

// Length returns the bounds of the outage's length; bounded tells whether there
// is an upper one.
func (d Downtime) Length() (lo, hi time.Duration, bounded bool) {
	lo = time.Duration(max(0, d.End.Lo-d.Start.Hi))
	if d.Open || !d.Ended {
		return lo, 0, false
	}
	return lo, time.Duration(d.End.Hi - d.Start.Lo), true
}

// never is the end of what has not ended.
const never = timeline.Offset(math.MaxInt64)

// Outages returns the outages of a series, in order. Nothing is assumed about
// the order in which overlapping samples reached the service; all that is used is
//
//   - a good sample proves that at some moment between its start and its end the
//     service was up;
//   - a bad sample proves that at some moment between its start and its end the
//     service was down, and if it took much longer than good ones do, then at some
//     moment before it had taken that long (see trips);
//   - no data, and what the runner's own absence can explain (timeline.Sample.Away),
//     prove nothing.
//
// Bad samples belong to one outage unless a good one certainly lies between them:
// started when all bad ones before were certainly settled, and answered before
// the next one started. So an outage
//
//   - starts after the start of the last good sample that was answered before
//     its first bad one started, and before the earliest of its bad samples was settled;
//   - ends after its last bad sample started, and before the earliest answer to a
//     good sample that started when all of its bad ones were settled.
//
// A good sample that was sent during the outage and answered after it (a server
// that hangs, then answers) thus neither splits the outage nor bounds it from the
// wrong side; such an outage ends between its last timeout's start and the answer:
// whether the service that makes a client wait for less than the timeout is down
// is a matter of definition, and both answers are inside. Bounds widen by
// themselves where the runner was away, for want of samples. Up to the order of a
// microsecond's rounding of clocks, the bounds contain the truth as long as a
// request to a service that is up is answered within the bound that trips keeps.
func (r Readings) Outages() []Downtime {
	out, _ := r.read()
	return out
}

// read returns the outages, and the samples that prove the service down, by index.
func (r Readings) read() (out []Downtime, bad []int) {
	sw := sweep{Readings: r, gaps: merge(r.Gaps), trips: newTrips(r.Every)}
	for i, s := range r.Samples {
		switch {
		case s.Class.Good():
			sw.good(s)
		case s.Class.Bad() && sw.bad(i, s):
			bad = append(bad, i)
		}
	}
	sw.close()
	return sw.out, bad
}

// sweep walks the samples in the order of their starts.
type sweep struct {
	Readings
	gaps  gaps
	trips trips
	cur   *cluster // nil before the first bad sample
	out   []Downtime
}

// cluster is the outage that the sweep is at.
type cluster struct {
	Downtime
	// within is how soon a good answer would have come.
	within time.Duration
	// settled is when all of its bad samples were settled.
	settled timeline.Offset
	// seen is the earliest end of a bad sample, inferred the earliest moment at
	// which one was settled without having ended.
	seen, inferred timeline.Offset
	// overtook is the earliest end of a good sample since inferred was set.
	overtook timeline.Offset
	classes  map[timeline.Class]int
}

// good takes a good sample.
func (sw *sweep) good(s timeline.Sample) {
	if c := sw.cur; c != nil {
		if s.Start >= c.settled {
			c.Ended = true
			c.End.Hi = min(c.End.Hi, s.End)
		}
		c.overtook = min(c.overtook, s.End)
		if s.Start < c.End.Hi {
			return // it may have waited for the end of the outage
		}
	}
	if sw.gaps.within(s.Start, s.End) == 0 {
		sw.trips.add(s)
	}
}

// bad takes sample i, a bad one, and tells whether it proves anything.
func (sw *sweep) bad(i int, s timeline.Sample) bool {
	if sw.cur != nil && sw.cur.End.Hi <= s.Start {
		sw.close()
	}
	c := sw.cur
	if c == nil {
		c = sw.begin(i)
	}
	if sw.gaps.away(s, c.within, sw.Timeout) {
		return false
	}
	sw.cur = c
	c.settle(s, sw.gaps.settled(s, c.within))
	c.End = timeline.Interval{Lo: s.Start, Hi: never}
	c.Ended = false
	c.Bad++
	c.classes[s.Class]++
	if c.classes[s.Class] > c.classes[c.Class] {
		c.Class = s.Class
	}
	return true
}

// settle takes the moment at which a bad sample of the outage was settled. What
// was inferred from a sample that took too long is dropped when a good sample
// overtook it: the service was up after all, and it was that one request that lagged.
func (c *cluster) settle(s timeline.Sample, at timeline.Offset) {
	if c.overtook <= s.Start {
		c.inferred, c.overtook = never, never
	}
	c.seen = min(c.seen, s.End)
	c.inferred = min(c.inferred, at)
	c.settled = max(c.settled, at)
	c.Start.Hi = min(c.seen, c.inferred)
}

// begin returns the outage that begins with sample i.
func (sw *sweep) begin(i int) *cluster {
	first := sw.Samples[i].Start
	c := &cluster{
		within: sw.trips.bound(first, sw.late(i)),
		seen:   never, inferred: never, overtook: never,
		classes: map[timeline.Class]int{},
	}
	c.Start.Lo = sw.Samples[0].Start
	c.End.Hi = never
	c.Open = true
	for j := i - 1; j >= 0; j-- {
		if g := sw.Samples[j]; g.Class.Good() && g.End <= first {
			c.Start.Lo, c.Open = g.Start, false
			break
		}
	}
	return c
}

// late returns the largest lateness of a sample around sample i: the runner is as
// likely to lose that time after a start as before it.
func (sw *sweep) late(i int) (late time.Duration) {
	for _, s := range sw.Samples[max(0, i-lateAround):min(len(sw.Samples), i+lateAround)] {
		if sw.gaps.within(s.Due, s.Start) == 0 { // gaps are counted by themselves
			late = max(late, time.Duration(s.Start-s.Due))
		}
	}
	return late
}

// lateAround is how many samples before and after count for late.
const lateAround = 10

// close adds the outage that the sweep is at to those found.
func (sw *sweep) close() {
	if c := sw.cur; c != nil {
		sw.trips.forget(c.Start.Lo, c.End.Hi)
		sw.out = append(sw.out, c.Downtime)
		sw.cur = nil
	}
}
