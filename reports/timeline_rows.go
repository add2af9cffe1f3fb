package reports

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// barOf draws a span with its text inside where there is room.
func (c canvas) barOf(s verdict.Span, y, h int, class, text string) bar {
	b := bar{X: c.At(s.From), W: c.Len(s.From, s.To), Y: y, H: h, Class: class, Text: text, Fits: c.fits(text, s.From, s.To)}
	b.Tip = s.Name + ": " + stretchText(s.From, s.To)
	if s.Detail != "" {
		b.Tip += ". " + s.Detail
	}
	if b.Fits == "" {
		b.Text = ""
	}
	b.TextX = c.textX(s.From, s.To)
	return b
}

// textX is where a bar's text begins, in percent of the bar: where the bar comes
// into view around the recovery.
func (c canvas) textX(from, to float64) string {
	if from >= c.focus.From || to <= c.focus.From {
		return "0"
	}
	return svg.Num(100*(c.focus.From-from)/(to-from), 3) + "%"
}

func (c canvas) faults(r verdict.Result) group {
	g := group{Name: "Faults", Titled: true}
	z := zero(r)
	for _, s := range r.Picture.Faults {
		v := row{Label: s.Name, Sub: s.Kind, Class: "fault", Height: 30, Bars: []bar{c.barOf(s, 7, 16, "fault", cmp.Or(s.Detail, s.Kind))}}
		v.Says = "Fault " + s.Name + " in force from " + stretchText(s.From, s.To) + "."
		for _, f := range r.Faults {
			if f.Name != s.Name || f.Effective == nil || f.Effective.Hi == nil {
				continue
			}
			lo, hi := since(z, f.Effective.Lo), since(z, *f.Effective.Hi)
			v.Bars = append(v.Bars, bar{
				X: c.At(lo), W: c.Len(lo, hi), Y: 19, H: 4, Class: "edge",
				Tip: "became effective " + stretchText(lo, hi) + ", confirmed by " + f.ConfirmedBy,
			})
			v.Says += " It became effective between " + si.At(lo) + " and " + si.At(hi) + "."
		}
		g.Rows = append(g.Rows, v)
	}
	return g
}

// remedies packs the steps into as few rows as they fit without overlapping.
func (c canvas) remedies(r verdict.Result) group {
	g := group{Name: "Remedies", Titled: true}
	var ends []float64
	for i, s := range r.Picture.Remedies {
		k := 0
		for k < len(ends) && ends[k] > s.From+1e-9 {
			k++
		}
		if k == len(ends) {
			ends = append(ends, 0)
			g.Rows = append(g.Rows, row{Label: "steps", Class: "remedy", Height: 30, Says: "Remedies."})
		}
		ends[k] = s.To
		g.Rows[k].Bars = append(g.Rows[k].Bars, c.barOf(s, 7, 16, shade("remedy", i), s.Name))
		g.Rows[k].Says += " " + s.Name + ": " + stretchText(s.From, s.To) + "."
	}
	var names []string
	for _, m := range r.Remedies {
		names = append(names, m.Name)
	}
	if len(g.Rows) > 0 && len(names) > 0 {
		g.Rows[0].Label, g.Rows[0].Sub = strings.Join(names, ", "), fmt.Sprintf("%d steps", len(r.Picture.Remedies))
	}
	return g
}

// phases draws what the drill was doing, and the brackets of the recovery, whose
// numbers are those of the waterfall.
func (c canvas) phases(r verdict.Result) group {
	g := group{Name: "Phases", Titled: true}
	if ps := r.Picture.Phases; len(ps) > 0 {
		v := row{Label: "drill", Class: "phase", Height: 20, Says: "Phases of the drill."}
		for i, s := range ps {
			v.Bars = append(v.Bars, c.barOf(s, 2, 15, shade("phase", i), s.Name))
			v.Says += " " + s.Name + ": " + stretchText(s.From, s.To) + "."
		}
		g.Rows = append(g.Rows, v)
	}
	v := row{Label: "recovery", Class: "phase", Height: 22, Says: "Phases of the recovery."}
	for i, p := range steps(r) {
		s := verdict.Span{Name: phaseName(p.Name), From: p.From, To: p.To}
		no := strconv.Itoa(i + 1)
		b := c.barOf(s, 2, 16, "step by-"+phaseBy(r, p, recovered(r)), no+" "+s.Name)
		if !strings.Contains(b.Fits, "f") {
			b = c.barOf(s, 2, 16, b.Class, no)
		}
		b.Tip = no + " " + b.Tip
		v.Bars = append(v.Bars, b)
		v.Says += fmt.Sprintf(" %s %s: %s.", no, s.Name, stretchText(s.From, s.To))
	}
	if len(v.Bars) > 0 {
		g.Rows = append(g.Rows, v)
	}
	return g
}

// shade tells neighbours apart.
func shade(class string, i int) string {
	if i%2 == 1 {
		return class + " alt"
	}
	return class
}

func (c canvas) roles(p verdict.Picture) group {
	g := group{Name: "Roles", Titled: true}
	for _, l := range p.Roles {
		v := row{Label: l.Member, Aside: l.Component, Class: "role", Height: 22, Says: l.Member + ":"}
		for _, s := range l.Spans {
			v.Bars = append(v.Bars, c.barOf(s, 3, 16, "role "+roleClass(s.Kind), s.Name))
			v.Says += " " + s.Name + " " + stretchText(s.From, s.To) + "."
		}
		g.Rows = append(g.Rows, v)
	}
	return g
}

// roleClass keeps to the classes that the style sheet knows.
func roleClass(kind string) string {
	switch kind {
	case "primary", "replica", "instance", "down", "detached":
		return kind
	}
	return "other"
}
