package main

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/journal"
	"firedrill/drills/verdict"
)

// The runner is killed with SIGKILL after every single journal append of a
// drill: the watchdog (where it may live) or `firedrill recover` restores the
// topology, and a second recover is harmless.
func TestKilledAfterEveryAppend(t *testing.T) {
	p := inLab(t, "mysql")
	scenario := quick(t)
	for n := 1; ; n++ {
		env := []string{dieAfter + "=" + strconv.Itoa(n)}
		watched := n%2 == 0
		if !watched {
			env = append(env, noWatchdog+"=1")
		}
		dir := filepath.Join(t.TempDir(), "run")
		out := p.with(env...).run(t, "run", scenario, "--lab", "mysql", "--out", dir)
		if out.code != -1 {
			require.Greater(t, n, 10, "the drill has fewer appends than it should: %s", out.stderr)
			t.Logf("%d appends, each followed by a SIGKILL", n-1)
			return
		}
		if watched {
			p.waitForWatchdog(t)
		}
		first := p.run(t, "recover")
		require.Zero(t, first.code, "append %d: %s%s", n, first.stdout, first.stderr)
		second := p.run(t, "recover")
		require.Zero(t, second.code, "append %d: %s", n, second.stderr)
		require.Contains(t, second.stdout, "Nothing to recover", "append %d", n)
		p.healthy(t, "mysql")
		if n > 1 {
			rep := p.run(t, "report", dir)
			assert.Contains(t, []int{verdict.ExitAborted, verdict.ExitMet}, rep.code, "append %d: %s", n, rep.stdout)
		}
	}
}

// waitForWatchdog waits until nothing is left to recover, which the watchdog
// sees to by itself.
func (p *program) waitForWatchdog(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		left, err := journal.List(filepath.Join(p.home, "journal"))
		return err == nil && len(left) == 0
	}, time.Minute, 50*time.Millisecond, "the watchdog did not put everything back")
}

// SIGINT at any moment stops the drill and undoes it; a second one hurries.
func TestInterrupted(t *testing.T) {
	p := inLab(t, "mysql")
	scenario := quick(t)
	for i, after := range []time.Duration{200, 700, 1300, 1600, 1900, 2200, 2600, 3200} {
		dir := filepath.Join(t.TempDir(), "run")
		c := p.command(t.Context(), "run", scenario, "--lab", "mysql", "--out", dir)
		var stderr strings.Builder
		c.Stderr = &stderr
		require.NoError(t, c.Start())
		interrupt(t, c, after*time.Millisecond, i%2 == 1)
		_ = c.Wait()
		code := c.ProcessState.ExitCode()
		if code == -1 { // the signal came before the program had begun
			assert.Empty(t, stderr.String(), "after %dms", after)
		} else {
			assert.Contains(t, []int{verdict.ExitMet, verdict.ExitMissed, verdict.ExitAborted}, code, "after %dms: %s", after, stderr.String())
		}
		out := p.run(t, "recover")
		assert.Contains(t, out.stdout, "Nothing to recover")
		p.healthy(t, "mysql")
	}
}

func interrupt(t *testing.T, c *exec.Cmd, after time.Duration, twice bool) {
	t.Helper()
	<-time.After(after)
	_ = c.Process.Signal(syscall.SIGINT)
	if twice {
		<-time.After(50 * time.Millisecond)
		_ = c.Process.Signal(syscall.SIGINT)
	}
}

// A lab that is taken down takes with it what an interrupted drill left there.
func TestLabDownEndsWhatWasLeft(t *testing.T) {
	p := inLab(t, "mysql")
	dir := filepath.Join(t.TempDir(), "run")
	out := p.with(dieAfter+"=7", noWatchdog+"=1").run(t, "run", quick(t), "--lab", "mysql", "--out", dir)
	require.Equal(t, -1, out.code, out.stderr)
	down := p.run(t, "lab", "down", "mysql")
	require.Zero(t, down.code, down.stderr)
	after := p.run(t, "recover")
	assert.Zero(t, after.code, after.stderr)
	assert.Contains(t, after.stdout, "Nothing to recover")
	assert.Equal(t, verdict.ExitAborted, p.run(t, "report", dir).code)
}
