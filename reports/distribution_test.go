package reports

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

func TestDistributionClaimsNoMoreThanWasMeasured(t *testing.T) {
	run := func(hi *float64) verdict.Result {
		return verdict.Result{
			Scenario: "loss", Topology: "shop", Verdict: verdict.Met, Valid: true, Faults: []verdict.FaultResult{{}},
			Objectives: []verdict.ObjectiveResult{{Name: "rto", Component: "db", Actual: &verdict.Seconds{Lo: 1, Hi: hi}}},
		}
	}
	two := 2.0
	said := func(rs ...verdict.Result) string {
		var b bytes.Buffer
		require.NoError(t, Distribution(&b, verdict.Distribute(rs)))
		return b.String()
	}
	assert.Equal(t, `
loss on shop, 2 runs: 2 met
  recovery time of db: median 2 s, worst 2 s (upper bounds of 2 runs)
  with 95 % confidence, 22 % of such drills take no longer than the worst
  0 of 0 acknowledged writes lost
`, said(run(&two), run(&two)))
	assert.Equal(t, `
loss on shop, 2 runs: 2 met
  recovery time of db: median –, worst 2 s (upper bounds of 1 run)
  1 run without recovery of db while the drill looked
  so these runs bound no others
  0 of 0 acknowledged writes lost
`, said(run(&two), run(nil)))
}
