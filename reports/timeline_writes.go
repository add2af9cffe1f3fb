package reports

import (
	"fmt"
	"math"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// The writes' row in pixels.
const (
	writesHeight = 64
	writesTop    = 8
	writesBase   = 62
)

func (c canvas) writes(p verdict.Picture) group {
	if len(p.Writes) == 0 {
		return group{}
	}
	var most, total, lost int
	for _, w := range p.Writes {
		most, total, lost = max(most, w.Acknowledged), total+w.Acknowledged, lost+w.Lost
	}
	top := ceiling(most)
	v := row{
		Label: "writes", Sub: "acknowledged per second", Class: "writes", Height: writesHeight,
		Area: c.steps(p.Writes, top), Guides: []guide{{Y: writesTop, Text: si.Count(top) + "/s"}},
	}
	for _, w := range p.Writes {
		if w.Lost > 0 {
			h := max(height(w.Lost, top), 2)
			v.Bars = append(v.Bars, bar{
				X: c.At(w.At), W: c.Len(w.At, w.At+1), Y: writesBase - h, H: h, Class: "lost",
				Tip: fmt.Sprintf("%s of %s writes acknowledged in the second from %s are lost", si.Count(w.Lost), si.Count(w.Acknowledged), si.At(w.At)),
			})
		}
	}
	v.Says = fmt.Sprintf("%s writes acknowledged, at most %s in a second; %s of them lost.", si.Count(total), si.Count(most), si.Count(lost))
	return group{Name: "Writes", Rows: []row{v}}
}

// steps draws one step per second, down to the base where there is none.
func (c canvas) steps(rates []verdict.Rate, top int) string {
	var p svg.Path
	end := math.Inf(-1)
	for _, w := range rates {
		x := c.Unit(w.At, svg.Width)
		if w.At > end+0.001 {
			if !math.IsInf(end, -1) {
				p.V(writesBase)
				p.Close()
			}
			p.Move(x, writesBase)
		}
		p.V(writesBase - height(w.Acknowledged, top))
		p.H(c.Unit(w.At+1, svg.Width))
		end = w.At + 1
	}
	p.V(writesBase)
	p.Close()
	return p.String()
}

func height(n, top int) int {
	return int(math.Round(float64(min(n, top)) / float64(top) * (writesBase - writesTop)))
}

// ceiling is the next 1, 2, 3, 5 or 8 times a power of ten, and at least 1.
func ceiling(n int) int {
	for p := 1; ; p *= 10 {
		for _, m := range [...]int{1, 2, 3, 5, 8} {
			if m*p >= n {
				return m * p
			}
		}
	}
}
