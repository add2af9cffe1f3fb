package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
	"firedrill/drills/topology/route"
	"firedrill/drills/verdict"
	"firedrill/lab"
)

// hung is a scenario in which the primary stops where it is (SIGSTOP), and goes on
// when the drill is over.
func hung(t *testing.T, replace ...string) string {
	t.Helper()
	return quick(t, append(replace,
		"objectives: {rto: 30s}", "objectives: {rto: 30s, rpo: 0s}",
		"timeout: 2s", "timeout: 1s\n      with: {keep: true}",
		"process-kill", "process-pause",
	)...)
}

// fencedBy makes that way the only fence.
func fencedBy(way string) []string {
	return []string{"mysql-failover, target: {component: mysql}", "mysql-failover, target: {component: mysql}, with: {fence: [" + way + "]}"}
}

// A primary that hangs cannot be asked to refuse writes: it is killed, or cut off
// from its clients, before another is promoted. What it holds when it goes on was
// never acknowledged: diverged, and not lost.
func TestHungPrimaryIsFenced(t *testing.T) {
	p := inLab(t, "mysql")
	for way, scenario := range map[string]string{
		"stop":  hung(t),
		"route": hung(t, fencedBy("route")...),
	} {
		t.Run(way, func(t *testing.T) {
			res, out := p.drill(t, "mysql", scenario)
			require.Equal(t, verdict.ExitMet, out.code, out.stderr)
			fence := res.Remedies[0].Steps[0]
			t.Logf("%s in %.2f s: %s", fence.Name, fence.Took, fence.Detail)
			assert.True(t, strings.HasPrefix(fence.Detail, way+": "), fence.Detail)
			assert.Equal(t, map[string]string{"stop": "gone", "route": "clean"}[way], res.Faults[0].Revert)
			l := res.Ledgers[0]
			for _, n := range []uint64{l.Lost, l.Vanished, l.DualWrite, l.Resurrected, l.Duplicated, l.Phantom, l.RejectedButPresent} {
				assert.Zero(t, n, "%+v", l)
			}
			assert.Subset(t, expand(t, l.IDs["indeterminate"]), expand(t, l.IDs["diverged"]))
			errant := res.Rejoin[0].Errant[res.Faults[0].Targets[0]]
			if l.Diverged > 0 || way == "route" {
				// A primary that goes on may still commit when it is read back.
				var n uint64
				_, err := fmt.Sscanf(errant, "%d (", &n)
				assert.NoError(t, err, errant)
				assert.LessOrEqual(t, l.Diverged, n, "%d diverged, %s", l.Diverged, errant)
			}
			t.Logf("%d acknowledged, none lost; %d without an answer, %d of them in the old primary only", l.Acknowledged, l.Indeterminate, l.Diverged)
			for _, s := range res.Probes {
				t.Logf("%s/%s recovered in %s", s.Name, s.Client, bounds(*s.Recovery))
				assert.Greater(t, *s.Recovery.Hi, 1.0, "nobody knows before the first client gives up")
			}
			p.healthy(t, "mysql")
		})
	}
}

// Pools that hold their connections to the server that hangs are out for as long
// as their clients wait, new connections only until the route leads elsewhere.
// The slower ones decide.
func TestPooledClientsHangLonger(t *testing.T) {
	p := inLab(t, "mysql")
	w := witnessOf(t, strings.TrimSpace(p.run(t, "lab", "up", "mysql").stdout))
	w.leakyRoute(t)
	const patience = 4.0
	scenario := hung(t, append(fencedBy("route"),
		"baseline: 1s", "baseline: 4s", // every connection of the pool is in use by then
		"every: 10ms\n      timeout: 2s", "every: 50ms\n      timeout: 4s",
		"faults:\n", "  - {name: read, kind: mysql-read, target: {component: mysql}, every: 50ms, timeout: 500ms, clients: [fresh]}\n  faults:\n",
	)...)
	dir := filepath.Join(t.TempDir(), "run")
	out := p.run(t, "run", scenario, "--topology", w.save(t), "--out", dir)
	res := p.result(t, dir, out)
	require.Contains(t, []int{verdict.ExitMet, verdict.ExitMissed}, out.code, out.stderr)
	took := map[string]verdict.Seconds{}
	for _, s := range res.Probes {
		took[s.Name+"/"+s.Client] = *s.Recovery
		t.Logf("%s/%s recovered in %s", s.Name, s.Client, bounds(*s.Recovery))
	}
	fresh, pooled := took["write/fresh"], took["write/pooled"]
	require.NotNil(t, fresh.Hi)
	require.NotNil(t, pooled.Hi)
	assert.Greater(t, pooled.Lo, *fresh.Hi)
	assert.GreaterOrEqual(t, pooled.Lo, patience-0.5)
	assert.LessOrEqual(t, *pooled.Hi, patience+3, "a busy machine may add something")
	assert.Equal(t, "write/pooled", res.Objectives[0].Series)
	assert.Equal(t, pooled, *res.Objectives[0].Actual)
	p.healthy(t, "mysql")
}

