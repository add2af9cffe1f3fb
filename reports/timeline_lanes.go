package reports

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// A lane's layout in pixels: latency above, the band of states below.
const (
	laneHeight = 44
	dotsTop    = 4
	dotsBottom = 24
	bandTop    = 30
	bandHeight = 10
	// fastest is the latency, in seconds, at the bottom of the logarithmic scale.
	fastest = 0.0001
)

func (c canvas) lanes(r verdict.Result) group {
	g := group{Name: "Probes", Titled: true}
	for _, l := range r.Picture.Lanes {
		v := row{Label: l.Name, Class: "lane", Height: laneHeight, Inform: !l.Judged, Says: "Probe " + l.Name + ":"}
		for _, p := range r.Probes {
			if p.Name+"/"+p.Client == l.Name {
				v.Sub = "answers in " + si.Duration(p.RoundTrip)
			}
		}
		for _, b := range l.Bands {
			v.Bars = append(v.Bars, c.band(b)...)
			v.Says += " " + bandText(b) + "."
		}
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
	case "no-data":
		return []bar{{X: c.At(b.From), W: c.Len(b.From, b.To), Y: bandTop, H: bandHeight, Class: "nodata", Tip: tip}}
	}
	out := []bar{{X: c.At(b.From), W: c.Len(b.From, b.To), Y: bandTop - 1, H: bandHeight + 2, Class: "bad",
		Text: b.Class, TextX: c.textX(b.From, b.To), Fits: c.fits(b.Class, b.From, b.To), Tip: tip}}
	if out[0].Fits == "" {
		out[0].Text = ""
	}
	edge := func(from, to float64, what string) {
		out = append(out, bar{X: c.At(from), W: c.Len(from, to), Y: bandTop - 1, H: bandHeight + 2, Class: "edge",
			Tip: fmt.Sprintf("it %s somewhere in %s", what, stretchText(from, to))})
	}
	if b.FromWidth > 0 {
		edge(b.From-b.FromWidth, b.From, "began")
	}
	if b.ToWidth > 0 {
		edge(b.To, b.To+b.ToWidth, "ended")
	}
	return out
}

func bandText(b verdict.Band) string {
	state := map[string]string{"good": "good", "no-data": "no data"}[b.State]
	if state == "" {
		state = strings.TrimSuffix("bad, mostly "+b.Class, ", mostly ")
	}
	t := state + " " + stretchText(b.From, b.To)
	if w := b.FromWidth + b.ToWidth; w > 0 {
		t += ", edges uncertain by " + si.Duration(b.FromWidth) + " and " + si.Duration(b.ToWidth)
	}
	return t
}

// Points beyond these are thinned for drawing: the slowest of each stretch stays.
const (
	dotsShown = 360
)

// dots draws latency on a logarithmic scale, good and bad samples apart.
func (c canvas) dots(l verdict.Lane) (good, bad string) {
	slowest := cmp.Or(l.Timeout, 1)
	var g, b svg.Path
	var good0, bad0 []verdict.Point
	for _, p := range l.Points {
		if p.Class == "ok" {
			good0 = append(good0, p)
		} else if p.Class != "no-data" {
			bad0 = append(bad0, p)
		}
	}
	draw := func(to *svg.Path, ps []verdict.Point) {
		for _, p := range c.thin(ps) {
			y := dotsBottom - svg.Log(p.Took, fastest, slowest, dotsBottom-dotsTop)
			to.Dot(c.Unit(p.At, svg.Width), y)
		}
	}
	draw(&g, good0)
	draw(&b, bad0)
	return g.String(), b.String()
}

// thin keeps the slowest point of each of dotsShown stretches around the
// recovery, and of as many in the rest of the run.
func (c canvas) thin(ps []verdict.Point) []verdict.Point {
	if len(ps) <= 2*dotsShown {
		return ps
	}
	stretch := func(at float64) float64 {
		if at >= c.focus.From && at <= c.focus.To {
			return math.Floor(dotsShown * (at - c.focus.From) / (c.focus.To - c.focus.From))
		}
		return -1 - math.Floor(dotsShown*(at-c.From)/(c.To-c.From))
	}
	var out []verdict.Point
	last := math.Inf(-1)
	for _, p := range ps {
		k := stretch(p.At)
		if k != last {
			out, last = append(out, p), k
		} else if p.Took > out[len(out)-1].Took {
			out[len(out)-1] = p
		}
	}
	return out
}

// thinned tells whether any lane has more points than are drawn.
func thinned(lanes []verdict.Lane) bool {
	for _, l := range lanes {
		if len(l.Points) > 2*dotsShown {
			return true
		}
	}
	return false
}
