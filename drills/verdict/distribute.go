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
	// Recovery is that of each component with a recovery time objective.
	Recovery []ComponentDistribution `json:"recovery"`
	// Lost and Acked are acknowledged writes, of all ledgers that could be accounted
	// for; Unaccounted is how many could not. Lost by putting things back counts too.
	Lost        uint64   `json:"lost"`
	Acked       uint64   `json:"acknowledged"`
	Unaccounted int      `json:"ledgers_unaccounted"`
	RunIDs      []string `json:"run_ids"`
}

// ComponentDistribution is how long a component took to recover, by run.
type ComponentDistribution struct {
	Component string `json:"component"`
	// RTO are the upper bounds of the recovery times in seconds, sorted: one of each
	// run that measured an interval, wherever the target lies in it.
	RTO []float64 `json:"rto_s"`
	// Unrecovered is how many runs had not recovered when they stopped looking, and
	// Unmeasured in how many a fault was injected without a valid measurement.
	Unrecovered int `json:"unrecovered"`
	Unmeasured  int `json:"unmeasured"`
	// Median is that of all runs that were measured; one that did not recover took
	// longer than any other. Nil if the median run did not recover.
	Median *float64 `json:"rto_median_s"`
	// Worst is the longest of RTO; nil if there is none.
	Worst *float64 `json:"rto_worst_s"`
	// Quantile is the share of future runs that Worst bounds with 95 % confidence,
	// whatever the distribution is: with n runs the maximum bounds the p-quantile
	// with confidence 1 - p^n. Nil unless all runs with a fault recovered, as they
	// alone are no sample of all.
	Quantile *float64 `json:"worst_bounds_quantile"`
}

// Distribute sums up repeated drills of one scenario. Runs in which no fault was
// injected count in Verdicts only.
func Distribute(results []Result) Distribution {
	d := Distribution{Schema: "firedrill/distribution/v2", Runs: len(results), Verdicts: map[string]int{}, Recovery: []ComponentDistribution{}, RunIDs: []string{}}
	for _, r := range results {
		d.Scenario, d.Topology = r.Scenario, r.Topology
		d.Verdicts[r.Verdict]++
		d.RunIDs = append(d.RunIDs, r.RunID)
		if len(r.Faults) == 0 {
			continue
		}
		for _, o := range r.Objectives {
			if o.Name == "rto" {
				d.component(o.Component).add(r, o)
			}
		}
		d.writes(r)
	}
	for i := range d.Recovery {
		d.Recovery[i].sum()
	}
	return d
}

// component is what is known of a component so far.
func (d *Distribution) component(name string) *ComponentDistribution {
	i := slices.IndexFunc(d.Recovery, func(c ComponentDistribution) bool { return c.Component == name })
	if i < 0 {
		i = len(d.Recovery)
		d.Recovery = append(d.Recovery, ComponentDistribution{Component: name, RTO: []float64{}})
	}
	return &d.Recovery[i]
}

// writes adds the ledgers of a run.
func (d *Distribution) writes(r Result) {
	for _, l := range r.Ledgers {
		if l.RecoveryPoint == nil {
			d.Unaccounted++
			continue
		}
		d.Lost, d.Acked = d.Lost+l.Lost+l.Vanished, d.Acked+l.Acknowledged
	}
}

// add adds a run's recovery time objective.
func (c *ComponentDistribution) add(r Result, o ObjectiveResult) {
	switch {
	case !r.Valid || o.Actual == nil:
		c.Unmeasured++
	case o.Actual.Hi == nil:
		c.Unrecovered++
	default:
		c.RTO = append(c.RTO, *o.Actual.Hi)
	}
}

func (c *ComponentDistribution) sum() {
	slices.Sort(c.RTO)
	n := len(c.RTO)
	if n == 0 {
		return
	}
	c.Worst = &c.RTO[n-1]
	all := n + c.Unrecovered
	if hi := all / 2; hi < n {
		m := c.RTO[hi]
		if all%2 == 0 {
			m = (c.RTO[hi-1] + m) / 2
		}
		c.Median = &m
	}
	if c.Unrecovered == 0 && c.Unmeasured == 0 {
		q := math.Pow(0.05, 1/float64(n))
		c.Quantile = &q
	}
}
