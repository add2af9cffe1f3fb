package verdict

import (
	"fmt"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/timeline"
)

// judgeObjectives compares every target with what was measured.
func (j *judge) judgeObjectives() {
	for _, o := range j.plan.Objectives {
		r := ObjectiveResult{Name: o.Name, Component: o.Component, Target: o.Target.Seconds(), Limit: o.Limit, Verdict: Inconclusive}
		switch o.Name {
		case "rto":
			j.judgeRTO(&r)
		case "rpo":
			j.judgeRPO(&r)
		default:
			j.judgeRequestObjective(&r)
		}
		j.res.Objectives = append(j.res.Objectives, r)
	}
	if j.head == nil {
		for _, f := range j.faults {
			if f.measured && f.confirmed != nil {
				j.head = f
			}
		}
	}
}

// judgeRTO bounds the slowest recovery among the judged series of the component:
// a database that is back while pools still hang is not back. The slowest took at
// least as long as the largest lower bound, and at most as long as the largest
// upper one. The series that is named saw an outage, if any did.
func (j *judge) judgeRTO(r *ObjectiveResult) {
	var named *faultRecovery
	for _, sj := range j.series {
		s := j.plan.Series[sj.index]
		if !s.Judged || s.Component != r.Component {
			continue
		}
		for i, f := range sj.recovery {
			sec := f.seconds()
			if r.Actual == nil {
				r.Actual = &Seconds{Lo: sec.Lo, Hi: sec.Hi}
			}
			r.Actual.Lo = max(r.Actual.Lo, sec.Lo)
			if slower(sec, *r.Actual) {
				r.Actual.Hi = sec.Hi
			}
			if named == nil || f.worse(named.RecoveryTime) {
				named = &sj.recovery[i]
				r.Series, r.Fault, j.head = s.Name(), f.fault.Fault, f.fault
			}
		}
	}
	switch target := time.Duration(r.Target * float64(time.Second)); {
	case r.Actual == nil:
		r.Why = "no recovery was measured"
	case r.Actual.Hi == nil && r.Actual.Lo <= target.Seconds():
		r.Why = j.gaveUp(r, named.fault)
	case r.Actual.Hi == nil:
		r.Verdict = Missed
		r.Why = fmt.Sprintf("%s had not recovered %s after the fault, when the drill stopped waiting%s", r.Series, si.Duration(r.Actual.Lo), j.partly(r.Series))
	case *r.Actual.Hi <= target.Seconds():
		r.Verdict = Met
		r.Why = fmt.Sprintf("recovered in %s against a target of %s (slowest: %s)", si.Interval(r.Actual.Lo, r.Actual.Hi), si.Duration(r.Target), r.Series)
	case r.Actual.Lo > target.Seconds():
		r.Verdict = Missed
		r.Why = fmt.Sprintf("recovered in %s, target %s (slowest: %s)", si.Interval(r.Actual.Lo, r.Actual.Hi), si.Duration(r.Target), r.Series)
	default:
		r.Why = fmt.Sprintf("the target of %s lies within the bounds of the measurement (%s, %s): sample faster", si.Duration(r.Target), si.Interval(r.Actual.Lo, r.Actual.Hi), r.Series)
	}
}

// gaveUp says why a recovery that was not seen is no miss: the drill did not look
// for longer than the target.
func (j *judge) gaveUp(r *ObjectiveResult, f *fault) string {
	eff, _ := f.effective()
	looked := time.Duration(j.reverting - eff.Hi)
	text := fmt.Sprintf("%s had not recovered when the drill stopped looking, %s after the fault", r.Series, si.Duration(looked.Seconds()))
	m := j.failed()
	switch last := j.lastConfirmed(); {
	case len(j.stops) > 0:
		text += ", because it was stopped"
	case j.plan.Longest > 0 && time.Duration(j.reverting-last) >= j.plan.Longest:
		text += fmt.Sprintf(", because limits.duration (%s) was over", si.Duration(j.plan.Longest.Seconds()))
	case m != nil:
		text += fmt.Sprintf(", because the remedy %s had failed", m.Name)
	}
	text += j.partly(r.Series)
	if looked.Seconds() > r.Target {
		return text + fmt.Sprintf("; that it was still failing after the target of %s is not proven", si.Duration(r.Target))
	}
	return text + fmt.Sprintf("; the target of %s had not passed by then, so it is neither met nor missed", si.Duration(r.Target))
}

// lastConfirmed is when the last measured fault was confirmed: what limits.duration
// counts from.
func (j *judge) lastConfirmed() (at timeline.Offset) {
	for _, f := range j.faults {
		if f.measured && f.confirmed != nil {
			at = max(at, *f.confirmed)
		}
	}
	return at
}

// worse tells whether r tells more about the slowest recovery than o: it saw an
// outage where the other saw none, or took longer.
func (r RecoveryTime) worse(o RecoveryTime) bool {
	if (len(r.Outages) > 0) != (len(o.Outages) > 0) {
		return len(r.Outages) > 0
	}
	return slower(r.seconds(), o.seconds())
}

// minWrites is how many writes each ledger must have had acknowledged when the
// disruption began, for a recovery point objective to be met: where nothing is at
// risk, nothing is lost.
const minWrites = 10

// judgeRPO sums up the ledgers of the component. A loss is proven however few writes
// there were.
func (j *judge) judgeRPO(r *ObjectiveResult) {
	var lost, acked uint64
	few := ""
	for _, l := range j.res.Ledgers {
		if l.Component != r.Component {
			continue
		}
		if l.RecoveryPoint == nil {
			r.Actual, r.Why = nil, fmt.Sprintf("ledger %s could not be accounted for", l.Name)
			return
		}
		lost, acked = lost+l.Lost+l.Vanished, acked+l.Acknowledged
		if l.AcknowledgedBefore < minWrites {
			few = fmt.Sprintf("ledger %s has %s acknowledged writes from before the fault, want at least %d: hardly anything was there to be lost",
				l.Name, si.Count(l.AcknowledgedBefore), minWrites)
		}
		if r.Actual == nil || slower(*l.RecoveryPoint, *r.Actual) {
			r.Actual = l.RecoveryPoint
		}
	}
	if r.Actual == nil || acked == 0 {
		r.Actual, r.Why = nil, "no acknowledged write was accounted for"
		return
	}
	r.Lost = &lost
	r.Why = fmt.Sprintf("%s of %s acknowledged writes lost", si.Count(lost), si.Count(acked))
	if lost > 0 {
		r.Why += fmt.Sprintf(", the earliest %s before the fault; target %s", si.Interval(r.Actual.Lo, r.Actual.Hi), si.Duration(r.Target))
	}
	switch {
	case r.Target == 0 && lost > 0:
		r.Verdict = Missed
	case r.Actual.Lo > r.Target:
		r.Verdict = Missed
	case few != "":
		r.Why += "; " + few
	case r.Actual.Hi != nil && *r.Actual.Hi <= r.Target:
		r.Verdict = Met
	}
}
