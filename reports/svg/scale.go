// Package svg holds what drawing needs: a scale, readable ticks, and compact
// paths. Horizontal positions are percentages, so that a picture keeps its text
// and its hatching in shape at every width and zoom.
package svg

import (
	"math"
	"strconv"
	"strings"
)

// Scale maps a stretch of time to percentages of a picture's width. To > From.
type Scale struct{ From, To float64 }

// At returns the position of x in percent, clamped to the picture: "12.3456%".
func (s Scale) At(x float64) string { return Num(100*s.share(x), 4) + "%" }

// Len returns the width of a stretch in percent, what lies outside cut off.
func (s Scale) Len(from, to float64) string {
	return Num(max(100*(s.share(to)-s.share(from)), 0), 4) + "%"
}

// Unit returns the position of x on a width of n whole units.
func (s Scale) Unit(x float64, n int) int { return int(math.Round(s.share(x) * float64(n))) }

func (s Scale) share(x float64) float64 {
	return min(max((x-s.From)/(s.To-s.From), 0), 1)
}

// Num writes x with at most digits decimals, without trailing zeros.
func Num(x float64, digits int) string {
	t := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(t, ".") {
		t = strings.TrimRight(strings.TrimRight(t, "0"), ".")
	}
	if t == "-0" {
		return "0"
	}
	return t
}

// Tick is a labelled moment on an axis.
type Tick struct {
	At    float64
	Label string
}

// steps are distances between ticks that people count in, in seconds.
var steps = [...]float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400}

// Ticks returns at most n moments, evenly spaced, 0 among them if it is visible.
func Ticks(from, to float64, n int) []Tick {
	step := steps[len(steps)-1]
	for _, s := range steps {
		if (to-from)/s <= float64(n) {
			step = s
			break
		}
	}
	var out []Tick
	for i := math.Ceil(from/step - 1e-9); i*step <= to+1e-9 && len(out) <= n; i++ {
		out = append(out, Tick{At: i * step, Label: label(i*step, step)})
	}
	return out
}

func label(x, step float64) string {
	switch {
	case x == 0:
		return "0"
	case step >= 3600:
		return sign(x) + Num(math.Abs(x)/3600, 2) + " h"
	case step >= 60:
		return sign(x) + Num(math.Abs(x)/60, 2) + " min"
	}
	return sign(x) + Num(math.Abs(x), 2) + " s"
}

func sign(x float64) string {
	if x < 0 {
		return "\u2212"
	}
	return ""
}
