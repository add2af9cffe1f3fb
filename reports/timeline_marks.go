package reports

import (
	"cmp"
	"slices"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// levels is how many lines of labels there are above the rows.
const levels = 3

// marksOf are the moments of the picture, and that of the recovery.
func marksOf(r verdict.Result) []verdict.Mark {
	ms := slices.Clone(r.Picture.Marks)
	isStable := func(p verdict.Phase) bool { return p.Name == "stable" }
	if slices.ContainsFunc(r.Recovery.Phases, isStable) {
		ms = append(ms, verdict.Mark{Name: "recovered", At: recovered(r)})
	}
	return ms
}

// marks places labels so that they do not cover each other around the recovery;
// what finds no place keeps its line and its tip.
func (c canvas) marks(ms []verdict.Mark) []mark {
	slices.SortStableFunc(ms, func(a, b verdict.Mark) int { return cmp.Compare(a.At, b.At) })
	var free [levels]float64
	out := make([]mark, 0, len(ms))
	for _, m := range ms {
		v := mark{X: c.At(m.At), Label: m.Name, Tip: m.Name + " " + si.At(m.At), At: m.At, Zero: m.At == 0, Level: -1}
		x := width(c.focus, c.focus.From, m.At)
		w := 10 + 6.4*float64(len([]rune(m.Name)))
		if v.End = x+w > plotWidth; v.End {
			x -= w
		}
		if m.At < c.focus.From || m.At > c.focus.To {
			v.Level, v.End = 0, false // seen only in the whole run
			out = append(out, v)
			continue
		}
		for l := range free {
			if x >= free[l] {
				v.Level, free[l] = l, x+w
				break
			}
		}
		out = append(out, v)
	}
	return out
}

// mini is the whole run at a glance.
type mini struct {
	Height int
	Bars   []bar
	Says   string
}

// mini draws one thin line per probe: only what was bad, or without data.
func (c canvas) mini(p verdict.Picture) mini {
	m := mini{Says: "The whole run at a glance: one line per probe, outages drawn as blocks."}
	y := 2
	for _, f := range p.Faults {
		m.Bars = append(m.Bars, bar{X: c.At(f.From), W: c.Len(f.From, f.To), Y: y, H: 3, Class: "fault"})
	}
	y += 6
	step := max(min(5, 90/max(len(p.Lanes), 1)), 2)
	for _, l := range p.Lanes {
		for _, b := range coarse(l.Bands, c.To-c.From, max(bandsDrawn/len(p.Lanes), 20)) {
			switch b.State {
			case "bad":
				m.Bars = append(m.Bars, bar{X: c.At(b.From), W: c.Len(b.From, b.To), Y: y, H: step - 1, Class: "bad"})
			case "good":
				m.Bars = append(m.Bars, bar{X: c.At(b.From), W: c.Len(b.From, b.To), Y: y + (step-1)/2, H: 1, Class: "good"})
			}
		}
		y += step
	}
	m.Height = y + 2
	return m
}
