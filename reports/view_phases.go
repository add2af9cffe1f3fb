package reports

import (
	"strconv"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// waterfall is where the time went.
type waterfall struct {
	Phases []phase
	Ticks  []tick
	// Waited and Assisted are the shares of the recovery time in which the runner
	// waited for others, and in which it acted.
	Waited, Assisted string
}

// phase is one stretch of the recovery.
type phase struct {
	No             string
	Name           string
	From, To, Took string
	// Share is the share of the recovery time, "" for what came after it.
	Share string
	// By is "runner" while the runner acted, "topology" otherwise, "after" once
	// it had recovered.
	By   string
	X, W string
}

func newWaterfall(r verdict.Result) waterfall {
	ps := steps(r)
	if len(ps) == 0 {
		return waterfall{}
	}
	end := recovered(r)
	s := svg.Scale{From: min(ps[0].From, 0)}
	if s.To = latest(ps); s.To <= s.From {
		return waterfall{}
	}
	w := waterfall{}
	var assisted, total float64
	for i, p := range ps {
		v := phase{
			No: strconv.Itoa(i + 1), Name: phaseName(p.Name), From: si.At(p.From), To: si.At(p.To), Took: si.Duration(p.To - p.From),
			By: phaseBy(r, p, end), X: s.At(p.From), W: s.Len(p.From, p.To),
		}
		if v.By != "after" && end > 0 && p.To > 0 {
			v.Share = share((p.To - p.From) / end)
			total += p.To - p.From
		}
		if v.By == "runner" {
			assisted += p.To - p.From
		}
		w.Phases = append(w.Phases, v)
	}
	for _, t := range svg.Ticks(s.From, s.To, 8) {
		w.Ticks = append(w.Ticks, tick{X: s.At(t.At), Label: t.Label})
	}
	if total > 0 {
		w.Waited, w.Assisted = si.Percent(1-assisted/total), si.Percent(assisted/total)
	}
	return w
}

// steps are the phases of the recovery, with what lies between them: nothing
// happened there but waiting, and that is where time goes too.
func steps(r verdict.Result) []verdict.Phase {
	var out []verdict.Phase
	for i, p := range r.Recovery.Phases {
		if i > 0 {
			if end := latest(out); p.From-end > 0.002 {
				out = append(out, verdict.Phase{Name: "wait", From: end, To: p.From})
			}
		}
		out = append(out, p)
	}
	return out
}

func latest(ps []verdict.Phase) float64 {
	end := ps[0].To
	for _, p := range ps {
		end = max(end, p.To)
	}
	return end
}

// share writes a share; no more digits than a reader can use.
func share(of float64) string {
	if of > 0 && of < 0.001 {
		return "< 0.1 %"
	}
	return si.Percent(of)
}

// phaseName is a phase in words.
func phaseName(name string) string {
	switch name {
	case "stable":
		return "held stable"
	case "wait":
		return "wait for the topology"
	}
	return name
}

// recovered is when the slowest judged client had recovered, in seconds on the
// report's axis: where being stable begins, or at the end of the last phase.
func recovered(r verdict.Result) float64 {
	ps := r.Recovery.Phases
	for _, p := range ps {
		if p.Name == "stable" {
			return p.From
		}
	}
	if len(ps) == 0 {
		return 0
	}
	return latest(ps)
}

// phaseBy tells who was at work in most of a phase.
func phaseBy(r verdict.Result, p verdict.Phase, end float64) string {
	if p.From >= end {
		return "after"
	}
	var acted float64
	for _, s := range r.Picture.Remedies {
		acted += max(min(s.To, p.To)-max(s.From, p.From), 0)
	}
	if acted > 0 && acted >= 0.5*(p.To-p.From) {
		return "runner"
	}
	return "topology"
}
