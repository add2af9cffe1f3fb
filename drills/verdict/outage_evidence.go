package verdict

import (
	"cmp"
	"math"
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// gaps are the stretches in which the runner did not run: ordered, disjoint.
type gaps []timeline.Gap

// merge returns the gaps in order, overlapping ones as one.
func merge(in []timeline.Gap) gaps {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b timeline.Gap) int { return cmp.Compare(a.From, b.From) })
	var out gaps
	for _, g := range in {
		if n := len(out); n > 0 && g.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, g.To)
		} else {
			out = append(out, g)
		}
	}
	return out
}

// after returns the gaps that end after from.
func (gs gaps) after(from timeline.Offset) gaps {
	i, _ := slices.BinarySearchFunc(gs, from, func(g timeline.Gap, o timeline.Offset) int {
		return cmp.Compare(g.To, o+1)
	})
	return gs[i:]
}

// within returns for how long the runner did not run between from and to.
func (gs gaps) within(from, to timeline.Offset) time.Duration {
	var sum time.Duration
	for _, g := range gs.after(from) {
		if g.From >= to {
			break
		}
		sum += g.Within(from, to)
	}
	return sum
}

// away tells whether a bad sample says nothing because the runner was away. It
// was not if it listened without a pause for as long as a good answer takes
// (within): what it slept through after that does not matter. It was, whatever
// its heartbeat says, if it noticed the deadline much too late: then it had no
// CPU to read an answer either.
func (gs gaps) away(s timeline.Sample, within, timeout time.Duration) bool {
	deadline := s.Start + timeline.Offset(timeout)
	late := time.Duration(s.End-2*s.Error-deadline) - gs.within(deadline, s.End)
	if s.Class.Silent() && late > max(timeout/10, 20*time.Millisecond) {
		return true
	}
	if slow(s, within) && gs.within(s.Start, s.Start+timeline.Offset(within)) == 0 {
		return false
	}
	return s.Away(gs.within(s.Start, s.End), timeout)
}

// slow tells whether a bad sample took more than twice as long as a good answer.
func slow(s timeline.Sample, within time.Duration) bool {
	return within < time.Duration(s.End-s.Start)/2
}

// settled returns a moment before which the service was certainly down, after
// the bad sample's start. That is the sample's end. But if it took more than
// twice as long as a good answer would have (within), it is the moment at which
// a good answer would have been there: a request that reaches a service that is
// up, and stays up, is answered by then; this one was not. Whatever the runner
// slept through in that time is added, as the request may have left, and the
// answer may have been read, only after it.
func (gs gaps) settled(s timeline.Sample, within time.Duration) timeline.Offset {
	if !slow(s, within) {
		return s.End
	}
	at := s.Start + timeline.Offset(within) + 2*s.Error // it may have started later
	for _, g := range gs.after(s.Start) {
		if g.From > at {
			break
		}
		at += g.To - max(g.From, s.Start)
	}
	return min(at, s.End)
}

// trips keeps the latest good round trips of a series and derives from them how
// long a service that is up takes to answer at most: as long as the longest of
// them, and for what was not seen yet a quarter of the rhythm, or as long as the
// runner is late just then, if that is more. Samples that the runner slept through, or that may have
// waited for the end of an outage, are not among them. A long one makes bounds
// wider, never wrong.
type trips struct {
	margin time.Duration
	latest []timeline.Sample
}

// How many round trips are kept, and how few are too few to judge by.
const (
	tripsKept   = 1000
	tripsNeeded = 20
)

func newTrips(every time.Duration) trips { return trips{margin: every / 4} }

// add takes a good sample.
func (t *trips) add(s timeline.Sample) {
	if len(t.latest) >= 2*tripsKept {
		t.latest = slices.Delete(t.latest, 0, tripsKept)
	}
	t.latest = append(t.latest, s)
}

// bound returns the longest that a good answer takes, judged by what was
// answered before the given moment and by how late the runner was around it;
// without enough answers there is no bound.
func (t *trips) bound(before timeline.Offset, late time.Duration) time.Duration {
	var longest timeline.Offset
	n := 0
	for _, s := range slices.Backward(t.latest) {
		if n == tripsKept {
			break
		}
		if s.End <= before {
			longest = max(longest, s.End-s.Start)
			n++
		}
	}
	if n < tripsNeeded {
		return math.MaxInt64
	}
	return time.Duration(longest) + max(t.margin, late)
}

// forget drops the samples that were under way in an outage.
func (t *trips) forget(from, to timeline.Offset) {
	t.latest = slices.DeleteFunc(t.latest, func(s timeline.Sample) bool {
		return s.Start > from && s.Start < to
	})
}
