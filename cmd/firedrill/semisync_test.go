package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

// semiSyncDrills is how often the primary is killed.
func semiSyncDrills(t *testing.T) int {
	t.Helper()
	v := os.Getenv("FIREDRILL_SEMISYNC_DRILLS")
	if v == "" {
		return 20
	}
	n, err := strconv.Atoi(v)
	require.NoError(t, err, "FIREDRILL_SEMISYNC_DRILLS")
	return n
}

// Where commits wait for a replica, killing the primary at any instant loses
// nothing, however often it is done.
func TestSemiSyncLosesNothing(t *testing.T) {
	p := inLab(t, "mysql-semisync")
	n := semiSyncDrills(t)
	scenario := quick(t,
		"objectives: {rto: 30s}", "objectives: {rto: 30s, rpo: 0s}",
		"baseline: 1s", "baseline: 500ms",
		"every: 10ms", "every: 5ms",
		"timeout: 500ms", "timeout: 1s",
	)
	base := filepath.Join(t.TempDir(), "runs")
	out := p.runWithin(t, time.Duration(n+10)*20*time.Second, "run", scenario, "--lab", "mysql-semisync", "--repeat", strconv.Itoa(n), "--out", base)
	assert.Equal(t, verdict.ExitMet, out.code, out.stderr)
	var acked, inFlight uint64
	rebuilt := 0
	for i := range n {
		res := p.read(t, filepath.Join(base, fmt.Sprintf("quick-%03d", i+1)))
		require.Len(t, res.Ledgers, 1, res.Reasons)
		l := res.Ledgers[0]
		assert.Equal(t, verdict.Met, res.Verdict, "drill %d: %s", i+1, res.Reasons)
		assert.Empty(t, l.LostIDs, "drill %d", i+1)
		assert.Zero(t, l.Lost+l.Vanished+l.Duplicated+l.Phantom+l.DualWrite+l.RejectedButPresent, "drill %d: %+v", i+1, l)
		for _, o := range res.Objectives {
			assert.Equal(t, verdict.Met, o.Verdict, "drill %d, %s: %s", i+1, o.Name, o.Why)
		}
		acked, inFlight, rebuilt = acked+l.Acknowledged, inFlight+l.Indeterminate, rebuilt+len(res.Rejoin[0].Errant)
	}
	t.Logf("%d drills, %d writes acknowledged, none lost; %d without an answer, %d members rebuilt", n, acked, inFlight, rebuilt)
	assert.Contains(t, out.stderr, fmt.Sprintf("%d runs: %d met", n, n))
	t.Log(out.stderr[max(0, len(out.stderr)-400):])
	p.healthy(t, "mysql-semisync")
}
