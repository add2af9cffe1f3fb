package verdict

import (
	"fmt"
	"time"

	"firedrill/drills/timeline"
)

// index is a record sorted by what a judge asks for.
type index struct {
	rec  *timeline.Record
	plan timeline.Plan

	faults   []*fault // in the order in which they were injected
	remedies []*remedy
	phases   []phaseSpan
	gaps     []timeline.Gap
	// agentGaps are the gaps of agents, lost is when and why an agent was lost; by
	// timeline.Series.From.
	agentGaps map[string][]timeline.Gap
	lost      map[string]lostAt
	roles     []rolesAt
	reads     []readAt
	rejoined  []rejoinedAt
	told      []toldAt
	caveats   []string
	stops     []string
	detected  *timeline.Offset
	healedBy  string
	healedAt  *timeline.Offset
	// reverting is when the drill began to put things back; the end of the record
	// if it never did.
	reverting timeline.Offset
	end       timeline.Offset
	cleaned   *timeline.CleanedUp
	events    int
	// intents is how many things were announced that would have to be undone, but for
	// the drill's own locks.
	intents int
	// away is what was said when a platform did not answer for the first time.
	away string
}

// lockIntent is the kind of an intent that touches nothing: that of a drill's lock.
const lockIntent = "lock"

type fault struct {
	timeline.Injecting
	measured  bool
	component string
	journaled timeline.Offset
	from      timeline.Offset // the inject call begins
	done      *timeline.Offset
	confirmed *timeline.Offset
	by        string
	reverting *timeline.Offset
	reverted  *timeline.Offset
	outcome   string
	err       string
	// lapsed says why the fault was not in force until its revert; "" if it was, or
	// cannot tell.
	lapsed string
}

// effective is the interval in which the fault became effective; ok is false if
// no witness confirmed it.
func (f *fault) effective() (timeline.Interval, bool) {
	if f.confirmed == nil {
		return timeline.Interval{}, false
	}
	return timeline.Interval{Lo: f.from, Hi: *f.confirmed}, true
}

type remedy struct {
	timeline.RemedyBegan
	from  timeline.Offset
	to    *timeline.Offset
	ended timeline.RemedyEnded
	steps []stepAt
}

type lostAt struct {
	why string
	at  timeline.Offset
}

type stepAt struct {
	timeline.RemedyStep
	to timeline.Offset
}

type phaseSpan struct {
	name     string
	from, to timeline.Offset
}

type rolesAt struct {
	at        timeline.Offset
	component string
	members   []timeline.MemberSeen
}

type readAt struct {
	timeline.ReadBack
	at timeline.Offset
}

type rejoinedAt struct {
	timeline.Rejoined
	at timeline.Offset
}

func newIndex(rec *timeline.Record) *index {
	x := &index{
		rec: rec, plan: rec.Started.Plan, events: len(rec.Events),
		agentGaps: map[string][]timeline.Gap{}, lost: map[string]lostAt{},
	}
	journaled := map[string]timeline.Offset{}
	for _, m := range rec.Events {
		x.end = m.T
		if j, ok := m.Payload.(timeline.Journaled); ok {
			journaled[j.For] = m.T
			if j.Kind != lockIntent {
				x.intents++
			}
		}
		x.faultEvent(m, journaled)
		x.remedyEvent(m)
		x.otherEvent(m)
	}
	x.reverting = x.end
	for i := range x.phases {
		if i+1 < len(x.phases) {
			x.phases[i].to = x.phases[i+1].from
		} else {
			x.phases[i].to = x.end
		}
		if x.phases[i].name == timeline.PhaseRevert {
			x.reverting = x.phases[i].from
		}
	}
	return x
}

