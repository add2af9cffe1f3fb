package drills

import (
	"cmp"
	"context"
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// snapshotEvery is how often the watcher sees the drill.
const snapshotEvery = 250 * time.Millisecond

func (b *board) phase(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now, b.next = name, ""
}

// in tells whether the drill is in one of the phases.
func (b *board) in(phases []string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(phases, b.now)
}

func (b *board) faulted(at timeline.Offset) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hit = at
}

func (b *board) faultOn(p timeline.PlannedFault, members []string, expires time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, liveFault{FaultLive{Name: p.Name, Kind: p.Kind, Members: members}, expires})
}

func (b *board) faultOff(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, f := range b.faults {
		if f.Name == name {
			b.faults = append(b.faults[:i], b.faults[i+1:]...)
			return
		}
	}
}

// watch hands the watcher a snapshot now and then until ctx ends.
func (b *board) watch(ctx context.Context, w Watcher) {
	tick := time.NewTicker(snapshotEvery)
	defer tick.Stop()
	var before uint64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s := b.snapshot()
		s.AckedPerSecond = float64(s.Acked-before) / snapshotEvery.Seconds()
		before = s.Acked
		b.show(func() { w.Snapshot(s) })
	}
}

func (b *board) snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	s := Snapshot{
		Scenario: b.plan.Scenario, Phase: b.now, Elapsed: time.Duration(now),
		Acked: b.acked, Next: cmp.Or(b.next, next[b.now]),
	}
	if b.hit > 0 {
		d := time.Duration(now - b.hit)
		s.SinceFault = &d
	}
	for _, o := range b.plan.Objectives {
		if o.Name == "rto" && (s.Target == 0 || o.Target < s.Target) {
			s.Target = o.Target
		}
	}
	for _, l := range b.series {
		s.Series = append(s.Series, l.live(now))
	}
	for _, f := range b.faults {
		f.TTL = time.Until(f.expires)
		s.Faults = append(s.Faults, f.FaultLive)
	}
	return s
}

// next says what comes after each phase.
var next = map[string]string{
	timeline.PhasePreflight: "measure the baseline",
	timeline.PhaseBaseline:  "inject the fault",
	timeline.PhaseFault:     "wait for the topology to heal itself",
	timeline.PhaseHeal:      "remedy, if it does not heal itself",
	timeline.PhaseRemedy:    "wait until every probe is stable",
	timeline.PhaseStabilise: "read the ledgers back, then revert the faults",
	timeline.PhaseRevert:    "rejoin the reverted members",
	timeline.PhaseRejoin:    "wait for the steady state",
	timeline.PhaseSteady:    "read the ledgers back once more",
	timeline.PhaseAudit:     "judge and report",
}

func (l *liveSeries) live(now timeline.Offset) SeriesLive {
	v := SeriesLive{Name: l.Name(), State: "no-data", LastClass: string(l.last.Class), LastDetail: l.last.Detail}
	if l.Op != "" {
		v.By = l.lastBy
	}
	switch {
	case l.bad > 0 && l.badLast >= l.goodLast:
		v.State, v.Since = "bad", time.Duration(now-l.badFrom)
	case l.good > 0:
		v.State, v.Since = "good", time.Duration(now-l.goodFrom)
	}
	sec := int64(time.Duration(now) / time.Second)
	for i := sec - int64(len(l.spark)) + 1; i <= sec; i++ {
		v.Spark = append(v.Spark, l.sparkAt(i))
	}
	return v
}

func (l *liveSeries) sparkAt(second int64) uint8 {
	if second < 0 {
		return 0
	}
	switch sp := l.spark[second%int64(len(l.spark))]; {
	case sp.second != second || sp.good+sp.bad == 0:
		return 0
	case sp.bad == 0:
		return 1
	case sp.good > 0:
		return 2
	default:
		return 3
	}
}
