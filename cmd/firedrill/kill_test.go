package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// The runner is killed with SIGKILL after every single journal append of a
// drill: the watchdog (where it may live) or `firedrill recover` restores the
// topology, and a second recover is harmless.
func TestKilledAfterEveryAppend(t *testing.T) {
	p := inLab(t, "mysql")
	scenario := quick(t)
	last := -1
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
			assert.Equal(t, verdict.ExitMet, last, "after the last append the record is complete: nobody may add to it")
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
			last = rep.code
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

// SIGINT, SIGTERM or SIGHUP at any moment stops the drill and undoes it; a second one
// hurries. A drill that was stopped before everything was measured is never met.
func TestInterrupted(t *testing.T) {
	// margin is how long a signal may take to be heard.
	const margin = 500 * time.Millisecond
	p := inLab(t, "mysql")
	scenario := quick(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGINT} {
		if sig == syscall.SIGHUP && signal.Ignored(sig) {
			sig = syscall.SIGTERM // whoever runs the tests has it ignored, as nohup does
		}
		// Each in its own part of a drill, which takes about four seconds.
		after := time.Duration(i)*450*time.Millisecond + time.Duration(chance.Int64N(int64(450*time.Millisecond)))
		dir := filepath.Join(t.TempDir(), "run")
		c := p.command(t.Context(), "run", scenario, "--lab", "mysql", "--out", dir)
		var stderr strings.Builder
		c.Stderr = &stderr
		require.NoError(t, c.Start())
		sent := interrupt(t, c, sig, after, i%2 == 1)
		_ = c.Wait()
		code := c.ProcessState.ExitCode()
		switch {
		case code == -1: // the signal came before the drill had begun
			assert.NoFileExists(t, filepath.Join(dir, timeline.EventsFile), "after %s: %s", after, stderr.String())
		case sent.Before(measured(t, dir).Add(-margin)):
			assert.Equal(t, verdict.ExitAborted, code, "%s after %s: %s", sig, after, stderr.String())
		case sent.After(measured(t, dir)):
			assert.Equal(t, verdict.ExitMet, code, "%s after %s: %s", sig, after, stderr.String())
		default:
			assert.Contains(t, []int{verdict.ExitAborted, verdict.ExitMet}, code, "%s after %s: %s", sig, after, stderr.String())
		}
		out := p.run(t, "recover")
		assert.Contains(t, out.stdout, "Nothing to recover")
		p.healthy(t, "mysql")
	}
}

// measured is when the drill in a run directory had measured all it was to and began to
// put back; the end of time if it never did, or never began.
func measured(t *testing.T, dir string) time.Time {
	t.Helper()
	never := time.Now().Add(time.Hour)
	rec, err := timeline.Read(dir)
	if err != nil {
		return never
	}
	audited := false
	for _, e := range rec.Events {
		p, ok := e.Payload.(timeline.PhaseBegan)
		audited = audited || ok && p.Phase == timeline.PhaseAudit
		if ok && audited && p.Phase == timeline.PhaseRevert {
			return rec.Started.StartedAt.Add(time.Duration(e.T))
		}
	}
	return never
}

// interrupt sends a signal some time from now, and says when it did.
func interrupt(t *testing.T, c *exec.Cmd, sig syscall.Signal, after time.Duration, twice bool) time.Time {
	t.Helper()
	<-time.After(after)
	sent := time.Now()
	_ = c.Process.Signal(sig)
	if twice {
		<-time.After(50 * time.Millisecond)
		_ = c.Process.Signal(syscall.SIGINT)
	}
	return sent
}

// Whoever reads the drill's output goes away: it goes on to its end.
func TestNobodyReadsTheOutput(t *testing.T) {
	p := inLab(t, "mysql")
	dir := filepath.Join(t.TempDir(), "run")
	c := p.command(t.Context(), "run", quick(t), "--lab", "mysql", "--out", dir)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	c.Stdout, c.Stderr = w, w
	require.NoError(t, c.Start())
	require.NoError(t, errors.Join(w.Close(), r.Close()))
	_ = c.Wait()
	assert.Equal(t, verdict.ExitMet, c.ProcessState.ExitCode())
	assert.FileExists(t, filepath.Join(dir, "report.html"))
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
