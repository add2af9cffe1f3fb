package reports

import (
	"fmt"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// A lane's layout in pixels: latency above, the band of states below.
const (
	laneHeight = 44
	dotsTop    = 4
	dotsBottom = 24
	bandTop    = 30
	bandHeight = 10
)

func (c canvas) lanes(r verdict.Result) group {
	g := group{Name: "Probes", Titled: true}
	z := zero(r)
	for _, l := range r.Picture.Lanes {
		v := row{Label: l.Name, Class: "lane", Height: laneHeight, Inform: !l.Judged}
		for _, p := range r.Probes {
			if p.Name+"/"+p.Client == l.Name {
				v.Sub = "answers in " + si.Duration(p.RoundTrip)
				l.Bands = withPartial(l.Bands, p.Partial, z)
			}
		}
		bands := coarse(l.Bands, c.To-c.From, max(bandsDrawn/len(r.Picture.Lanes), 20))
		for _, b := range bands {
			v.Bars = append(v.Bars, c.band(b)...)
		}
		v.Says = "Probe " + l.Name + ": " + bandsText(l.Bands)
		v.Good, v.Bad = c.dots(l)
		g.Rows = append(g.Rows, v)
	}
	return g
}

// band draws a stretch of one state, its uncertain edges apart from it.
func (c canvas) band(b verdict.Band) []bar {
	tip := bandText(b)
	switch b.State {
	case "good":
		return []bar{{X: c.At(b.From), W: c.Len(b.From, b.To), Y: bandTop + 4, H: 2, Class: "good", Tip: tip}}
	case partial:
		return []bar{{
			X: c.At(b.From), W: c.Len(b.From, b.To), Y: bandTop - 1, H: bandHeight + 2, Class: "partly",
			Text: b.Class, TextX: c.textX(b.From, b.To), Fits: c.fits(b.Class, b.From, b.To), Tip: tip,
		}}
	case "no-data":
		return []bar{{X: c.At(b.From), W: c.Len(b.From, b.To), Y: bandTop, H: bandHeight, Class: "nodata", Tip: tip}}
	}
	out := []bar{{
		X: c.At(b.From), W: c.Len(b.From, b.To), Y: bandTop - 1, H: bandHeight + 2, Class: "bad",
		Text: b.Class, TextX: c.textX(b.From, b.To), Fits: c.fits(b.Class, b.From, b.To), Tip: tip,
	}}
	if out[0].Fits == "" {
		out[0].Text = ""
	}
	edge := func(from, to float64, what string) {
		out = append(out, bar{
			X: c.At(from), W: c.Len(from, to), Y: bandTop - 1, H: bandHeight + 2, Class: "edge",
			Tip: fmt.Sprintf("it %s somewhere in %s", what, stretchText(from, to)),
		})
	}
	if b.FromWidth > 0 {
		edge(b.From-b.FromWidth, b.From, "began")
	}
	if b.ToWidth > 0 {
		edge(b.To, b.To+b.ToWidth, "ended")
	}
	return out
}
