package reports

import (
	"fmt"
	"strings"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// objective is one target beside what was measured.
type objective struct {
	Name, Label, Component string
	TargetName, Target     string
	Actual                 si.Reading
	Verdict                word
	// Badge is native, assisted or not healed; only for recovery times.
	Badge string
	// Lost is "0 of 48,211 acknowledged writes lost"; only for recovery points.
	Lost   string
	Why    string
	Series string
	Fault  string
	Bullet bullet
	// Untimed tells that there is no time to compare, only whether it came about.
	Untimed bool
	// Known tells that something was measured; Drawn, that a bullet chart says more
	// than the two numbers do: not for counts.
	Known, Drawn bool
}

// bullet is a bullet chart: positions in percent.
type bullet struct {
	Target string
	// Bar is the certain part, Lo to Hi the interval; both "" if not measured.
	Bar, Lo, Width string
	// Open tells that there is no upper bound.
	Open  bool
	Ticks []tick
	// Share tells that the chart is of a share, which is to reach the target.
	Share bool
	// Says is the chart in words.
	Says string
}

// tick is a labelled position in percent.
type tick struct{ X, Label string }

func objectives(r verdict.Result) []objective {
	out := make([]objective, 0, len(r.Objectives))
	for _, o := range r.Objectives {
		v := objective{
			Name: o.Name, Component: o.Component, Target: target(o), Actual: actual(o), Known: o.Actual != nil || o.Measured != nil, Drawn: !isCount(o),
			Verdict: verdictWord(o.Verdict), Why: o.Why, Series: o.Series, Fault: o.Fault, Lost: lostOf(r, o), Bullet: newBullet(o),
		}
		v.Label, v.TargetName = objectiveName(o.Name)
		if untimed(o) {
			v.untimed()
		}
		v.said()
		if o.Name == "rto" && o.Actual != nil {
			v.Badge, _ = healedBy(r.Recovery.By)
		}
		out = append(out, v)
	}
	return out
}

// untimed tells that an objective is to come about at all, by no set time. Only
// for a recovery point is zero a target.
func untimed(o verdict.ObjectiveResult) bool {
	return o.Target == 0 && o.Actual == nil && (o.Name == "rejoin" || o.Name == "steady-state")
}

// untimed says what came about in place of how long it took.
func (o *objective) untimed() {
	o.Untimed, o.Known, o.Drawn, o.Target = true, true, false, "–"
	yes, no := "complete", "incomplete"
	if o.Name == "steady-state" {
		yes, no = "held", "not held"
	}
	switch o.Verdict.Class {
	case verdict.Met:
		o.Actual = si.Reading{Value: yes}
	case verdict.Missed:
		o.Actual = si.Reading{Value: no}
	}
}

// said drops what the judge's own words say already.
func (o *objective) said() {
	if o.Series != "" && strings.Contains(o.Why, o.Series) {
		o.Series = ""
	}
	if o.Lost != "" && strings.HasPrefix(o.Why, o.Lost) {
		o.Why = strings.TrimLeft(strings.TrimPrefix(o.Why, o.Lost), ",;: .")
	}
	o.Why = asSentence(o.Why)
}

// lostOf says how many of a component's acknowledged writes were lost.
func lostOf(r verdict.Result, o verdict.ObjectiveResult) string {
	if o.Lost == nil {
		return ""
	}
	var acknowledged uint64
	for _, l := range r.Ledgers {
		if l.Component == o.Component {
			acknowledged += l.Acknowledged
		}
	}
	return fmt.Sprintf("%s of %s acknowledged writes lost", si.Count(*o.Lost), si.Count(acknowledged))
}

func newBullet(o verdict.ObjectiveResult) bullet {
	if isShare(o) {
		return newShareBullet(o)
	}
	longest := o.Target
	if o.Actual != nil {
		longest = max(longest, o.Actual.Lo)
		if o.Actual.Hi != nil {
			longest = max(longest, *o.Actual.Hi)
		}
	}
	if longest <= 0 {
		longest = 1
	}
	s := svg.Scale{From: 0, To: longest * 1.12}
	b := bullet{Target: s.At(o.Target)}
	for _, t := range svg.Ticks(0, s.To, 6) {
		b.Ticks = append(b.Ticks, tick{X: s.At(t.At), Label: t.Label})
	}
	label, _ := objectiveName(o.Name)
	b.Says = fmt.Sprintf("%s %s against a target of %s.", label, reading(o.Actual), si.Duration(o.Target))
	if o.Actual == nil {
		return b
	}
	hi := s.To
	if b.Open = o.Actual.Hi == nil; !b.Open {
		hi = *o.Actual.Hi
	}
	b.Bar, b.Lo, b.Width = s.Len(0, o.Actual.Lo), s.At(o.Actual.Lo), s.Len(o.Actual.Lo, hi)
	return b
}
