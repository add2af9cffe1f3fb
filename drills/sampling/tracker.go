package sampling

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"firedrill/drills/timeline"
)

// Tracker answers, while the drill runs, what the verdict will say afterwards
// about one series: is it in an outage, is it stable. It errs on the safe side
// only: it may see an outage or stability later than the verdict does, which
// has all samples, but what it calls stable the verdict calls stable too, unless
// a sample that is still under way turns out bad.
// Its methods may be called at any time from any goroutine.
type Tracker struct {
	every, timeout time.Duration
	stable         timeline.Stable
	// rate is the number of good samples per second that stability asks for.
	rate float64
	// keep is how far back samples are kept.
	keep timeline.Offset

	mu sync.Mutex
	// recent are the latest samples by number; older is what those before came to.
	recent []timeline.Sample
	older  failing
	gaps   []timeline.Gap
}

// Failing is an outage under way.
type Failing struct {
	// Since is the start of its first bad sample.
	Since timeline.Offset
	// Class is that of its latest bad sample.
	Class timeline.Class
}

// NewTracker makes a tracker of a series. Baseline is the number of good samples
// per second before the first fault; 0 means one for every sample that is due.
func NewTracker(every, timeout time.Duration, stable timeline.Stable, baseline float64) *Tracker {
	if baseline <= 0 {
		baseline = 1 / every.Seconds()
	}
	need := max(stable.For, time.Duration(stable.Samples)*every)
	return &Tracker{
		every: every, timeout: timeout, stable: stable, rate: stable.Share * baseline,
		keep: timeline.Offset(2*need + 2*timeout + time.Second),
	}
}

// Add takes a sample that ended. Samples may come in any order.
func (t *Tracker) Add(s timeline.Sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, _ := slices.BinarySearchFunc(t.recent, s, func(a, b timeline.Sample) int { return cmp.Compare(a.N, b.N) })
	t.recent = slices.Insert(t.recent, at, s)
	if newest := t.recent[len(t.recent)-1].Start; newest-t.recent[0].Start > 2*t.keep {
		t.forget(newest - t.keep)
	}
}

// Gap takes a stretch in which the runner did not run; see Watch.
func (t *Tracker) Gap(from, to timeline.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gaps = append(t.gaps, timeline.Gap{From: from, To: to})
}

// forget drops the samples that started before the horizon.
func (t *Tracker) forget(horizon timeline.Offset) {
	old := 0
	for old < len(t.recent) && t.recent[old].Start < horizon {
		t.older.next(t.read(t.recent[old]))
		old++
	}
	t.recent = slices.Delete(t.recent, 0, old)
	t.gaps = slices.DeleteFunc(t.gaps, func(g timeline.Gap) bool { return g.To < horizon })
}

// read returns a bad sample as no data if the runner was away.
func (t *Tracker) read(s timeline.Sample) timeline.Sample {
	var away time.Duration
	for _, g := range t.gaps {
		away += g.Within(s.Start, s.End)
	}
	if s.Away(away, t.timeout) {
		s.Class = timeline.NoData
	}
	return s
}

// Bad returns the outage under way, if there is one.
func (t *Tracker) Bad() (Failing, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := t.older
	for _, s := range t.recent {
		state.next(t.read(s))
	}
	return Failing{Since: state.since, Class: state.class}, state.on && !state.answered
}

// failing follows the samples of a series in the order of their numbers.
type failing struct {
	on          bool
	since, last timeline.Offset
	class       timeline.Class
	// answered tells whether a good sample started since the last bad one; the
	// first of those ended at firstEnd.
	answered bool
	firstEnd timeline.Offset
}

// next takes the next sample. A good one between two bad ones ends the outage
// only if it was answered before the second one started: a request that hangs
// until the service is back must not split the outage in two.
func (f *failing) next(s timeline.Sample) {
	switch {
	case s.Class.Bad():
		if !f.on || (f.answered && f.firstEnd <= s.Start) {
			f.since = s.Start
		}
		f.on, f.answered, f.last, f.class = true, false, s.Start, s.Class
	case s.Class.Good() && f.on:
		if !f.answered || s.End < f.firstEnd {
			f.firstEnd = s.End
		}
		f.answered = true
	}
}

// Stable tells whether at this moment the series is stable, counting only
// samples that started at since or later: the latest samples are good without a
// hole, and enough of them, for long enough, often enough. Now is the offset of
// this moment. Samples behind one that is still under way do not count: that one
// may yet turn out bad.
func (t *Tracker) Stable(since, now timeline.Offset) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	run := t.run(since)
	if len(run) == 0 {
		return false
	}
	last, first, trip := run[len(run)-1], len(run), timeline.Offset(0)
	for i, s := range slices.Backward(run) {
		trip = max(trip, s.End-s.Start)
		if t.enough(len(run)-i, time.Duration(last.Start-s.Start)) {
			first = i
			break
		}
	}
	fresh := now-last.Start <= timeline.Offset(timeline.Hole(t.every))+trip
	return first < len(run) && fresh
}

// run returns the good samples that started since, after the latest bad one and
// the latest hole, up to the first one that is still under way.
func (t *Tracker) run(since timeline.Offset) []timeline.Sample {
	hole := timeline.Offset(timeline.Hole(t.every))
	var run []timeline.Sample
	number, whole := int64(-1), true
	for _, s := range t.recent {
		if s.Start < since {
			continue
		}
		whole = whole && (number < 0 || s.N == number+1)
		number = s.N
		if s.Class.Bad() || whole && len(run) > 0 && s.Start-run[len(run)-1].Start > hole {
			run = run[:0]
		}
		if s.Class.Good() && whole {
			run = append(run, s)
		}
	}
	return run
}

// enough tells whether so many good samples in so long are stable.
func (t *Tracker) enough(good int, span time.Duration) bool {
	return good >= t.stable.Samples && span >= t.stable.For &&
		float64(good) >= t.rate*span.Seconds()
}