// A route that closes without cutting its sessions, a client that waits long, a
// primary that goes on: two servers take writes. What the old one acknowledged is
// lost, and named, by its own table and log.
func TestDualWriteIsTrue(t *testing.T) {
	p := inLab(t, "mysql")
	p.spent(t, "mysql")
	w := witnessOf(t, strings.TrimSpace(p.run(t, "lab", "up", "mysql").stdout))
	w.withoutReclone(t)
	w.leakyRoute(t)
	scenario := hung(t, append(fencedBy("route"),
		"baseline: 1s", "baseline: 6500ms", // every connection of the pool is in use by then
		"every: 10ms\n      timeout: 2s", "every: 60ms\n      timeout: 6s\n      with: {keep: true}",
		"kind: process-kill", "kind: process-pause\n      for: 3s",
		"stable: {for: 500ms", "stable: {for: 2s",
		"faults:\n", "  - {name: read, kind: mysql-read, target: {component: mysql}, every: 50ms, timeout: 500ms, clients: [fresh]}\n  faults:\n",
	)...)
	dir := filepath.Join(t.TempDir(), "run")
	out := p.run(t, "run", scenario, "--topology", w.save(t), "--out", dir)
	res := p.result(t, dir, out)
	require.Equal(t, verdict.ExitMissed, out.code, out.stderr)
	c := compareLoss(t, w, dir, res)
	l := res.Ledgers[0]
	assert.Equal(t, c.only.ids(), expand(t, l.IDs["diverged"]), "diverged, one by one")
	for _, n := range []uint64{l.Resurrected, l.Vanished, l.Duplicated, l.Phantom, l.RejectedButPresent} {
		assert.Zero(t, n, "%+v", l)
	}
	dual := expand(t, l.IDs["dual_write"])
	t.Logf("%d of %d lost writes are proven dual writes; both servers acknowledged for %.2f s at least", len(dual), l.Lost, l.DualWriteWindow)
	assert.Equal(t, dualWrites(t, dir, res.Faults[0].Targets[0]), dual, "dual writes, one by one")
	assert.NotEmpty(t, dual)
	assert.Greater(t, int(l.Lost), len(dual), "what was sent before the hang was acknowledged after it")
	assert.Subset(t, c.lost.ids(), dual)
	_, last := c.only.span()
	first, _ := c.successor.rows.minus(c.old.rows).span()
	assert.Positive(t, l.DualWriteWindow)
	assert.LessOrEqual(t, l.DualWriteWindow, last-first+0.005, "by the servers' clock")
}

// dualWrites are what a member acknowledged between the first and the last
// acknowledgement of others that came after it, from the definition.
func dualWrites(t *testing.T, dir, member string) []string {
	t.Helper()
	first, last := timeline.Offset(math.MaxInt64), timeline.Offset(0)
	var its []ledger.Entry
	for e, err := range ledger.Read(ledger.Path(dir, "write")) {
		require.NoError(t, err)
		switch {
		case e.Outcome != ledger.Acknowledged:
		case e.Member == member:
			its = append(its, e)
		default:
			first, last = min(first, e.End), max(last, e.Start)
		}
	}
	out := []string{}
	for _, e := range its {
		if e.Start > first && e.End < last {
			out = append(out, e.ID.String())
		}
	}
	return sorted(out)
}

func bounds(s verdict.Seconds) string {
	if s.Hi == nil {
		return fmt.Sprintf("more than %.2f s", s.Lo)
	}
	return fmt.Sprintf("%.2f..%.2f s", s.Lo, *s.Hi)
}

// leakyRoute replaces the lab's route by one that goes to the same proxy and
// switches it badly: those who are connected stay connected.
func (w *witness) leakyRoute(t *testing.T) {
	t.Helper()
	var proxy route.HAProxySpec
	r := &w.file.Spec.Routes[0]
	require.NoError(t, json.Unmarshal(r.With, &proxy))
	// A program of its own: the test binary takes seconds to start with the race
	// detector, which would be the route's time, not the drill's.
	program := filepath.Join(t.TempDir(), "leakyroute")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/leakyroute").CombinedOutput()
	require.NoError(t, err, string(out))
	run := []string{program, proxy.Socket, lab.Backend}
	with, err := json.Marshal(map[string][]string{
		"switch": append(run[:3:3], "switch", "{member}"), "current": append(run[:3:3], "current"),
	})
	require.NoError(t, err)
	r.Kind, r.With = "exec", with
}
