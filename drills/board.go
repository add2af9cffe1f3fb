package drills

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// board is the state of the drill as its samples come in: what the engine waits
// for and what a person watches. The verdict never uses it: it recomputes from
// the record.
type board struct {
	plan    timeline.Plan
	clock   timeline.Clock
	changed chan struct{}

	mu     sync.Mutex
	series []*liveSeries
	acked  uint64
	now    string // phase
	next   string // what is about to happen, if it is not what the phase says
	hit    timeline.Offset
	faults []liveFault

	queue chan func()
	done  chan struct{}
}

// liveSeries is the recent past of one series.
type liveSeries struct {
	timeline.Series
	tracker *sampling.Tracker
	// good and bad are the run of like samples that is under way.
	goodFrom, goodLast timeline.Offset
	good               int
	badFrom, badLast   timeline.Offset
	bad                int
	lastBad            timeline.Sample
	last               timeline.Sample
	spark              [60]sparkSecond
	*homecoming
	lastBy string
}

// homecoming is shared by the series of a component: a gateway that asks its members
// in turn may well ask the same one for each sample of a series.
type homecoming struct {
	// home are those who answered in the baseline; back are those of them who answered
	// since somebody else did last, and settled is when all of them had.
	home, back map[string]bool
	settled    timeline.Offset
}

type sparkSecond struct {
	second    int64
	good, bad int
}

type liveFault struct {
	FaultLive
	expires time.Time
}

func newBoard(p timeline.Plan, c timeline.Clock) *board {
	b := &board{plan: p, clock: c, changed: make(chan struct{}, 1), queue: make(chan func(), 4096), done: make(chan struct{})}
	of := map[string]*homecoming{}
	for _, s := range p.Series {
		if of[s.Component] == nil {
			of[s.Component] = &homecoming{home: map[string]bool{}, back: map[string]bool{}}
		}
		b.series = append(b.series, &liveSeries{
			Series: s, tracker: sampling.NewTracker(s.Every, s.Timeout, p.StableOf(s), 0), homecoming: of[s.Component],
		})
	}
	go func() {
		defer close(b.done)
		for f := range b.queue {
			f()
		}
	}()
	return b
}

// show calls f from the one goroutine that talks to the watcher; a watcher that
// cannot keep up misses something rather than delay the drill.
func (b *board) show(f func()) {
	select {
	case b.queue <- f:
	default:
	}
}

func (b *board) stop() {
	close(b.queue)
	<-b.done
}

// sample takes in a sample; it may be called concurrently.
func (b *board) sample(s timeline.Sample) {
	b.mu.Lock()
	l := b.series[s.Series]
	l.tracker.Add(s)
	l.add(s)
	if s.By != "" && s.Class.Good() {
		l.answered(s, b.now == timeline.PhaseBaseline)
	}
	if l.Writes && s.Class.Good() {
		b.acked++
	}
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// add takes a sample into the runs under way. A bad sample breaks the good run
// only if it started within it: one that hung since before says nothing about
// now. A sample without data breaks a good run too: a gap is never up.
func (l *liveSeries) add(s timeline.Sample) {
	sec := int64(time.Duration(s.Start) / time.Second)
	sp := &l.spark[sec%int64(len(l.spark))]
	if sp.second != sec {
		*sp = sparkSecond{second: sec}
	}
	l.last = s
	if s.Class.Good() {
		sp.good++
		if l.good == 0 {
			l.goodFrom = s.Start
		}
		l.good++
		l.goodFrom, l.goodLast = min(l.goodFrom, s.Start), max(l.goodLast, s.Start)
		if s.Start > l.badLast {
			l.bad = 0
		}
		return
	}
	if s.Start >= l.goodFrom {
		l.good = 0
	}
	if !s.Class.Bad() {
		return
	}
	sp.bad++
	if l.bad == 0 {
		l.badFrom = s.Start
	}
	l.bad++
	l.badLast = max(l.badLast, s.Start)
	l.lastBad = s
}

// gap takes a stretch in which the runner itself did not run, or an agent (of).
func (b *board) gap(of string, from, to timeline.Offset) {
	for _, l := range b.series {
		if l.From == of {
			l.tracker.Gap(from, to)
		}
	}
}

// decides tells whether a series decides in the phase that the drill is in: whether
// the baseline holds, whether the system has recovered, whether the steady state is
// back. What looks at the end only is not waited for like that, see held.
func (b *board) decides(l *liveSeries) bool {
	return l.Judged && looks(l.Mode, b.now) && (runsThrough(l.Mode) || b.now == timeline.PhaseBaseline)
}

// stable tells whether every judged series has been good for as long as the
// scenario asks, in samples that started after since.
func (b *board) stable(since timeline.Offset) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for _, l := range b.series {
		if b.decides(l) && !l.tracker.Stable(since, now) {
			return false
		}
	}
	return true
}

