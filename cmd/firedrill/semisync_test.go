package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// A primary that stops waiting for its replicas (after 500 ms here) stalls and then
// loses writes. The stall is put down to the fault that stopped the replicas, the
// outage to the kill, and recovery counts from the kill.
func TestOutagesAreAttributed(t *testing.T) {
	p := inLab(t, "mysql-semisync")
	p.spent(t, "mysql-semisync") // a server's timeout was changed
	w := witnessOf(t, strings.TrimSpace(p.run(t, "lab", "up", "mysql-semisync").stdout))
	for _, m := range w.component().Members {
		_, err := w.open(t, m.Name).ExecContext(t.Context(), "SET GLOBAL rpl_semi_sync_master_timeout=500")
		require.NoError(t, err)
	}
	scenario := lagging(t, "timeout: 500ms", "timeout: 400ms", "kind: process-kill", "kind: process-kill\n      at: 2s")
	res, out := p.drill(t, "mysql-semisync", scenario)
	require.Equal(t, verdict.ExitMissed, out.code, out.stderr)
	killed := *res.Faults[1].Effective
	stopped := *res.Faults[0].Effective
	for _, s := range res.Probes {
		by := map[string]verdict.Outage{}
		for _, o := range s.Outages {
			t.Logf("%s/%s: %s by %s, %s (%d bad)", s.Name, s.Client, bounds(o.Length), o.Cause, o.Class, o.Bad)
			if _, seen := by[o.Cause]; !seen {
				by[o.Cause] = o
			}
		}
		stall, down := by["stop-replication"], by["kill-primary"]
		assert.Equal(t, "timeout", stall.Class)
		assert.LessOrEqual(t, stall.Length.Lo, 0.55)
		assert.GreaterOrEqual(t, *stall.Length.Hi, 0.45)
		assert.True(t, stall.End.Hi.Before(killed.Lo), "the stall is over long before the kill")
		assert.True(t, stall.Start.Hi.After(stopped.Lo))
		require.NotNil(t, down.Length.Hi)
		assert.True(t, down.Start.Hi.After(killed.Lo))
		assert.Less(t, s.Recovery.Lo, 1.5, "counted from the kill, not from the stall 2 s before")
	}
	rto := res.Objectives[0]
	assert.Equal(t, "kill-primary", rto.Fault)
	assert.Equal(t, verdict.Met, rto.Verdict)
	// Half a second they waited, then went on alone until the kill.
	l := res.Ledgers[0]
	t.Logf("%d of %d acknowledged writes lost, recovery point %s", l.Lost, l.Acknowledged, bounds(*l.RecoveryPoint))
	assert.Positive(t, l.Lost)
	assert.InDelta(t, 1.5, l.RecoveryPoint.Lo, 0.3)
	assert.Less(t, *l.RecoveryPoint.Hi, 2.3)
	assert.True(t, strings.HasPrefix(res.Rejoin[0].Errant[res.Faults[1].Targets[0]], fmt.Sprintf("%d (", l.Diverged)), res.Rejoin[0].Errant)
}
