package verdict

import (
	"fmt"
	"slices"
	"strings"

	"firedrill/drills/timeline"
)

// judgeSteadyState judges the probes that look at the end only (EOT, Edge): once
// everything is put back, they must hold.
func (j *judge) judgeSteadyState() {
	by := map[string]*ObjectiveResult{}
	var order []string
	for _, sj := range j.series {
		s := j.plan.Series[sj.index]
		if !s.Judged || !looksAtTheEnd(s.Mode) {
			continue
		}
		o := by[s.Component]
		if o == nil {
			o = &ObjectiveResult{Name: "steady-state", Component: s.Component, Verdict: Met}
			by[s.Component] = o
			order = append(order, s.Component)
		}
		if verdict, why := j.heldAtTheEnd(s, sj); verdict != Met {
			o.add(verdict, s.Name(), why)
		}
	}
	for _, c := range order {
		o := by[c]
		if o.Verdict == Met {
			o.Why = "its probes that look at the end held once everything was put back"
		}
		j.res.Objectives = append(j.res.Objectives, *o)
	}
}

// looksAtTheEnd tells whether a mode samples once everything is put back, and not
// while a fault is in force.
func looksAtTheEnd(mode string) bool { return mode == "EOT" || mode == "Edge" }

// add adds what one series came to; one that is missed decides.
func (r *ObjectiveResult) add(verdict, series, why string) {
	if r.Verdict == Met || verdict == Missed && r.Verdict != Missed {
		r.Verdict, r.Series = verdict, series
	}
	r.Why = strings.TrimPrefix(r.Why+"; "+why, "; ")
}

// heldAtTheEnd tells whether a series was good, and stayed so, once everything was
// put back. It may take its time for that, as long as the drill looks.
func (j *judge) heldAtTheEnd(s timeline.Series, sj seriesJudged) (verdict, why string) {
	steady, ok := j.phase(timeline.PhaseSteady)
	if !ok {
		return Inconclusive, fmt.Sprintf("the drill ended before probe %s looked", s.Name())
	}
	_, bad := sj.readings.read()
	n, failed, from := 0, 0, steady.from
	var last timeline.Sample
	for i, sm := range sj.readings.Samples {
		if sm.Start < steady.from || sm.Class == timeline.NoData {
			continue
		}
		n++
		if _, proves := slices.BinarySearch(bad, i); proves {
			failed++
			last, from = sm, sm.Start+1
		}
	}
	if _, ok := sj.readings.stable(from, bad, j.plan.StableOf(s), 0); ok {
		return Met, ""
	}
	if failed == 0 {
		return Inconclusive, fmt.Sprintf("probe %s has %d samples from when everything was put back: it was not seen to hold for %s", s.Name(), n, j.plan.Stable.For)
	}
	return Missed, strings.TrimSuffix(fmt.Sprintf("probe %s did not hold once everything was put back: %d of %d samples were bad, the last one %s: %s",
		s.Name(), failed, n, last.Class, last.Detail), ": ")
}

// unsteady says in half a sentence which probes did not hold at the end.
func (j *judge) unsteady() (parts []string) {
	for _, o := range j.res.Objectives {
		if o.Name == "steady-state" && o.Verdict == Missed {
			parts = append(parts, fmt.Sprintf("%s did not hold once everything was put back", o.Series))
		}
	}
	return parts
}
