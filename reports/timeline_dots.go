package reports

import (
	"cmp"
	"math"

	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

const (
	// fastest is the latency, in seconds, at the bottom of the logarithmic scale.
	fastest = 0.0001
	// dotsShown bounds the dots of a lane: the slowest of each stretch is drawn.
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
