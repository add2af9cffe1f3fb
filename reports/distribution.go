package reports

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// Distribution writes what repeated drills came to, for a terminal.
func Distribution(w io.Writer, d verdict.Distribution) error {
	fmt.Fprintf(w, "\n%s on %s, %d runs:", d.Scenario, d.Topology, d.Runs)
	for _, v := range slices.Sorted(maps.Keys(d.Verdicts)) {
		fmt.Fprintf(w, " %d %s", d.Verdicts[v], v)
	}
	fmt.Fprintln(w)
	for _, c := range d.Recovery {
		recoveries(w, c)
	}
	if d.Unaccounted > 0 {
		fmt.Fprintf(w, "  of %s nobody can say what was lost\n", counted(d.Unaccounted, "ledger"))
	}
	_, err := fmt.Fprintf(w, "  %s of %s acknowledged writes lost\n", si.Count(d.Lost), si.Count(d.Acked))
	return err
}

// recoveries writes how long a component took to recover.
func recoveries(w io.Writer, c verdict.ComponentDistribution) {
	of := ""
	if c.Component != "" {
		of = " of " + c.Component
	}
	if n := len(c.RTO); n > 0 {
		median := "–"
		if c.Median != nil {
			median = si.Duration(*c.Median)
		}
		fmt.Fprintf(w, "  recovery time%s: median %s, worst %s (upper bounds of %s)\n", of, median, si.Duration(*c.Worst), counted(n, "run"))
	}
	if c.Quantile != nil {
		fmt.Fprintf(w, "  with 95 %% confidence, %s of such drills take no longer than the worst\n", si.Percent(*c.Quantile))
		return
	}
	if c.Unrecovered > 0 {
		fmt.Fprintf(w, "  %s without recovery%s while the drill looked\n", counted(c.Unrecovered, "run"), of)
	}
	if c.Unmeasured > 0 {
		fmt.Fprintf(w, "  %s without a valid measurement%s\n", counted(c.Unmeasured, "run"), of)
	}
	fmt.Fprintln(w, "  so these runs bound no others")
}
