package reports

import (
	"slices"
	"strings"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// outage is one outage of one series as a row of a table, or one partial outage,
// which stands for all the short ones that it is made of.
type outage struct {
	Series, Start, StartBound, End, EndBound, Length, Class, Cause string
	// Bad is how many samples failed: "228", or "31 % of 412" of a partial outage.
	Bad             string
	Judged, Partial bool

	length float64
}

// outagesShown is how many outages a page lists.
const outagesShown = 60

// outages lists the longest outages in the order of the series, and how many
// shorter ones there are.
func outages(r verdict.Result, z time.Time) (out []outage, more int) {
	for _, p := range r.Probes {
		out = append(out, outagesOf(p, z)...)
	}
	if more = len(out) - outagesShown; more <= 0 {
		return out, 0
	}
	lengths := make([]float64, 0, len(out))
	for _, o := range out {
		lengths = append(lengths, o.length)
	}
	slices.Sort(lengths)
	room := outagesShown
	return slices.DeleteFunc(out, func(o outage) bool {
		if o.length < lengths[more] || room == 0 {
			return true
		}
		room--
		return false
	}), more
}

// outagesOf lists the outages of a series, partial ones in one row each.
func outagesOf(p verdict.ProbeResult, z time.Time) []outage {
	var out []outage
	rest := p.Partial
	for i := 0; i < len(p.Outages); {
		o := p.Outages[i]
		for len(rest) > 0 && rest[0].End.Lo.Before(o.Start.Lo) {
			rest = rest[1:]
		}
		if len(rest) == 0 || o.Start.Lo.Before(rest[0].Start.Lo) {
			out = append(out, newOutage(p, o, z))
			i++
			continue
		}
		out = append(out, newPartial(p, rest[0], o.Cause, z))
		for ; i < len(p.Outages) && !p.Outages[i].Start.Lo.After(rest[0].End.Lo); i++ {
			continue
		}
	}
	return out
}

func newOutage(p verdict.ProbeResult, o verdict.Outage, z time.Time) outage {
	v := outage{
		Series: p.Name + "/" + p.Client, Judged: p.Judged, Length: reading(&o.Length).String(),
		Class: o.Class, Cause: dash(o.Cause), Bad: si.Count(o.Bad), length: o.Length.Lo,
	}
	v.Start, v.StartBound = moment(o.Start, z)
	v.End, v.EndBound = moment(o.End, z)
	return v
}

// newPartial makes a row of a stretch in which some requests failed and others did
// not; its first outage tells the cause.
func newPartial(p verdict.ProbeResult, s verdict.PartialResult, cause string, z time.Time) outage {
	length := verdict.Seconds{}
	if s.Start.Hi != nil {
		length.Lo = max(since(*s.Start.Hi, s.End.Lo), 0)
	}
	if s.End.Hi != nil {
		hi := since(s.Start.Lo, *s.End.Hi)
		length.Hi = &hi
	}
	return newOutage(p, verdict.Outage{Start: s.Start, End: s.End, Length: length, Class: s.Class, Cause: cause}, z).partly(s)
}

// partly says how many samples failed, and of how many.
func (o outage) partly(s verdict.PartialResult) outage {
	o.Partial, o.Bad = true, si.Percent(s.Share)+" of "+si.Count(s.Samples)
	return o
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
