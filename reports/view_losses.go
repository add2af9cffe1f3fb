package reports

import (
	"slices"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// lossesShown is how many losses a page draws: those that took longest.
const lossesShown = 12

// lossesView are the members that were lost and what took their place.
type lossesView struct {
	// Summary is one sentence about all of them, Late how late they were told of.
	Summary, Late string
	Rows          []lossView
	// More is how many shorter ones are not drawn.
	More  int
	Ticks []tick
}

// lossView is one member that was lost.
type lossView struct {
	Member, Node, Next, NextNode, Component string
	// Total is from the call until the replacement was in service.
	Total, Cause, Why string
	Phases            []lossPhase
}

// lossPhase is one stretch of it.
type lossPhase struct {
	Name, From, To, Took string
	// Sent is "4 of 12" requests that failed; Bad tells that any did.
	Sent string
	Bad  bool
	// Side is lost for what happened to the lost member, next for its replacement,
	// after for what came then.
	Side string
	X, W string
	// BadX and BadW are where the requests were sent that failed.
	BadX, BadW string
}

func newLosses(r verdict.Result) lossesView {
	all := slices.Clone(r.Losses)
	if len(all) == 0 {
		return lossesView{}
	}
	v := lossesView{Summary: lossSummary(all)}
	if r.WatchLag != nil {
		v.Late = si.Duration(*r.WatchLag)
	}
	if v.More = max(0, len(all)-lossesShown); v.More > 0 {
		all = longestLosses(all, lossesShown)
	}
	s := svg.Scale{From: all[0].Phases[0].From, To: all[0].Phases[0].To}
	for _, l := range all {
		for _, p := range l.Phases {
			s.From, s.To = min(s.From, p.From), max(s.To, p.To)
		}
	}
	if s.To <= s.From {
		s.To = s.From + 1
	}
	for _, l := range all {
		v.Rows = append(v.Rows, newLoss(l, s))
	}
	for _, t := range svg.Ticks(s.From, s.To, 8) {
		v.Ticks = append(v.Ticks, tick{X: s.At(t.At), Label: t.Label})
	}
	return v
}

// longestLosses are the n losses that took longest, in the order in which they came.
func longestLosses(all []verdict.LossResult, n int) []verdict.LossResult {
	took := make([]float64, 0, len(all))
	for _, l := range all {
		took = append(took, lossTook(l))
	}
	slices.Sort(took)
	least := took[len(took)-n]
	return slices.DeleteFunc(all, func(l verdict.LossResult) bool {
		if lossTook(l) < least || n == 0 {
			return true
		}
		n--
		return false
	})
}

// lossTook is longer than anything for what is not over.
func lossTook(l verdict.LossResult) float64 {
	if l.Total.Hi == nil {
		return 1e9 + l.Total.Lo
	}
	return *l.Total.Hi
}

func newLoss(l verdict.LossResult, s svg.Scale) lossView {
	v := lossView{
		Member: l.Member, Node: l.Node, Next: l.Replacement, NextNode: l.ReplacementNode, Component: l.Component,
		Total: si.Interval(l.Total.Lo, l.Total.Hi).String(), Cause: l.Cause, Why: asSentence(l.Why),
	}
	for _, p := range l.Phases {
		w := lossPhase{
			Name: p.Name, From: finely(p.From), To: finely(p.To), Took: si.Duration(p.To - p.From), Side: lossSide(p.Name),
			X: s.At(p.From), W: s.Len(p.From, p.To), Bad: p.Failed > 0,
		}
		if p.Open {
			w.Took, w.To = "more than "+w.Took, "the end of the watch"
		}
		if p.FailedFrom != nil && p.FailedTo != nil {
			w.BadX, w.BadW = s.At(*p.FailedFrom), s.Len(*p.FailedFrom, *p.FailedTo)
		}
		if p.Late > 0 {
			w.Took += " (± " + si.Duration(p.Late) + ")"
		}
		if p.Samples > 0 {
			w.Sent = si.Count(p.Failed) + " of " + si.Count(p.Samples)
		}
		v.Phases = append(v.Phases, w)
	}
	return v
}

// finely writes a moment to the millisecond: much of a loss is over within a second.
func finely(s float64) string {
	if s > 0 {
		return "+" + si.Duration(s)
	}
	return si.Duration(s)
}

func lossSide(phase string) string {
	switch phase {
	case verdict.LossKill, verdict.LossEndpoint, verdict.LossEnded:
		return "lost"
	case verdict.LossFailing:
		return "after"
	}
	return "next"
}

// lossSummary says how many were lost and how long the slowest took.
func lossSummary(all []verdict.LossResult) string {
	worst := all[0]
	open := 0
	for _, l := range all {
		if lossTook(l) > lossTook(worst) {
			worst = l
		}
		if l.Total.Hi == nil {
			open++
		}
	}
	out := counted(len(all), "member") + " lost"
	switch {
	case open > 0:
		return out + ", " + si.Count(open) + " not replaced while the drill looked."
	case len(all) == 1:
		return out + ", and in service again after " + si.Interval(worst.Total.Lo, worst.Total.Hi).String() + "."
	}
	return out + "; the slowest, " + worst.Member + ", was in service again after " + si.Interval(worst.Total.Lo, worst.Total.Hi).String() + "."
}
