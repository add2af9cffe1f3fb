// Package si writes durations and counts for people: SI units, and never more
// digits than the bounds of the measurement justify.
package si

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// minus is the typographic minus sign.
const minus = "\u2212"

// fuzz absorbs binary fractions: 0.02 must not round up to 0.03.
const fuzz = 1e-9

// Reading is a measured duration with its bound.
type Reading struct {
	// Value is the best estimate, or a one-sided bound ("at most 110 ms").
	Value string
	// Bound is "± 0.02 s", or "" where Value says it all.
	Bound string
}

// String returns "11.43 s (± 0.02 s)".
func (r Reading) String() string {
	if r.Bound == "" {
		return r.Value
	}
	return r.Value + " (" + r.Bound + ")"
}

// Interval writes an interval of seconds that contains the true value; a nil hi
// means that there is no upper bound. What is written always covers [lo, hi]: the
// bound has one significant digit, rounded up, and the value no digit beyond it.
func Interval(lo float64, hi *float64) Reading {
	switch {
	case hi == nil:
		return Reading{Value: "more than " + floor(lo)}
	case *hi <= lo:
		return Reading{Value: Duration(lo)}
	case lo <= 0:
		return Reading{Value: "at most " + ceil(*hi)}
	}
	unit, scale := unitOf(*hi)
	l, h := lo*scale, *hi*scale
	digits := digitsFor((h - l) / 2)
	step := math.Pow10(-digits)
	mid := math.Round((l+h)/2/step+fuzz) * step
	bound := math.Ceil(math.Max(h-mid, mid-l)/step-fuzz*1e3) * step
	return Reading{
		Value: write(mid, digits, unit),
		Bound: "± " + strconv.FormatFloat(bound, 'f', digits, 64) + " " + unit,
	}
}

// Duration writes seconds that are exact or whose bound is told elsewhere, with
// three significant digits below 100 s, trailing zeros dropped.
func Duration(s float64) string {
	if s < 0 {
		return minus + Duration(-s)
	}
	unit, scale := unitOf(s)
	v := s * scale
	if v == 0 {
		return "0 s"
	}
	digits := 0
	switch {
	case unit == "s" && v >= 100:
		digits = 1
	case v < 100:
		digits = min(max(2-int(math.Floor(math.Log10(v))), 0), 3)
	}
	return trim(v, digits, unit)
}

// UpTo writes the upper bound of a duration with two to three significant digits,
// rounded up: the bound holds as written.
func UpTo(s float64) string { return ceil(s) }

// At writes a moment relative to the zero of a time axis: "+11.43 s", "0 s".
func At(s float64) string {
	digits := 2
	if math.Abs(s) >= 100 {
		digits = 1
	}
	step := math.Pow10(-digits)
	switch v := math.Round(s/step) * step; {
	case v == 0:
		return "0 s"
	case v < 0:
		return minus + write(-v, digits, "s")
	default:
		return "+" + write(v, digits, "s")
	}
}

// Count writes a number with thousands separated by commas.
func Count[T ~int | ~uint64 | ~int64](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = minus, s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Percent writes a share of a whole with two significant digits: "8.3 %".
func Percent(share float64) string {
	p := share * 100
	switch {
	case p == 0:
		return "0 %"
	case p < 0.1:
		return strconv.FormatFloat(p, 'g', 2, 64) + " %"
	case p < 1:
		return strconv.FormatFloat(p, 'f', 2, 64) + " %"
	case p < 10:
		return strconv.FormatFloat(p, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(p, 'f', 0, 64) + " %"
}

// unitOf returns the unit in which s is written, and units per second.
func unitOf(s float64) (string, float64) {
	switch {
	case s == 0 || s >= 0.9995:
		return "s", 1
	case s >= 0.0009995:
		return "ms", 1e3
	}
	return "µs", 1e6
}

// digitsFor returns the decimals at which half has one significant digit.
func digitsFor(half float64) int {
	return min(max(-int(math.Floor(math.Log10(half)+fuzz)), 0), 6)
}

func floor(s float64) string { return onesided(s, math.Floor) }
func ceil(s float64) string  { return onesided(s, math.Ceil) }

// onesided writes a bound with two to three significant digits, rounded away
// from the measured side.
func onesided(s float64, round func(float64) float64) string {
	unit, scale := unitOf(s)
	v := s * scale
	if v <= 0 {
		return "0 s"
	}
	digits := min(max(1-int(math.Floor(math.Log10(v)))+1, 0), 3)
	if v < 10 && unit != "s" {
		digits = 1
	}
	step := math.Pow10(-digits)
	nudge := fuzz * 1e3
	if round(0.5) == 1 {
		nudge = -nudge
	}
	return trim(round(v/step+nudge)*step, digits, unit)
}

// trim writes v without trailing zeros.
func trim(v float64, digits int, unit string) string {
	for digits > 0 {
		p := math.Pow10(digits - 1)
		if math.Abs(math.Round(v*p*10)-math.Round(v*p)*10) > 0.5 {
			break
		}
		digits--
	}
	return write(v, digits, unit)
}

// write writes v >= 0 with that many decimals; from 100 s on as minutes and hours.
func write(v float64, digits int, unit string) string {
	if unit != "s" || v < 100 {
		return strconv.FormatFloat(v, 'f', digits, 64) + " " + unit
	}
	step := int64(math.Pow10(digits))
	n := int64(math.Round(v * float64(step)))
	h, m, rest := n/(3600*step), n/(60*step)%60, n%(60*step)
	var parts []string
	if h > 0 {
		parts = append(parts, fmt.Sprintf("%d h", h))
	}
	if m > 0 {
		parts = append(parts, fmt.Sprintf("%d min", m))
	}
	if rest > 0 {
		parts = append(parts, strconv.FormatFloat(float64(rest)/float64(step), 'f', digits, 64)+" s")
	}
	return strings.Join(parts, " ")
}
