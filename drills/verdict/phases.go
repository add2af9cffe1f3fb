package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/timeline"
)

// recoveryPhases says where the time went, counted from the moment at which the
// headline's fault was proven effective.
func (j *judge) recoveryPhases() {
	j.res.Recovery = Recovery{By: "none", Phases: []Phase{}}
	if j.healedBy != "" {
		j.res.Recovery.By = j.healedBy
	}
	if j.head == nil {
		return
	}
	eff, _ := j.head.effective()
	at := func(o timeline.Offset) float64 { return time.Duration(o - eff.Hi).Seconds() }
	add := func(name string, from, to timeline.Offset) {
		if to > from {
			j.res.Recovery.Phases = append(j.res.Recovery.Phases, Phase{Name: name, From: at(from), To: at(to)})
		}
	}
	add("inject", eff.Lo, eff.Hi)
	last := eff.Hi
	out, recovered, stable := j.headOutage()
	if first, ok := j.firstError(); ok && first > last {
		add("first client error", last, first)
		last = first
	}
	if act := eff.Hi + timeline.Offset(j.plan.HealAfter); j.detected != nil && act > last && act < *j.detected {
		add("wait for the topology", last, act)
		last = act
	}
	if j.detected != nil && *j.detected > last {
		add("detect", last, *j.detected)
		last = *j.detected
	}
	for _, m := range j.remedies {
		for _, s := range m.steps {
			add(s.Step, s.From, s.to)
			last = max(last, s.to)
		}
	}
	if out != nil && recovered > last {
		add("first success", last, recovered)
		last = recovered
	}
	if stable > last {
		add("stable", last, stable)
	}
}

// firstError is when the first judged series was certainly failing.
func (j *judge) firstError() (first timeline.Offset, ok bool) {
	for _, sj := range j.series {
		if !j.plan.Series[sj.index].Judged {
			continue
		}
		for _, f := range sj.recovery {
			if f.fault == j.head && len(f.Outages) > 0 && (!ok || f.Outages[0].Start.Hi < first) {
				first, ok = f.Outages[0].Start.Hi, true
			}
		}
	}
	return first, ok
}

// headOutage is the last outage of the series that the headline is about, its
// end's upper bound, and when that series had proven stable.
func (j *judge) headOutage() (out *Downtime, recovered, stable timeline.Offset) {
	name := ""
	for _, o := range j.res.Objectives {
		if o.Name == "rto" && o.Fault == j.head.Fault {
			name = o.Series
		}
	}
	for _, sj := range j.series {
		if j.plan.Series[sj.index].Name() != name {
			continue
		}
		for _, f := range sj.recovery {
			if f.fault != j.head {
				continue
			}
			stable = f.StableAt
			if n := len(f.Outages); n > 0 {
				out = &f.Outages[n-1]
				if out.Ended {
					recovered = out.End.Hi
				}
			}
		}
	}
	return out, recovered, stable
}

// sentence is the result in one sentence that a manager can quote.
func (j *judge) sentence() string {
	var parts []string
	r := &j.res
	switch {
	case len(j.stops) > 0:
		parts = append(parts, "the drill was aborted: "+firstLine(j.stops[0]))
	case r.Verdict == Inconclusive && len(r.Reasons) > 0:
		parts = append(parts, "nothing can be concluded: "+firstLine(r.Reasons[0]))
	}
	for _, o := range r.Objectives {
		if o.Name == "rto" && o.Actual != nil {
			parts = append(parts, j.recoveredWords(o))
		}
	}
	if healer := j.healer(); healer != "" {
		parts = append(parts, healer)
	}
	for _, l := range r.Ledgers {
		if l.RecoveryPoint != nil {
			parts = append(parts, fmt.Sprintf("%s of %s acknowledged writes lost", si.Count(l.Lost+l.Vanished), si.Count(l.Acknowledged)))
		}
	}
	for _, rs := range r.Requests {
		if rs.Requests > 0 {
			parts = append(parts, rs.words())
		}
	}
	for _, rj := range r.Rejoin {
		for _, m := range slices.Sorted(maps.Keys(rj.KeptOut)) {
			parts = append(parts, m+" was kept out")
		}
	}
	parts = append(parts, j.unsteady()...)
	switch {
	case r.Cleanup.Verdict != "clean":
		parts = append(parts, "it is NOT proven that everything was put back")
	case j.intents == 0:
		parts = append(parts, "nothing was touched")
	default:
		parts = append(parts, "everything was put back")
	}
	s := strings.Join(parts, "; ") + "."
	return strings.ToUpper(s[:1]) + s[1:]
}

// words sums up in half a sentence what came of the requests.
func (r RequestsResult) words() string {
	if r.Whole == r.Requests {
		return fmt.Sprintf("all %s requests were answered whole", si.Count(r.Requests))
	}
	out := fmt.Sprintf("%s of %s requests were not answered whole", si.Count(r.Requests-r.Whole), si.Count(r.Requests))
	if r.Truncated > 0 {
		out += fmt.Sprintf(", %s of them broke off and looked like a success", si.Count(r.Truncated))
	}
	return out
}

// recoveredWords says how long a component was out; of a partial outage, that it was one.
func (j *judge) recoveredWords(o ObjectiveResult) string {
	against := " against a target of " + si.Duration(o.Target) + j.partly(o.Series)
	switch {
	case o.Actual.Hi == nil:
		return fmt.Sprintf("%s had not recovered after %s%s", o.Component, si.Duration(o.Actual.Lo), against)
	case o.Actual.Lo == 0 && j.unseen(o):
		return fmt.Sprintf("%s had no outage that clients could see (at most %s)%s", o.Component, si.UpTo(*o.Actual.Hi), against)
	}
	return fmt.Sprintf("%s recovered in %s%s", o.Component, si.Interval(o.Actual.Lo, o.Actual.Hi), against)
}

// unseen tells whether the objective's series saw no outage at all.
func (j *judge) unseen(o ObjectiveResult) bool {
	for _, sj := range j.series {
		for _, f := range sj.recovery {
			if j.plan.Series[sj.index].Name() == o.Series && f.fault.Fault == o.Fault {
				return len(f.Outages) == 0
			}
		}
	}
	return false
}

// healer says who healed it, and how.
func (j *judge) healer() string {
	switch j.res.Recovery.By {
	case "topology":
		return "the topology healed itself"
	case "runner":
		for _, m := range j.remedies {
			for _, s := range m.steps {
				if s.Step == "promote" && s.Member != "" && s.Err == "" {
					return "the runner promoted " + s.Member
				}
			}
		}
		return "the runner healed it"
	}
	if j.head != nil && len(j.stops) == 0 {
		if m := j.failed(); m != nil {
			return fmt.Sprintf("nothing healed it: the remedy %s failed", m.Name)
		}
		return "nothing healed it"
	}
	return ""
}

// failed is the remedy that failed, which ends the remediation; nil if none did.
func (j *judge) failed() *RemedyResult {
	for i, m := range j.res.Remedies {
		if m.Outcome == "failed" {
			return &j.res.Remedies[i]
		}
	}
	return nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
