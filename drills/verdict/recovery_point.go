package verdict

import (
	"slices"
	"time"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// writesLost puts what a ledger lost down to the measured faults. A lost write
// belongs to the first of them that took effect after it was acknowledged: until
// then it was safe.
type writesLost struct {
	// faults are when they took effect, in order; lost, by fault, contains the moment
	// at which the earliest write was acknowledged that was lost, nil if none was.
	faults []timeline.Interval
	lost   []*timeline.Interval
	// before were acknowledged before the first of the faults could take effect.
	before uint64
}

// newLosses counts from the measured faults of a component. What has none of its own
// is hit by those of others.
func (j *judge) newLosses(component string) *writesLost {
	var own, all []timeline.Interval
	for _, f := range j.faults {
		eff, ok := f.effective()
		if !ok || !f.measured {
			continue
		}
		all = append(all, eff)
		if f.component == component {
			own = append(own, eff)
		}
	}
	if len(own) == 0 {
		own = all
	}
	slices.SortStableFunc(own, func(a, b timeline.Interval) int { return int(a.Lo - b.Lo) })
	return &writesLost{faults: own, lost: make([]*timeline.Interval, len(own))}
}

// add takes an acknowledged write.
func (w *writesLost) add(e ledger.Entry, lost bool) {
	if len(w.faults) == 0 {
		return
	}
	if e.End <= w.faults[0].Lo {
		w.before++
	}
	if !lost {
		return
	}
	i := slices.IndexFunc(w.faults, func(f timeline.Interval) bool { return f.Hi >= e.Start })
	switch {
	case i < 0: // acknowledged after all of them: it makes the recovery point no larger
	case w.lost[i] == nil:
		w.lost[i] = &timeline.Interval{Lo: e.Start, Hi: e.End}
	default:
		w.lost[i].Lo, w.lost[i].Hi = min(w.lost[i].Lo, e.Start), min(w.lost[i].Hi, e.End)
	}
}

// recoveryPoint is the disruption minus the acknowledgement of the earliest lost
// write: how old the oldest thing was that is gone. Of several faults the worst
// counts.
func (w *writesLost) recoveryPoint() *Seconds {
	s := &Seconds{Hi: new(float64)}
	for i, first := range w.lost {
		if first == nil {
			continue
		}
		s.Lo = max(s.Lo, time.Duration(w.faults[i].Lo-first.Hi).Seconds())
		*s.Hi = max(*s.Hi, time.Duration(w.faults[i].Hi-first.Lo).Seconds())
	}
	return s
}
