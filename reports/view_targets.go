package reports

import (
	"math"
	"strings"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// isShare tells whether an objective is a share of requests that must at least be
// reached.
func isShare(o verdict.ObjectiveResult) bool {
	return o.Name == "availability" || o.Name == "fallback"
}

// isCount tells whether an objective is a number that must not be exceeded.
func isCount(o verdict.ObjectiveResult) bool { return o.Limit != nil && !isShare(o) }

// target writes what is asked for: "5 min", "≥ 95 %", "≤ 0".
func target(o verdict.ObjectiveResult) string {
	switch {
	case o.Limit == nil && isShare(o):
		return "–"
	case o.Limit == nil:
		return si.Duration(o.Target)
	case isShare(o):
		return "≥ " + svg.Num(100**o.Limit, exactly) + " %"
	}
	return "≤ " + svg.Num(*o.Limit, exactly)
}

// exactly is as many decimals as a target can have; beyond is the noise of binary
// fractions.
const exactly = 9

// actual writes what was measured. No rounding makes what was missed look met, nor
// the other way round.
func actual(o verdict.ObjectiveResult) si.Reading {
	switch {
	case o.Measured != nil && isShare(o):
		return si.Reading{Value: atLeast(*o.Measured, max(decimals(o), 2))}
	case o.Measured != nil:
		return si.Reading{Value: si.Count(int64(*o.Measured))}
	}
	m := reading(o.Actual)
	if o.Name == "first-token-p95" && o.Actual != nil && o.Actual.Hi != nil {
		m.Value = si.UpTo(*o.Actual.Hi) // as the judge writes it: what 95 % did not exceed
	}
	if o.Actual != nil && o.Actual.Lo > o.Target && m.String() == si.Duration(o.Target) {
		m.Value = beyond(o.Actual.Lo, o.Target)
	}
	return m
}

// decimals is how many decimals the target of a share has in percent.
func decimals(o verdict.ObjectiveResult) int {
	if o.Limit == nil {
		return 0
	}
	_, fraction, _ := strings.Cut(svg.Num(100**o.Limit, exactly), ".")
	return len(fraction)
}

// fuzz absorbs binary fractions: 0.29 is 29 %, not 28.99 %.
const fuzz = 1e-9

// atLeast writes a share, rounded down: 100 % is all of it.
func atLeast(share float64, digits int) string {
	p := math.Pow10(digits)
	return svg.Num(math.Floor(share*100*p+fuzz)/p, digits) + " %"
}

// atMost writes a share, rounded up: 0 % is nothing of it.
func atMost(share float64, digits int) string {
	p := math.Pow10(digits)
	return svg.Num(math.Ceil(share*100*p-fuzz)/p, digits) + " %"
}

// beyond writes seconds with as many digits as it takes to tell them from a
// smaller number.
func beyond(s, than float64) string {
	for digits := 3; digits < exactly; digits++ {
		p := math.Pow10(digits)
		if v := math.Round(s*p) / p; v > than {
			return svg.Num(v, digits) + " s"
		}
	}
	return "more than " + si.Duration(than)
}

// newShareBullet draws a share on a scale of all requests.
func newShareBullet(o verdict.ObjectiveResult) bullet {
	s := svg.Scale{From: 0, To: 1}
	b := bullet{Share: true}
	for _, x := range []float64{0, 0.25, 0.5, 0.75, 1} {
		b.Ticks = append(b.Ticks, tick{X: s.At(x), Label: svg.Num(100*x, 0) + " %"})
	}
	if o.Limit != nil {
		b.Target = s.At(*o.Limit)
	}
	label, _ := objectiveName(o.Name)
	b.Says = label + " " + actual(o).String() + " against a target of " + target(o) + "."
	if o.Measured != nil {
		b.Bar, b.Lo, b.Width = s.At(*o.Measured), s.At(*o.Measured), s.Len(0, 0)
	}
	return b
}
