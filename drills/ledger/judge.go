package ledger

import (
	"fmt"

	"firedrill/drills/timeline"
)

// entry accounts for one attempt.
func (a *audit) entry(e *Entry) error {
	l := a.lane(e.ID.Writer)
	if e.ID.Seq != l.last+1 || e.ID.Writer == 0 {
		return fmt.Errorf("attempt %v comes after %d:%d: sequences must be dense", e.ID, e.ID.Writer, l.last)
	}
	l.last = e.ID.Seq
	present := l.present(e.ID.Seq)
	var judged mask
	for i := range a.reads {
		if from := a.reads[i].From; from == 0 || e.End < from {
			judged |= 1 << i
		}
	}
	a.out.Attempted++
	switch e.Outcome {
	case Acknowledged:
		a.out.Acknowledged++
		a.reigns.acknowledged(e)
		a.acknowledged(e, present, judged)
	case Rejected:
		a.out.Rejected++
		if present.has(a.recovered) || present.has(a.rejoined) {
			a.rejectedPresent.add(e.ID)
		}
	default:
		a.indeterminate.add(e.ID)
		if present.has(a.recovered) || !judged.has(a.recovered) && present.has(a.rejoined) {
			a.out.IndeterminatePresent++
		}
	}
	if present != 0 && present != a.all {
		a.compare(e.ID, present, judged)
	}
	return nil
}

// acknowledged tells lost, resurrected and vanished.
func (a *audit) acknowledged(e *Entry, present, judged mask) {
	var lost bool
	switch {
	case a.recovered < 0:
		return
	case judged.has(a.recovered):
		lost = !present.has(a.recovered)
		if lost && present.has(a.rejoined) {
			a.resurrected.add(e.ID)
		}
		if !lost && judged.has(a.rejoined) && !present.has(a.rejoined) {
			a.vanished.add(e.ID)
		}
	case judged.has(a.rejoined):
		lost = !present.has(a.rejoined)
	default:
		a.out.Unjudged++
		return
	}
	if lost {
		a.lose(e)
	}
	if a.opts.Acknowledged != nil {
		a.opts.Acknowledged(*e, lost)
	}
}

// lose adds a lost write. The first of the acknowledgements came between the
// least start and the least end of all, whichever writes those belong to.
func (a *audit) lose(e *Entry) {
	a.lost.add(e.ID)
	if a.out.FirstLost == nil {
		a.out.FirstLost = &timeline.Interval{Lo: e.Start, Hi: e.End}
		a.out.LastLost = &timeline.Interval{Lo: e.Start, Hi: e.End}
	}
	first, last := a.out.FirstLost, a.out.LastLost
	first.Lo, first.Hi = min(first.Lo, e.Start), min(first.Hi, e.End)
	last.Lo, last.Hi = max(last.Lo, e.Start), max(last.Hi, e.End)
}

// compare compares each reading with the primary's. What is there is there; that
// something is not proves nothing if it came after the reading began.
func (a *audit) compare(id ID, present, judged mask) {
	diverged := false
	for i, ref := range a.against {
		switch {
		case ref < 0 || present.has(i) == present.has(ref):
		case present.has(ref) && judged.has(i):
			a.missing[i].add(id)
		case present.has(i) && judged.has(ref):
			a.extra[i].add(id)
			diverged = diverged || a.rejoinedAny.has(i)
		}
	}
	if diverged {
		a.diverged.add(id)
	}
}
