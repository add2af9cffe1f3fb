package vantage

import (
	"slices"
	"time"

	"firedrill/drills/timeline"
)

const (
	// drift bounds by how much the rates of two monotonic clocks differ: quartz keeps
	// to 100 parts in a million each, and the rest is for what sets the hosts' clocks
	// right. A clock that does not keep to it is found out, see Strayed.
	drift = 500e-6
	// remember is for how long a bound is kept: after that, a younger one is better.
	remember = 10 * time.Second
)

// Relation says where moments of another process's clock lie on the runner's own. It
// knows bounds only: what the runner read before the other clock was read, and what it
// read after. How long a message takes on which way does not matter to them. Between
// exchanges, bounds widen by as much as the clocks can drift apart.
// The zero Relation knows nothing yet.
type Relation struct {
	lower, upper []bound
	// slack is by how much the clocks were found to contradict the bounds, so far.
	slack timeline.Offset
}

// bound says that when the other clock showed at, the runner's was ahead of it by more
// (or less) than ahead.
type bound struct{ at, ahead timeline.Offset }

// widened is the bound, as it is worth at another moment.
func (b bound) widened(at timeline.Offset) timeline.Offset {
	return timeline.Offset(drift * float64(max(at-b.at, b.at-at)))
}

// After takes that the other clock showed at when the runner's already was at or past
// before.
func (r *Relation) After(before, at timeline.Offset) {
	r.lower = keep(r.lower, bound{at: at, ahead: before - at})
}

// Before takes that the other clock showed at when the runner's was not yet past after.
func (r *Relation) Before(at, after timeline.Offset) {
	r.upper = keep(r.upper, bound{at: at, ahead: after - at})
}

// keep adds a bound and drops those that are too old to be of use.
func keep(bs []bound, b bound) []bound {
	bs = slices.DeleteFunc(bs, func(o bound) bool { return b.at-o.at > timeline.Offset(remember) })
	return append(bs, b)
}

// At returns what contains a moment of the other clock, on the runner's; ok is false
// before the first exchange.
func (r *Relation) At(o timeline.Offset) (i timeline.Interval, ok bool) {
	if len(r.lower) == 0 || len(r.upper) == 0 {
		return i, false
	}
	for n, b := range r.lower {
		if v := o + b.ahead - b.widened(o); n == 0 || v > i.Lo {
			i.Lo = v
		}
	}
	for n, b := range r.upper {
		if v := o + b.ahead + b.widened(o); n == 0 || v < i.Hi {
			i.Hi = v
		}
	}
	return timeline.Interval{Lo: i.Lo - r.slack, Hi: i.Hi + r.slack}, true
}

// Strayed looks whether the bounds still agree at a moment. If they do not, the clocks
// drifted faster than can be, or one of them jumped: it returns by how much, forgets
// what was before, and is wider by that from now on.
func (r *Relation) Strayed(at timeline.Offset) (by time.Duration) {
	i, ok := r.At(at)
	if !ok || i.Lo <= i.Hi {
		return 0
	}
	stray := i.Lo - i.Hi
	r.slack += stray
	r.lower, r.upper = r.lower[len(r.lower)-1:], r.upper[len(r.upper)-1:]
	return time.Duration(stray)
}

// Error returns by how much a moment may lie to either side of the middle.
func (r *Relation) Error(at timeline.Offset) time.Duration {
	i, _ := r.At(at)
	return i.Width() / 2
}

// Sample moves a sample to the runner's clock: start and end are moved apart by as much
// as is not known of the other clock, so that the truth stays inside. heard is when the
// sample was there: it cannot have ended later.
func (r *Relation) Sample(s timeline.Sample, heard timeline.Offset) timeline.Sample {
	start, _ := r.At(s.Start)
	end, _ := r.At(s.End)
	if s.Class == timeline.NoData {
		s.Due = start.Lo
		s.Start, s.End = s.Due, s.Due
		return s
	}
	late, took := s.Start-s.Due, s.End-s.Start
	s.Start, s.End = start.Lo, max(min(end.Hi, heard), start.Lo+took)
	s.Due = s.Start - late
	s.Error = (s.End - s.Start - took + 1) / 2
	return s
}

// Gap moves a stretch in which the other process did not run; it contains the true one.
func (r *Relation) Gap(g timeline.Gap) timeline.Gap {
	from, _ := r.At(g.From)
	to, _ := r.At(g.To)
	g.From, g.To = from.Lo, to.Hi
	return g
}