// held tells the same of the judged series that look at the end and not while a fault
// is in force.
func (b *board) held(since timeline.Offset) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for _, l := range b.series {
		if l.Judged && !runsThrough(l.Mode) && looks(l.Mode, timeline.PhaseSteady) && !l.tracker.Stable(since, now) {
			return false
		}
	}
	return true
}

// awaited is the longest recovery time objective, counted from since, that is not
// decided yet: its component is not stable, and no series of it has failed, more than
// once in a row, after the target. 0 if all are decided.
func (b *board) awaited(since timeline.Offset) (target time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	for _, o := range b.plan.Objectives {
		if o.Name != "rto" {
			continue
		}
		stable, missed := true, false
		for _, l := range b.series {
			if l.Component == o.Component && b.decides(l) {
				stable = stable && l.tracker.Stable(since, now)
				missed = missed || l.bad >= 2 && l.badLast > since+timeline.Offset(o.Target)
			}
		}
		if !stable && !missed {
			target = max(target, o.Target)
		}
	}
	return target
}

// expect says what is about to happen, until the next phase begins.
func (b *board) expect(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = what
}

// failing names a judged series that is failing now and began to after since; ""
// if none is. One bad sample is not enough.
func (b *board) failing(since timeline.Offset) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.series {
		if l.Judged && l.bad >= 2 && l.badLast >= since {
			return l.Name()
		}
	}
	return ""
}

// badSince describes the last bad sample of a judged series since an offset.
func (b *board) badSince(since timeline.Offset) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.series {
		switch {
		case !b.decides(l):
		case l.lastBad.Class != "" && l.lastBad.Start >= since:
			return fmt.Sprintf("probe %s through %s (%s): %s: %s", l.Name(), l.Via, l.Address, l.lastBad.Class, l.lastBad.Detail)
		case l.goodLast < since: // l.good is 0 again after a pause of the runner itself
			return fmt.Sprintf("probe %s through %s (%s) has no good sample", l.Name(), l.Via, l.Address)
		}
	}
	return ""
}

// advice is what to do about what badSince describes, where that is not plain.
func (b *board) advice(since timeline.Offset) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.series {
		if b.decides(l) && l.lastBad.Class == timeline.Auth && l.lastBad.Start >= since {
			return " (check the key or account that the probe uses, and the ones that what is behind the route uses)"
		}
	}
	return ""
}

// answered notes who gave a good answer.
func (l *liveSeries) answered(s timeline.Sample, baseline bool) {
	l.lastBy = s.By
	if baseline {
		l.home[s.By] = true
	}
	if !l.home[s.By] {
		l.settled = 0
		clear(l.back)
		return
	}
	l.back[s.By] = true
	if l.settled == 0 && len(l.back) == len(l.home) {
		l.settled = s.End
	}
}

// awaitHome begins the wait for home.
func (b *board) awaitHome() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.series {
		l.settled = 0
		clear(l.back)
	}
}

// home tells whether the requests of a component are answered by those who
// answered them in the baseline, all of them and nobody else, for long enough
// since awaitHome.
func (b *board) home(component string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	// The verdict goes by when requests began: a little more than by when they ended.
	from := b.clock.Now() - timeline.Offset(b.plan.Stable.For)
	for _, l := range b.series {
		if l.Op == "" || l.Component != component || !runsThrough(l.Mode) || len(l.home) == 0 {
			continue
		}
		if l.settled == 0 || l.settled+timeline.Offset(2*l.Every) > from {
			return false
		}
	}
	return true
}

// outage is for how long a probe has been failing in any client class.
func (b *board) outage(probe string) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	var longest time.Duration
	for _, l := range b.series {
		if l.Probe == probe && l.bad > 0 && l.good == 0 {
			longest = max(longest, time.Duration(b.clock.Now()-l.badFrom))
		}
	}
	return longest
}

// runsThrough tells whether a mode samples while a fault is in force.
func runsThrough(mode string) bool { return mode == "Continuous" || mode == "OnChaos" }

// looks tells whether a mode samples in a phase.
func looks(mode, phase string) bool {
	return mode == "Continuous" || slices.Contains(looksIn[mode], phase)
}
