package verdict

import (
	"math"
	"slices"
)

// Distribution is what repeated drills came to.
type Distribution struct {
	Schema   string         `json:"schema"`
	Scenario string         `json:"scenario"`
	Topology string         `json:"topology"`
	Runs     int            `json:"runs"`
	Verdicts map[string]int `json:"verdicts"`
	// RTO are the upper bounds of the recovery times in seconds, sorted; runs that
	// did not recover are not among them, see Unrecovered.
	RTO         []float64 `json:"rto_s"`
	Unrecovered int       `json:"unrecovered"`
	Median      float64   `json:"rto_median_s"`
	Worst       float64   `json:"rto_worst_s"`
	// Quantile is the share of future runs that Worst bounds with 95 % confidence,
	// whatever the distribution is: with n runs the maximum bounds the p-quantile
	// with confidence 1 - p^n.
	Quantile float64  `json:"worst_bounds_quantile"`
	Lost     uint64   `json:"lost"`
	Acked    uint64   `json:"acknowledged"`
	RunIDs   []string `json:"run_ids"`
}

// Distribute sums up repeated drills of one scenario. Runs that were aborted,
// inconclusive or dirty count in Verdicts only.
func Distribute(results []Result) Distribution {
	d := Distribution{Schema: "firedrill/distribution/v1", Runs: len(results), Verdicts: map[string]int{}, RTO: []float64{}, RunIDs: []string{}}
	for _, r := range results {
		d.Scenario, d.Topology = r.Scenario, r.Topology
		d.Verdicts[r.Verdict]++
		d.RunIDs = append(d.RunIDs, r.RunID)
		if r.Verdict != Met && r.Verdict != Missed {
			continue
		}
		for _, l := range r.Ledgers {
			d.Lost, d.Acked = d.Lost+l.Lost, d.Acked+l.Acknowledged
		}
		for _, o := range r.Objectives {
			switch {
			case o.Name != "rto" || o.Actual == nil:
			case o.Actual.Hi == nil:
				d.Unrecovered++
			default:
				d.RTO = append(d.RTO, *o.Actual.Hi)
			}
		}
	}
	slices.Sort(d.RTO)
	if n := len(d.RTO); n > 0 {
		d.Median, d.Worst = d.RTO[n/2], d.RTO[n-1]
		if n%2 == 0 {
			d.Median = (d.RTO[n/2-1] + d.RTO[n/2]) / 2
		}
		d.Quantile = math.Pow(0.05, 1/float64(n))
	}
	return d
}
