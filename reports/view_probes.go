package reports

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// probe is one series as a row of a table.
type probe struct {
	Name, Kind, Via, Every, Samples, OK, NoData, Late, RoundTrip, Classes, Recovery string
	Judged                                                                          bool
}

func probes(r verdict.Result) []probe {
	out := make([]probe, 0, len(r.Probes))
	for _, p := range r.Probes {
		v := probe{
			Name: p.Name + "/" + p.Client, Kind: p.Kind, Via: p.Via, Every: si.Duration(p.Every), Samples: si.Count(p.Samples),
			OK: si.Count(p.OK), NoData: si.Count(p.NoData), Late: si.Duration(p.LateP99), RoundTrip: si.Duration(p.RoundTrip),
			Classes: failures(p.Classes), Judged: p.Judged, Recovery: "–",
		}
		if p.Recovery != nil {
			v.Recovery = reading(p.Recovery).String()
		}
		out = append(out, v)
	}
	return out
}

// failures lists the classes of failed samples, most frequent first.
func failures(classes map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(classes), func(a, b string) int {
		return cmp.Or(cmp.Compare(classes[b], classes[a]), cmp.Compare(a, b))
	})
	var out []string
	for _, k := range keys {
		if k != "ok" && k != "no-data" && classes[k] > 0 {
			out = append(out, k+" "+si.Count(classes[k]))
		}
	}
	return dash(strings.Join(out, ", "))
}

// outage is one outage of one series as a row of a table.
type outage struct {
	Series, Start, StartBound, End, EndBound, Length, Class, Cause string
	Bad                                                            string
	Judged                                                         bool
}

// outagesShown is how many outages a page lists.
const outagesShown = 60

// outages lists the longest outages in the order of the series, and how many
// shorter ones there are.
func outages(r verdict.Result, z time.Time) (out []outage, more int) {
	var lengths []float64
	for _, p := range r.Probes {
		for _, o := range p.Outages {
			lengths = append(lengths, o.Length.Lo)
		}
	}
	shortest := 0.0
	if more = len(lengths) - outagesShown; more > 0 {
		slices.Sort(lengths)
		shortest = lengths[more]
	}
	for _, p := range r.Probes {
		for _, o := range p.Outages {
			if o.Length.Lo >= shortest && len(out) < outagesShown {
				out = append(out, newOutage(p, o, z))
			}
		}
	}
	return out, max(more, 0)
}

func newOutage(p verdict.ProbeResult, o verdict.Outage, z time.Time) outage {
	v := outage{
		Series: p.Name + "/" + p.Client, Judged: p.Judged, Length: reading(&o.Length).String(),
		Class: o.Class, Cause: dash(o.Cause), Bad: si.Count(o.Bad),
	}
	v.Start, v.StartBound = moment(o.Start, z)
	v.End, v.EndBound = moment(o.End, z)
	return v
}

// moment writes an interval of instants on the report's time axis, as a value and
// a bound that cover it.
func moment(i verdict.Instants, z time.Time) (at, bound string) {
	lo := since(z, i.Lo)
	if i.Hi == nil {
		return "not while the drill looked", ""
	}
	hi := since(z, *i.Hi)
	switch {
	case lo > 0:
		m := si.Interval(lo, &hi)
		return "+" + m.Value, m.Bound
	case hi < 0:
		lo, hi = -hi, -lo
		m := si.Interval(lo, &hi)
		return "\u2212" + m.Value, m.Bound
	}
	far := max(-lo, hi)
	return "0 s", "± " + strings.TrimPrefix(si.Interval(0, &far).Value, "at most ")
}
