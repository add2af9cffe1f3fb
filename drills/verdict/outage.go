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
// themselves where the runner was away, for want of samples. They contain the
// truth as long as a request to a service that is up is answered within the bound
// that trips keeps.
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
