package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// deed is one thing that was done, in order.
type deed struct {
	At, Kind, What, On, How, Result, Took string
	// Step tells that it is part of the deed before it; Bad that it failed.
	Step, Bad bool

	t float64
}

// deeds returns what was done to the systems, in the order in which it began.
func deeds(r verdict.Result, z time.Time) []deed {
	var out []deed
	for _, f := range r.Faults {
		out = append(out, faultDeeds(f, z)...)
	}
	for _, m := range r.Remedies {
		out = append(out, remedyDeeds(m, z)...)
	}
	for _, j := range r.Rejoin {
		asked := func(q verdict.RequestsResult) bool { return q.Component == j.Component }
		out = append(out, rejoinDeed(j, slices.ContainsFunc(r.Requests, asked)))
	}
	slices.SortStableFunc(out, func(a, b deed) int { return cmp.Compare(a.t, b.t) })
	return out
}

func faultDeeds(f verdict.FaultResult, z time.Time) []deed {
	d := deed{Kind: "fault", What: f.Name, On: strings.Join(f.Targets, ", "), How: cmp.Or(f.Doing, f.Kind), At: "–", t: -1e18}
	switch {
	case f.Effective != nil:
		d.t = since(z, f.Effective.Lo)
		d.At, d.Result = si.At(d.t), "confirmed: "+f.ConfirmedBy
		if f.ConfirmedBy == "" {
			d.Result, d.Bad = "not confirmed", true
		}
		if f.Effective.Hi != nil {
			d.Took = si.Duration(f.Effective.Hi.Sub(f.Effective.Lo).Seconds())
		}
	case f.Error != "":
		d.Result, d.Bad = f.Error, true
	default:
		d.Result = "not injected"
	}
	out := []deed{d}
	if f.Revert == "" {
		return out
	}
	v := deed{Kind: "revert", What: f.Name, On: d.On, How: "undo, then read the state back", At: "–", t: 1e17, Result: revertWord(f), Bad: f.Revert == "failed"}
	if f.RevertedAt != nil {
		v.t = since(z, *f.RevertedAt)
		v.At = si.At(v.t)
	}
	return append(out, v)
}

func revertWord(f verdict.FaultResult) string {
	switch f.Revert {
	case "clean":
		return "clean"
	case "gone":
		return "gone: the target is no more, and the fault with it"
	}
	return strings.TrimSuffix(f.Revert+": "+f.Error, ": ")
}

func remedyDeeds(m verdict.RemedyResult, z time.Time) []deed {
	begun := since(z, m.StartedAt)
	out := []deed{{
		Kind: "remedy", What: m.Name, On: m.Target, How: m.Kind, At: si.At(begun), t: begun,
		Result: strings.TrimSuffix(m.Outcome+": "+m.Error, ": "), Took: si.Duration(m.Took), Bad: m.Error != "" || m.Outcome == "failed",
	}}
	for _, s := range m.Steps {
		d := deed{
			Kind: "step", What: s.Name, On: s.Member, How: s.Detail, Took: si.Duration(s.Took), Result: "done",
			t: begun + s.From, Step: true,
		}
		d.At = si.At(d.t)
		if s.Error != "" {
			d.Result, d.Bad = s.Error, true
		}
		out = append(out, d)
	}
	return out
}

// rejoinDeed says how members came back. Those that serve models stand in order;
// none of them follows another.
func rejoinDeed(j verdict.RejoinResult, models bool) deed {
	d := deed{Kind: "rejoin", What: j.Component, At: "–", t: 2e17, Took: si.Duration(j.Took), How: "every member back under one primary"}
	first, others := "primary ", "following: "
	roleless := j.Primary == "" && len(j.Replicas) == 0 // pods that are all alike
	if models || roleless {
		d.How, first, others = "every member answers", "first in order: ", "then "
	}
	d.On = strings.Join(j.Replicas, ", ")
	d.Result = first + dash(j.Primary)
	if (models || roleless) && j.Primary == "" {
		d.Result = "back" // none is before another
	}
	if len(j.Replicas) > 0 {
		d.Result += "; " + others + strings.Join(j.Replicas, ", ")
	}
	for _, m := range slices.Sorted(maps.Keys(j.KeptOut)) {
		d.Result += fmt.Sprintf("; kept out: %s, %s", m, j.KeptOut[m])
		d.Bad = true
	}
	for _, m := range slices.Sorted(maps.Keys(j.Errant)) {
		d.Result += fmt.Sprintf("; errant on %s: %s", m, j.Errant[m])
	}
	if j.Error != "" {
		d.Result, d.Bad = j.Error, true
	}
	return d
}
