package reports

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/reports/reportstest"
)

// What did not hold at the end is a case of its own, and has no target in time.
func TestSteadyStateIsAnObjective(t *testing.T) {
	r := reportstest.Met()
	r.Objectives = append(r.Objectives, verdict.ObjectiveResult{
		Name: "steady-state", Component: "orders-db", Verdict: verdict.Missed, Series: "unpaid/fresh", Why: "probe unpaid/fresh did not hold",
	})
	var ju, text, md bytes.Buffer
	require.NoError(t, JUnit(&ju, r))
	assert.Contains(t, ju.String(), `<testcase name="steady-state orders-db" classname="firedrill.mysql-primary-loss.objectives" status="missed">`)
	assert.Contains(t, ju.String(), `<failure message="probe unpaid/fresh did not hold" type="missed">`)
	assert.NotContains(t, ju.String(), "steady-state.orders-db.target_s")
	require.NoError(t, summary(&text, r, "runs/x", false))
	assert.Regexp(t, `orders-db steady state +– +not held +Missed`, text.String())
	require.NoError(t, Markdown(&md, r))
	assert.Contains(t, md.String(), "| Steady state | orders-db | – | not held |   | **Missed** |")
}
