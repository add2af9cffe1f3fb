package truthtest

import (
	"context"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// needsServers skips the test where only tests without real servers are wanted.
func needsServers(t *testing.T) {
	if os.Getenv("FIREDRILL_TEST_REAL") == "0" {
		t.Skip("FIREDRILL_TEST_REAL=0")
	}
}

// outages is how many outages the test makes: more of them, and longer, if
// FIREDRILL_TRUTH_OUTAGES says so.
func outages(t *testing.T) int {
	text := os.Getenv("FIREDRILL_TRUTH_OUTAGES")
	if text == "" {
		return 380
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "FIREDRILL_TRUTH_OUTAGES")
	return n
}

// Begin, end and length of every outage are inside what is reported, nothing is
// made up, and nothing of two samples' distance or more is missed.
func TestReportsContainTheTruth(t *testing.T) {
	needsServers(t)
	n := outages(t)
	sites, looks := draft(20, n, 42)
	served := serve(t, sites)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-served.done
		wait(ctx, 500*time.Millisecond)
		cancel()
	}()
	rec := record(ctx, looks)

	sc := score{modes: map[string]int{}}
	var truthWidth []time.Duration
	samples := 0
	for i := range sites {
		require.Len(t, served.facts[i], len(sites[i].Steps), "site %d: the servers did not report every outage", i)
		newJudge(t, looks[i], rec, i, served, &sc).run()
		samples += len(rec.Samples[i])
		for _, f := range served.facts[i] {
			truthWidth = append(truthWidth, time.Duration(f.Down.Hi-f.Down.Lo), time.Duration(f.Up.Hi-f.Up.Lo))
		}
	}
	slices.Sort(truthWidth)
	t.Logf("%d samples; %d gaps; clocks related to ±%v", samples, len(rec.Gaps), time.Duration(rec.Relation.Error))
	t.Logf("%d outages matched (%d of them merged with another), %d not to be seen, %d wrong statements and %d more where the machine held requests up; by mode %v",
		sc.matched, sc.merged, sc.missed, sc.wrong, sc.excused, sc.modes)
	t.Logf("the servers' own instants are known to ±%v (median), ±%v (worst)",
		truthWidth[len(truthWidth)/2]/2, truthWidth[len(truthWidth)-1]/2)
	t.Logf("width/2(Δ+late+rtt): %s; strictly, width/2(Δ+rtt p50): %s; judged %d", quantiles(sc.ratios), quantiles(sc.strict), len(sc.ratios))
	told := sc.matched - sc.excused
	t.Logf("told of %d outages: %d, %d of %d widths within 1.3 strictly", n, told, within(sc.strict, 1.3), len(sc.strict))
	require.Zero(t, sc.wrong)
	require.LessOrEqual(t, sc.excused, 1+sc.matched/30, "the machine holds up too many requests for this test to say anything")
	require.GreaterOrEqual(t, told, n*15/19, "too few outages were there to be seen") // 300 of 380
}

// within counts what is not more than a limit.
func within(v []float64, limit float64) (n int) {
	for _, f := range v {
		if f <= limit {
			n++
		}
	}
	return n
}

func quantiles(v []float64) string {
	if len(v) == 0 {
		return "none"
	}
	slices.Sort(v)
	text := func(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }
	return "p50 " + text(v[len(v)/2]) + ", p99 " + text(v[len(v)*99/100]) + ", max " + text(v[len(v)-1])
}
