package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/lab"
)

// during runs a drill on the lab and calls each function when the first line of its
// progress with that text appears.
func (p *patient) during(t *testing.T, scenario string, on map[string]func()) (verdict.Result, output) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	out := p.watched(t, on, "run", scenario, "--lab", p.lab, "--out", dir)
	return p.result(t, dir, out), out
}

// watched is during for any call of the program.
func (p *patient) watched(t *testing.T, on map[string]func(), args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr strings.Builder
	c := p.command(ctx, args...)
	c.Stdout = &stdout
	pipe, err := c.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	p.runner = c.Process
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		stderr.WriteString(lines.Text() + "\n")
		for text, do := range on {
			if strings.Contains(lines.Text(), text) {
				delete(on, text)
				do()
			}
		}
	}
	var exit *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NoError(t, ctx.Err(), "it hangs: %s", stderr.String())
	require.Empty(t, on, stderr.String())
	return output{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// The most advanced replica lacks what the fenced primary still has: it is not
// promoted, which says how much it lacks. That is the component's miss.
func TestReplicasLackTooMuch(t *testing.T) {
	p := ill(t, "mysql")
	res, out := p.drill(t, "mysql", quick(t, "rto: 30s", "rto: 1s",
		"faults:\n", `limits: {members: 3, sites: 2}
  faults:
    - {name: stop-replication, kind: mysql-replication-stop, prelude: true, target: {component: mysql, role: replica}}
`, "kind: process-kill", "kind: mysql-read-only\n      at: 500ms"))
	require.Equal(t, verdict.ExitMissed, out.code, out.stderr)
	require.Len(t, res.Remedies, 1, "what comes after a remedy that failed is not tried")
	assert.Regexp(t, `^choose: db-\d is the most advanced replica and lacks \d+ \(.*\) transactions that other members have: at most 0 are allowed \(maxMissing\)$`, res.Remedies[0].Error)
	assert.Contains(t, res.Sentence, "nothing healed it")
	assert.Contains(t, out.stderr, "the remediation did not succeed")
	p.whole(t)
}

// The chosen replica cannot apply what it received: the table is locked there.
func TestDrainTakesTooLong(t *testing.T) {
	p := ill(t, "mysql")
	ctx, unlock := context.WithCancel(context.Background())
	defer unlock()
	res, out := p.during(t, quick(t, "baseline: 1s", "baseline: 3s", "rto: 30s", "rto: 1s",
		"kind: mysql-failover, ", "kind: mysql-failover, with: {drainTimeout: 1s}, "), map[string]func(){
		"phase-began baseline": func() {
			for _, r := range p.replicas {
				table := p.value(t, r, "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables WHERE table_name LIKE 'ledger\\_%'")
				c, err := p.open(t, r).Conn(ctx)
				require.NoError(t, err)
				_, err = c.ExecContext(ctx, "LOCK TABLES "+table+" READ")
				require.NoError(t, err)
				context.AfterFunc(ctx, func() { c.ExecContext(context.Background(), "UNLOCK TABLES"); c.Close() })
			}
		},
		"remedy-ended promote FAILED": unlock,
	})
	require.Equal(t, verdict.ExitMissed, out.code, out.stderr)
	assert.Contains(t, res.Remedies[0].Error, "drain relay log: ")
	assert.Contains(t, res.Remedies[0].Error, "1s")
	t.Log(res.Remedies[0].Error)
	p.whole(t)
}

// late gives a test that acts once a fault is injected time to do so before the
// runner heals it.
var late = []string{"baseline: 1s", "baseline: 1s\n  healAfter: 2s"}

// The proxy dies while the primary is down: the route cannot be switched, neither
// by the remedy nor afterwards. That is said, and put right once there is a proxy.
func TestProxyDies(t *testing.T) {
	p := ill(t, "mysql")
	res, out := p.during(t, quick(t, append(late, "rto: 30s", "rto: 1s")...), map[string]func(){" injected kill-primary": func() { require.NoError(t, syscall.Kill(p.proxy(t), syscall.SIGKILL)) }})
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	assert.Contains(t, res.Remedies[1].Error, "connect to HAProxy (does it run,")
	require.Len(t, res.Cleanup.Leftovers, 1)
	assert.Contains(t, res.Cleanup.Leftovers[0], "route orders-rw: ")
	again := p.run(t, "recover")
	assert.Equal(t, verdict.ExitDirty, again.code, "there is still no proxy")
	assert.Contains(t, again.stderr, "route orders-rw: ")
	require.Zero(t, p.run(t, "lab", "up", "mysql").code)
	last := p.run(t, "recover")
	assert.Zero(t, last.code, last.stderr)
	p.whole(t)
}

// A replica dies by somebody else's hand: the other one takes over, and the drill
// does not pretend that the component is whole.
func TestReplicaDies(t *testing.T) {
	p := ill(t, "mysql")
	victim := p.replicas[0]
	res, out := p.during(t, quick(t, late...), map[string]func(){" injected kill-primary": func() { p.signal(t, victim, syscall.SIGKILL) }})
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	assert.Contains(t, res.Sentence, "the runner promoted "+p.replicas[1])
	require.Len(t, res.Cleanup.Leftovers, 1)
	assert.Contains(t, res.Cleanup.Leftovers[0], victim+": it does not answer")
	require.Zero(t, p.run(t, "lab", "up", "mysql").code)
	last := p.run(t, "recover")
	assert.Zero(t, last.code, last.stderr)
	p.whole(t)
}

// The primary dies by somebody else's hand before any fault: that is no result,
// and nobody is promoted in its place. The ledger's table is on the dead primary:
// it is dropped once that is back.
func TestPrimaryDiesInTheBaseline(t *testing.T) {
	p := ill(t, "mysql")
	primary := p.primary
	res, out := p.during(t, quick(t, "baseline: 1s", "baseline: 3s"), map[string]func(){"phase-began baseline": func() { p.signal(t, primary, syscall.SIGKILL) }})
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	assert.Contains(t, res.Sentence, "The drill was aborted: the baseline did not hold before any fault: ")
	assert.Empty(t, res.Faults)
	assert.Empty(t, res.Rejoin)
	require.Len(t, res.Cleanup.Leftovers, 1)
	assert.Contains(t, res.Cleanup.Leftovers[0], "drop table firedrill.ledger_")
	p.look(t)
	assert.Empty(t, p.primary, "nobody was promoted")
	require.Zero(t, p.run(t, "lab", "up", "mysql").code)
	last := p.run(t, "recover")
	assert.Zero(t, last.code, last.stderr)
	p.whole(t)
	assert.Equal(t, primary, p.primary)
}

// proxy is the process of the lab's proxy.
func (p *patient) proxy(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(p.member(t, p.primary).Dir), "proxy", "server.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	require.NoError(t, err)
	return pid
}

// The replication account's password is wrong, which only shows when a member is
// to follow another one. The drill is dirty and says why; once the password is
// right, recover needs nothing else.
func TestReplicationPasswordWrong(t *testing.T) {
	p := ill(t, "mysql")
	w := witnessOf(t, p.now.Topology)
	secret := filepath.Join(t.TempDir(), "repl")
	require.NoError(t, os.WriteFile(secret, []byte(wrong), 0o600))
	right := filepath.Join(p.home, "lab", "mysql", "secrets", "repl")
	w.with(t, "replication", map[string]string{"user": lab.ReplUser, "password": "file:" + secret})
	kept := p.keptSecret(t, wrong)
	dir := filepath.Join(t.TempDir(), "run")
	out := p.run(t, "run", quick(t, "rto: 30s", "rto: 1s"), "--topology", w.save(t), "--out", dir)
	res := p.result(t, dir, out)
	kept(dir, out)
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	require.Len(t, res.Cleanup.Leftovers, 1)
	assert.Contains(t, res.Cleanup.Leftovers[0], "Access denied for user 'firedrill_repl'")
	b, err := os.ReadFile(right)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(secret, b, 0o600))
	last := p.run(t, "recover")
	assert.Zero(t, last.code, last.stderr)
	p.whole(t)
}
