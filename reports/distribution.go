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
	if n := len(d.RTO); n > 0 {
		fmt.Fprintf(w, "  recovery time: median %s, worst %s (upper bounds of %d measurements);\n", si.Duration(d.Median), si.Duration(d.Worst), n)
		fmt.Fprintf(w, "  with 95 %% confidence, %s of such drills take no longer than the worst\n", si.Percent(d.Quantile))
	}
	if d.Unrecovered > 0 {
		fmt.Fprintf(w, "  %d measurements without recovery\n", d.Unrecovered)
	}
	_, err := fmt.Fprintf(w, "  %s of %s acknowledged writes lost\n", si.Count(d.Lost), si.Count(d.Acked))
	return err
}
