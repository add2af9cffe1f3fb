package verdict

import (
	"time"

	"firedrill/drills/timeline"
)

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
