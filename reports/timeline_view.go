package reports

import (
	"math"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// focus is the stretch from just before the fault until everything had healed;
// the whole run if that is most of it, or if nothing happened.
func focus(r verdict.Result) svg.Scale {
	p := r.Picture
	whole := svg.Scale{From: p.From, To: p.To}
	end := math.Inf(-1)
	for _, s := range r.Recovery.Phases {
		end = max(end, s.To)
	}
	if len(r.Recovery.Phases) == 0 {
		end = lastOutage(p)
	}
	if math.IsInf(end, -1) || end <= 0 {
		return whole
	}
	f := svg.Scale{From: max(p.From, -max(0.14*end, 0.5)), To: min(p.To, end+max(0.14*end, 0.5))}
	if f.To-f.From > 0.8*(whole.To-whole.From) {
		return whole
	}
	return f
}

// lastOutage is when the last outage ended that did end.
func lastOutage(p verdict.Picture) float64 {
	end := math.Inf(-1)
	for _, l := range p.Lanes {
		for _, b := range l.Bands {
			if b.State == "bad" && b.To < p.To-1e-9 {
				end = max(end, b.To)
			}
		}
	}
	return end
}

// worst is the longest outage that a judged client saw, with some room around it.
func worst(r verdict.Result) *stretch {
	var at *stretch
	for _, l := range r.Picture.Lanes {
		for _, b := range l.Bands {
			if l.Judged && b.State == "bad" && (at == nil || b.To-b.From > at.To-at.From) {
				at = &stretch{b.From, b.To}
			}
		}
	}
	if at == nil {
		return nil
	}
	room := max((at.To-at.From)*0.08, 0.2)
	return &stretch{at.From - room, at.To + room}
}

// fits tells in which views a text of that length has room in a bar.
func (c canvas) fits(text string, from, to float64) string {
	need := 12 + 6.7*float64(len([]rune(text)))
	var f string
	if width(c.focus, from, to) >= need {
		f = "f"
	}
	if width(c.Scale, from, to) >= need {
		f += "w"
	}
	return f
}

func width(s svg.Scale, from, to float64) float64 {
	return plotWidth * max(min(to, s.To)-max(from, s.From), 0) / (s.To - s.From)
}

func stretchText(from, to float64) string {
	return si.At(from) + " to " + si.At(to) + " (" + si.Duration(to-from) + ")"
}
