package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/lab"
)

// kills ends a process of the lab.
func kills(t *testing.T, m lab.MemberStatus) {
	t.Helper()
	require.NoError(t, syscall.Kill(m.PID, syscall.SIGKILL))
}

// The fault point dies in the middle of the drill, and with it the way to every
// vendor: nothing can be concluded, and the revert brings it back.
func TestFaultPointDies(t *testing.T) {
	l := served(t, "llm-manual")
	before := l.service(t, "fault-point")
	res, out := l.during(t, outage(t, `rto: 10s`, "rto: 1s"), map[string]func(){" confirmed vendor-gone": func() { kills(t, before) }})
	require.Equal(t, verdict.ExitInconclusive, out.code, out.stderr)
	assert.Contains(t, res.Reasons[0], "fault vendor-gone was not in force until it was reverted: ")
	assert.Contains(t, res.Reasons[0], "the fault point does not answer")
	assert.Equal(t, "clean", res.Faults[0].Revert)
	assert.Equal(t, "clean", res.Cleanup.Verdict)
	assert.Nil(t, res.Requests[0].AnsweredTwice, "who was billed is not known")
	assert.Contains(t, strings.Join(res.Caveats, "\n"), "what it saw before is not known")
	t.Log(res.Sentence)
	l.whole(t)
	assert.NotEqual(t, before.PID, l.service(t, "fault-point").PID)
}

// It dies and somebody starts it again at once: requests are answered, by a vendor
// that nobody has taken away. That must not pass for a recovery.
func TestFaultPointIsStartedAgain(t *testing.T) {
	l := served(t, "llm")
	res, out := l.during(t, outage(t), map[string]func(){" confirmed vendor-gone": func() {
		kills(t, l.service(t, "fault-point"))
		up := l.run(t, "lab", "up", "llm")
		require.Zero(t, up.code, up.stderr)
	}})
	require.Equal(t, verdict.ExitInconclusive, out.code, out.stderr)
	// Where that takes a while, it is missed before it is there again.
	assert.Contains(t, res.Reasons[0], "fault vendor-gone was not in force until it was reverted: ")
	assert.Regexp(t, "is no longer the process that it was: it was started again at |the fault point does not answer", res.Reasons[0])
	assert.Equal(t, "clean", res.Cleanup.Verdict)
	t.Log(res.Sentence)
	l.whole(t)
}

// It dies and cannot be started: the way to the vendors is not there, and the result
// says so. Once whatever was in the way is gone, recover needs nothing else.
func TestFaultPointCannotBeStarted(t *testing.T) {
	l := served(t, "llm-manual")
	text, err := os.ReadFile(l.now.Topology)
	require.NoError(t, err)
	topology := filepath.Join(t.TempDir(), "topology.yaml")
	text = []byte(replaced(t, string(text), "    with:\n      identify:", "    with:\n      settle: 1s\n      identify:"))
	require.NoError(t, os.WriteFile(topology, text, 0o600))
	program := filepath.Join(filepath.Dir(l.now.Members[0].Dir), "firedrill")
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, map[string]func(){" confirmed vendor-gone": func() {
		require.NoError(t, os.Rename(program, program+".gone"))
		kills(t, l.service(t, "fault-point"))
	}}, "run", outage(t, `rto: 10s`, "rto: 1s"), "--topology", topology, "--out", dir)
	res := l.result(t, dir, out)
	require.Equal(t, verdict.ExitDirty, out.code, out.stderr)
	const why = "firedrill: no such file or directory"
	assert.Contains(t, res.Cleanup.Leftovers[0], why)
	again := l.run(t, "recover")
	assert.Equal(t, verdict.ExitDirty, again.code, "it still cannot be started")
	assert.Contains(t, again.stderr, why)
	require.NoError(t, os.Rename(program+".gone", program))
	last := l.run(t, "recover")
	assert.Zero(t, last.code, last.stderr)
	t.Log(res.Sentence)
	l.whole(t)
}

// A port that is taken is said, and nobody is left to believe that the fault point
// runs.
func TestFaultPointPortIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	dir, err := os.MkdirTemp("", "fd-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	socket, at := filepath.Join(dir, "s"), taken.Addr().String()
	out := (&program{home: dir}).run(t, "faultpoint", "serve", "--socket", socket, "--point", "vendor-a="+at+"=http://127.0.0.1:1")
	assert.Equal(t, verdict.ExitUsage, out.code)
	assert.Equal(t, "firedrill: point vendor-a: listen tcp "+at+": bind: address already in use\n", out.stderr)
	assert.NoFileExists(t, socket)
}

// The runner is killed while the fault is in force: requests still pass the fault
// point, the watchdog ends the fault, and nothing is left to recover.
func TestRunnerIsKilledAmidAnOutage(t *testing.T) {
	l := served(t, "llm-manual")
	point := l.service(t, "fault-point")
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, map[string]func(){" confirmed vendor-gone": func() {
		st, err := l.point().State(t.Context())
		require.NoError(t, err)
		require.Len(t, st.Faults, 1)
		require.NoError(t, l.runner.Kill())
	}}, "run", outage(t), "--topology", l.now.Topology, "--out", dir)
	require.Equal(t, -1, out.code, "it was killed")
	l.waitForWatchdog(t)
	l.whole(t)
	assert.Equal(t, point.PID, l.service(t, "fault-point").PID, "requests went on through the same fault point")
	res := l.read(t, dir)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Sentence, "the runner died; the watchdog put everything back")
	assert.Equal(t, "clean", res.Faults[0].Revert)
	again := l.run(t, "report", dir)
	assert.Equal(t, verdict.ExitAborted, again.code, again.stderr)
}
