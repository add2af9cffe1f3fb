package verdict

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"firedrill/drills/timeline"
)

// judgeFaults lists the faults and finds those that were confirmed.
func (j *judge) judgeFaults() {
	// What heals, and how fast, is then not the answer to the drill's fault alone.
	if j.away != "" {
		j.invalid = append(j.invalid, j.away)
	}
	for _, f := range j.faults {
		r := FaultResult{
			Name: f.Fault, Kind: f.Kind, Component: f.component, Targets: f.Targets, Doing: f.Doing,
			ConfirmedBy: f.by, RevertedAt: j.wallPtr(f.reverted), Revert: f.outcome, Error: f.err,
		}
		if eff, ok := f.effective(); ok {
			i := j.instants(eff)
			r.Effective = &i
		} else {
			j.invalid = append(j.invalid, fmt.Sprintf("no witness confirmed fault %s: %s", f.Fault, f.err))
		}
		if f.lapsed != "" {
			j.invalid = append(j.invalid, fmt.Sprintf("fault %s was not in force until it was reverted: %s", f.Fault, f.lapsed))
		}
		j.res.Faults = append(j.res.Faults, r)
	}
	for _, p := range j.plan.Faults {
		if p.Measured && j.measured(p.Name) == nil && len(j.stops) == 0 {
			j.invalid = append(j.invalid, fmt.Sprintf("fault %s was not injected", p.Name))
		}
	}
}

// measured returns the injection of a measured, confirmed fault.
func (j *judge) measured(name string) *fault {
	for _, f := range j.faults {
		if f.Fault == name && f.measured && f.confirmed != nil {
			return f
		}
	}
	return nil
}

// causes are all that outages can come from; the faults come first, in the order
// of j.faults.
func (j *judge) causes() []Cause {
	var cs []Cause
	for _, f := range j.faults {
		at := timeline.Interval{Lo: f.from, Hi: f.from}
		if f.confirmed != nil {
			at.Hi = *f.confirmed
		} else if f.done != nil {
			at.Hi = *f.done
		}
		cs = append(cs, Cause{Name: f.Fault, Kind: CauseFault, At: at})
	}
	for _, f := range j.faults {
		if f.reverting != nil && *f.reverting < j.reverting { // its own time was up
			cs = append(cs, Cause{Name: "revert", Kind: CauseRevert, At: timeline.Interval{Lo: *f.reverting, Hi: *f.reverting}})
		}
	}
	for _, m := range j.remedies {
		cs = append(cs, Cause{Name: m.Remedy, Kind: CauseRemedy, At: timeline.Interval{Lo: m.from, Hi: m.from}})
	}
	if j.reverting < j.end {
		cs = append(cs, Cause{Name: "revert", Kind: CauseRevert, At: timeline.Interval{Lo: j.reverting, Hi: j.reverting}})
	}
	return cs
}

// judgeBaseline counts the A/A stretch. With n samples and not one false alarm,
// the rate of false alarms per sample is below 1-0.05^(1/n) with 95 % confidence.
func (j *judge) judgeBaseline(samples [][]timeline.Sample) {
	b := &j.res.Baseline
	base, ok := j.phase(timeline.PhaseBaseline)
	if !ok {
		return
	}
	b.Length = (base.to - base.from).Seconds()
	for i, s := range j.plan.Series {
		if !s.Judged {
			continue
		}
		for _, sm := range samples[i] {
			if sm.Start < base.from || sm.End > base.to || sm.Class == timeline.NoData {
				continue
			}
			b.Samples++
			if sm.Class.Bad() {
				b.Bad++
			}
		}
	}
	b.Held = b.Bad == 0 && b.Samples > 0
	b.FalseAlarmHi = 1
	if b.Samples > 0 && b.Bad == 0 {
		b.FalseAlarmHi = 1 - math.Pow(0.05, 1/float64(b.Samples))
	}
	if !b.Held {
		j.invalid = append(j.invalid, fmt.Sprintf("the baseline did not hold: %d of %d samples were bad before any fault", b.Bad, b.Samples))
	}
}

// judgeRemedies lists the remediations.
func (j *judge) judgeRemedies() {
	for _, m := range j.remedies {
		r := RemedyResult{
			Name: m.Remedy, Kind: m.Kind, Target: m.Target, StartedAt: j.wall(m.from),
			Outcome: "interrupted", Steps: []StepResult{},
		}
		if m.to != nil {
			r.Took, r.Outcome, r.Error = (*m.to - m.from).Seconds(), m.ended.Outcome, m.ended.Err
		}
		for _, s := range m.steps {
			r.Steps = append(r.Steps, StepResult{
				Name: s.Step, Member: s.Member, From: (s.From - m.from).Seconds(), Took: (s.to - s.From).Seconds(),
				Detail: s.Detail, Error: s.Err,
			})
		}
		j.res.Remedies = append(j.res.Remedies, r)
	}
}

// judgeRejoin says how the members came back. A member that is kept out is not
// an undo that failed: it is redundancy that the fault cost, and missed as such.
func (j *judge) judgeRejoin() {
	for _, rj := range j.rejoined {
		r := RejoinResult{
			Component: rj.Component, Replicas: []string{}, KeptOut: rj.KeptOut, Errant: rj.Errant, Error: rj.Err,
		}
		if rj.From > 0 {
			r.Took = (rj.at - rj.From).Seconds()
		}
		for _, m := range rj.Members {
			switch m.Role {
			case "primary":
				r.Primary = m.Member
			case "replica":
				r.Replicas = append(r.Replicas, m.Member)
			}
		}
		j.res.Rejoin = append(j.res.Rejoin, r)
		o := ObjectiveResult{Name: "rejoin", Component: rj.Component, Verdict: Met, Why: "every member is back and follows the primary"}
		if j.requests[rj.Component] != nil || r.Primary == "" && len(r.Replicas) == 0 {
			o.Why = "every member answers"
		}
		for _, m := range slices.Sorted(maps.Keys(rj.Errant)) {
			o.Why = m + " held transactions that the primary lacks and was rebuilt"
		}
		for _, m := range slices.Sorted(maps.Keys(rj.KeptOut)) {
			o.Verdict, o.Why = Missed, fmt.Sprintf("%s was kept out: %s", m, rj.KeptOut[m])
		}
		if rj.Err != "" {
			o.Verdict, o.Why = Missed, rj.Err
		}
		j.res.Objectives = append(j.res.Objectives, o)
	}
}
