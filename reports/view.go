package reports

import (
	"slices"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// page is a result in the words of a report: what HTML and Markdown have in common.
type page struct {
	R          verdict.Result
	Verdict    word
	Sentence   string
	Meta       []pair
	Objectives []objective
	// Shares tells that an objective is a share of requests.
	Shares   bool
	HealedBy string
	Outages  []outage
	// MoreOutages is how many shorter ones are not listed.
	MoreOutages int
	Waterfall   waterfall
	Losses      lossesView
	Ledgers     []ledgerView
	Requests    []requestsView
	Done        []deed
	Checks      []check
	Probes      []probe
	Evidence    []pair
	Timeline    timeline
}

// pair is a term and what it is. Code marks text for machines.
type pair struct {
	Term, Text string
	Code       bool
}

func newPage(r verdict.Result) page {
	r = plainly(r)
	z := zero(r)
	_, healed := healedBy(r.Recovery.By)
	all, more := outages(r, z)
	return page{
		R: r, Verdict: verdictWord(r.Verdict), Sentence: sentence(r), Meta: meta(r), Objectives: objectives(r), Shares: slices.ContainsFunc(r.Objectives, isShare), HealedBy: healed,
		Outages: all, MoreOutages: more, Waterfall: newWaterfall(r), Losses: newLosses(r), Ledgers: ledgers(r, z), Requests: requests(r), Done: deeds(r, z),
		Checks: checks(r), Probes: probes(r), Evidence: evidence(r), Timeline: newTimeline(r),
	}
}

// zero is the wall clock at the zero of the report's time axis: that of the
// picture, else when the fault was effective that the slowest recovery counts from.
func zero(r verdict.Result) time.Time {
	if !r.Picture.T0.IsZero() {
		return r.Picture.T0
	}
	head, slowest := "", -1.0
	for _, o := range r.Objectives {
		if o.Fault != "" && o.Actual != nil && o.Actual.Lo > slowest {
			head, slowest = o.Fault, o.Actual.Lo
		}
	}
	for _, f := range r.Faults {
		if (head == "" || f.Name == head) && f.Effective != nil && f.Effective.Hi != nil {
			return *f.Effective.Hi
		}
	}
	return r.StartedAt
}

// since returns t on the report's time axis.
func since(z, t time.Time) float64 { return t.Sub(z).Seconds() }

// sentence is the one that a manager can quote.
func sentence(r verdict.Result) string {
	if r.Sentence != "" {
		return r.Sentence
	}
	return verdictWord(r.Verdict).Meaning
}

func meta(r verdict.Result) []pair {
	out := []pair{
		{Term: "Scenario", Text: r.Scenario},
		{Term: "Topology", Text: r.Topology},
		{Term: "Started", Text: clock(r.StartedAt)},
		{Term: "Took", Text: si.Duration(r.FinishedAt.Sub(r.StartedAt).Seconds())},
	}
	by := r.Operator
	if r.Runner.Host != "" {
		if by != "" {
			by += " on "
		}
		by += r.Runner.Host
	}
	for _, p := range []pair{
		{Term: "Run by", Text: by},
		{Term: "Owner", Text: r.Owner},
		{Term: "Due", Text: r.Frequency},
		{Term: "Run", Text: r.RunID, Code: true},
	} {
		if p.Text != "" {
			out = append(out, p)
		}
	}
	return out
}

// clock writes an instant to the second, in UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// instant writes an instant to the millisecond, in UTC.
func instant(t time.Time) string { return t.UTC().Format("15:04:05.000 UTC") }
