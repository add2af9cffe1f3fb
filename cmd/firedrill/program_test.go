package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

// The environment that makes the test binary behave as firedrill, die after a
// number of journal appends, or switch a route (see leakyRoute).
const (
	asProgram  = "FIREDRILL_TEST_MAIN"
	dieAfter   = "FIREDRILL_TEST_DIE_AFTER"
	noWatchdog = "FIREDRILL_TEST_NO_WATCHDOG"
	slack      = "FIREDRILL_TEST_SLACK"
)

func TestMain(m *testing.M) {
	// A lab's processes are this program too, and inherit no environment.
	command := len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-")
	if os.Getenv(asProgram) != "" || command {
		os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, testHooks()))
	}
	// With the race detector, every process would wait for a second before it ends.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	code := m.Run()
	for _, p := range labs {
		p.done()
	}
	os.Exit(code)
}

// testHooks kills the program, as kill -9 does, right after an append.
func testHooks() *hooks {
	n, err := strconv.Atoi(os.Getenv(dieAfter))
	h := &hooks{noWatchdog: os.Getenv(noWatchdog) != ""}
	h.slack, _ = time.ParseDuration(os.Getenv(slack))
	if err == nil {
		h.afterJournal = func(i int) {
			if i == n {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
	}
	return h
}

// program is firedrill with a home of its own.
type program struct {
	home string
	env  []string
}

// output is what a call of the program came to.
type output struct {
	code           int
	stdout, stderr string
}

// real tells whether tests against real servers are wanted; it skips where a
// person has opted out (see CONTRIBUTING.md).
func real(t *testing.T) {
	t.Helper()
	if os.Getenv("FIREDRILL_TEST_REAL") == "0" {
		t.Skip("FIREDRILL_TEST_REAL=0: tests against real servers are switched off")
	}
}

// labs are the labs that tests of this package share, by name; each is started
// by the first test that needs it.
var labs = map[string]*program{}

// inLab returns the program with a lab that is up and healthy.
func inLab(t *testing.T, name string) *program {
	t.Helper()
	real(t)
	if name == "kubernetes" {
		require.Regexp(t, "^TestCluster", t.Name(), "make test runs the tests in the cluster beside the others, by this name")
	}
	p := labs[name]
	if p == nil {
		home, err := os.MkdirTemp("", "fd-")
		require.NoError(t, err)
		p = &program{home: home}
		labs[name] = p
	}
	out := p.run(t, "lab", "up", name)
	require.Zero(t, out.code, out.stderr)
	return p
}

// spent takes a lab down with the test that leaves it degraded; inLab brings a
// new one up.
func (p *program) spent(t *testing.T, lab string) {
	t.Helper()
	t.Cleanup(func() {
		out, err := p.command(context.Background(), "lab", "down", lab).CombinedOutput()
		require.NoError(t, err, string(out))
	})
}

// done takes the program's labs down.
func (p *program) done() {
	_ = p.command(context.Background(), "lab", "down", "--all").Run()
	_ = os.RemoveAll(p.home)
}

func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Env = append(os.Environ(), asProgram+"=1", "FIREDRILL_HOME="+p.home)
	c.Env = append(c.Env, p.env...)
	return c
}

// with returns the program with more environment.
func (p *program) with(env ...string) *program {
	return &program{home: p.home, env: append(p.env[:len(p.env):len(p.env)], env...)}
}

// run calls the program and waits for it, for at most 3 minutes. A program that a
// signal killed has the code -1.
func (p *program) run(t *testing.T, args ...string) output {
	t.Helper()
	return p.runWithin(t, 3*time.Minute, args...)
}

func (p *program) runWithin(t *testing.T, limit time.Duration, args ...string) output {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c := p.command(ctx, args...)
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	require.NoError(t, ctx.Err(), "firedrill %s hangs: %s", strings.Join(args, " "), stderr.String())
	return output{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// drill runs a scenario on a lab and returns its result.
func (p *program) drill(t *testing.T, lab, scenario string, more ...string) (verdict.Result, output) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	out := p.run(t, append([]string{"run", scenario, "--lab", lab, "--out", dir}, more...)...)
	return p.result(t, dir, out), out
}

func (p *program) result(t *testing.T, dir string, out output) verdict.Result {
	t.Helper()
	r := p.read(t, dir)
	require.Equal(t, out.code, r.ExitCode, out.stderr)
	return r
}

// read reads the result in a run directory.
func (p *program) read(t *testing.T, dir string) (r verdict.Result) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "result.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

// healthy fails the test unless the lab is whole: one primary, every other
// member following it, the route leading there.
func (p *program) healthy(t *testing.T, lab string) {
	t.Helper()
	out := p.run(t, "lab", "status", lab, "-o", "json")
	require.Zero(t, out.code, out.stderr)
	var all []struct{ State string }
	require.NoError(t, json.Unmarshal([]byte(out.stdout), &all), out.stdout)
	require.Len(t, all, 1)
	require.Equal(t, "healthy", all[0].State, out.stdout)
}

// quick writes a scenario like the library's that takes a few seconds, with
// more spec lines than that.
func quick(t *testing.T, replace ...string) string {
	t.Helper()
	text := `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: quick}
spec:
  objectives: {rto: 30s}
  baseline: 1s
  stable: {for: 500ms, samples: 10}
  probes:
    - name: write
      kind: mysql-write
      target: {component: mysql}
      every: 10ms
      timeout: 2s
  faults:
    - name: kill-primary
      kind: process-kill
      target: {component: mysql, role: primary}
  remediation:
    - {name: promote, kind: mysql-failover, target: {component: mysql}}
    - {name: switch, kind: route-switch, target: {component: mysql}}
`
	text = strings.NewReplacer(replace...).Replace(text)
	path := filepath.Join(t.TempDir(), "quick.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