func (x *index) faultEvent(m timeline.Moment, journaled map[string]timeline.Offset) {
	at := m.T
	switch p := m.Payload.(type) {
	case timeline.Injecting:
		f := &fault{Injecting: p, from: at, journaled: journaled[p.Fault]}
		for _, pf := range x.plan.Faults {
			if pf.Name == p.Fault {
				f.measured, f.component = pf.Measured, pf.Component
			}
		}
		x.faults = append(x.faults, f)
	case timeline.Injected:
		x.fault(p.Fault, func(f *fault) { f.done, f.err = &at, p.Err })
	case timeline.Confirmed:
		x.fault(p.Fault, func(f *fault) {
			if f.by, f.err = p.By, p.Err; p.Err == "" {
				f.confirmed = &at
			}
		})
	case timeline.Held:
		x.fault(p.Fault, func(f *fault) { f.lapsed = p.Err })
	case timeline.Reverting:
		x.fault(p.Fault, func(f *fault) { f.reverting = &at })
	case timeline.Reverted:
		x.fault(p.Fault, func(f *fault) {
			f.reverted, f.outcome = &at, p.Outcome
			if p.Err != "" && p.Outcome == timeline.RevertFailed {
				f.err = p.Err
			}
		})
	}
}

// fault does something to the latest injection of a fault, if there was one.
func (x *index) fault(name string, do func(*fault)) {
	for i := len(x.faults) - 1; i >= 0; i-- {
		if x.faults[i].Fault == name {
			do(x.faults[i])
			return
		}
	}
}

func (x *index) remedyEvent(m timeline.Moment) {
	at := m.T
	switch p := m.Payload.(type) {
	case timeline.RemedyBegan:
		x.remedies = append(x.remedies, &remedy{RemedyBegan: p, from: at})
	case timeline.RemedyStep:
		if n := len(x.remedies); n > 0 {
			x.remedies[n-1].steps = append(x.remedies[n-1].steps, stepAt{p, at})
		}
	case timeline.RemedyEnded:
		if n := len(x.remedies); n > 0 {
			x.remedies[n-1].to, x.remedies[n-1].ended = &at, p
		}
	}
}

func (x *index) otherEvent(m timeline.Moment) {
	at := m.T
	switch p := m.Payload.(type) {
	case timeline.PhaseBegan:
		x.phases = append(x.phases, phaseSpan{name: p.Phase, from: at})
	case timeline.Gap:
		if p.Of == "" {
			x.gaps = append(x.gaps, p)
		} else {
			x.agentGaps[p.Of] = append(x.agentGaps[p.Of], p)
		}
	case timeline.AgentLost:
		x.lost[p.From] = lostAt{p.Why, at}
	case timeline.RolesSeen:
		x.roles = append(x.roles, rolesAt{at, p.Component, p.Members})
	case timeline.Rejoined:
		x.rejoined = append(x.rejoined, rejoinedAt{p, at})
		x.roles = append(x.roles, rolesAt{at, p.Component, p.Members})
	case timeline.MemberChanged:
		x.told = append(x.told, toldAt{p, at})
	case timeline.ReadBack:
		x.reads = append(x.reads, readAt{p, at})
	case timeline.Caveat:
		x.caveats = append(x.caveats, p.Text)
	case timeline.StopRequested:
		x.stops = append(x.stops, p.Why)
	case timeline.Detected:
		x.detected = &at
	case timeline.Healed:
		x.healedBy, x.healedAt = p.By, &at
	case timeline.PlatformAway:
		if x.away == "" && x.phases != nil && x.cleaned == nil {
			x.away = fmt.Sprintf("the platform of %s did not answer in phase %s: %s", p.Component, x.phases[len(x.phases)-1].name, p.Err)
		}
	case timeline.CleanedUp:
		x.cleaned = &p
	}
}

// phase returns the first stretch of a phase; ok is false if it never began.
func (x *index) phase(name string) (phaseSpan, bool) {
	for _, p := range x.phases {
		if p.name == name {
			return p, true
		}
	}
	return phaseSpan{}, false
}

// wall is the wall-clock instant of an offset.
func (x *index) wall(o timeline.Offset) time.Time {
	return x.rec.Started.StartedAt.Add(time.Duration(o)).UTC()
}

func (x *index) wallPtr(o *timeline.Offset) *time.Time {
	if o == nil {
		return nil
	}
	t := x.wall(*o)
	return &t
}

// instants labels an interval of offsets with the wall clock.
func (x *index) instants(i timeline.Interval) Instants {
	hi := x.wall(i.Hi)
	return Instants{Lo: x.wall(i.Lo), Hi: &hi}
}
