package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// A primary that stops waiting for its replicas (after 1 s here) stalls and then
// loses writes. The stall is put down to the fault that stopped the replicas, the
// outage to the kill, and recovery counts from the kill.
func TestOutagesAreAttributed(t *testing.T) {
	p := inLab(t, "mysql-semisync")
	p.spent(t, "mysql-semisync") // a server's timeout was changed
	w := witnessOf(t, strings.TrimSpace(p.run(t, "lab", "up", "mysql-semisync").stdout))
	const waits, patience = 1.0, 0.8 // of the primary and of the clients, in seconds
	for _, m := range w.component().Members {
		_, err := w.open(t, m.Name).ExecContext(t.Context(), "SET GLOBAL rpl_semi_sync_master_timeout=1000")
		require.NoError(t, err)
	}
	scenario := lagging(t, "timeout: 2s", "timeout: 800ms", "kind: process-kill", "kind: process-kill\n      at: 3s")
	res, out := p.drill(t, "mysql-semisync", scenario)
	require.Equal(t, verdict.ExitMissed, out.code, out.stderr)
	killed := *res.Faults[1].Effective
	stopped := *res.Faults[0].Effective
	for _, s := range res.Probes {
		by, end := map[string]verdict.Outage{}, time.Time{}
		for _, o := range s.Outages {
			t.Logf("%s/%s: %s by %s, %s (%d bad)", s.Name, s.Client, bounds(o.Length), o.Cause, o.Class, o.Bad)
			if _, seen := by[o.Cause]; !seen {
				by[o.Cause] = o
			}
			if slices.Contains([]string{"kill-primary", "promote", "switch"}, o.Cause) {
				end = o.End.Lo
			}
		}
		stall, down := by["stop-replication"], by["kill-primary"]
		assert.Equal(t, "timeout", stall.Class)
		require.NotNil(t, stall.Length.Hi)
		assert.LessOrEqual(t, stall.Length.Lo, waits+0.5)
		assert.GreaterOrEqual(t, *stall.Length.Hi, waits-0.05)
		assert.True(t, stall.End.Hi.Before(killed.Lo), "the stall is over long before the kill")
		assert.True(t, stall.Start.Hi.After(stopped.Lo))
		require.NotNil(t, down.Length.Hi)
		assert.True(t, down.Start.Hi.After(killed.Lo))
		assert.InDelta(t, end.Sub(*killed.Hi).Seconds(), s.Recovery.Lo, 0.005, "counted from the kill, not from the stall 3 s before")
	}
	rto := res.Objectives[0]
	assert.Equal(t, "kill-primary", rto.Fault)
	assert.Equal(t, verdict.Met, rto.Verdict)
	// It waited for a second, then went on alone until the kill. The first that is
	// lost was sent while it waited, at the earliest.
	l := res.Ledgers[0]
	t.Logf("%d of %d acknowledged writes lost, recovery point %s", l.Lost, l.Acknowledged, bounds(*l.RecoveryPoint))
	assert.Positive(t, l.Lost)
	alone := killed.Lo.Sub(stopped.Lo).Seconds() - waits
	assert.InDelta(t, alone, l.RecoveryPoint.Lo, 0.5)
	assert.Less(t, *l.RecoveryPoint.Hi, alone+patience+0.5)
	assert.True(t, strings.HasPrefix(res.Rejoin[0].Errant[res.Faults[1].Targets[0]], fmt.Sprintf("%d (", l.Diverged)), res.Rejoin[0].Errant)
}
