package reports

import (
	"cmp"
	"maps"
	"slices"
	"strings"

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
