package control_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/control/proc"
)

// with changes the member's control.
func with(t *testing.T, m topology.MemberSpec, change func(map[string]any)) topology.MemberSpec {
	t.Helper()
	var w map[string]any
	require.NoError(t, json.Unmarshal(m.Control.With, &w))
	change(w)
	m.Control = &topology.ControlSpec{Kind: m.Control.Kind, With: controltest.JSON(t, w)}
	return m
}

func pidFile(t *testing.T, m topology.MemberSpec) string {
	t.Helper()
	var w struct{ PIDFile string }
	require.NoError(t, json.Unmarshal(m.Control.With, &w))
	return w.PIDFile
}

func status(t *testing.T, c topology.Control) topology.Status {
	t.Helper()
	st, err := c.Status(t.Context())
	require.NoError(t, err)
	return st
}

func TestProcessLifeCycle(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.1.1:7001", "65501", "-children", "2")
	c := open(t, m)
	assert.False(t, status(t, c).Running)
	require.NoError(t, c.Stop(t.Context()), "stopping what is stopped")

	require.NoError(t, c.Start(t.Context()))
	require.Eventually(t, func() bool { return len(status(t, c).PIDs) == 5 }, waitFor, tick,
		"the server, two children and one below each")
	st := status(t, c)
	require.True(t, st.Running)
	main, err := proc.Read(st.PIDs[0])
	require.NoError(t, err)
	assert.Equal(t, 65501, main.UID())
	assert.Equal(t, main.PID, main.Session, "a session of its own")

	require.NoError(t, c.Start(t.Context()), "starting what runs")
	assert.Equal(t, st.PIDs, status(t, c).PIDs)

	require.NoError(t, c.Stop(t.Context()))
	assert.False(t, status(t, c).Running)
	for _, pid := range st.PIDs {
		_, err := proc.Read(pid)
		assert.ErrorIs(t, err, os.ErrProcessDone)
	}
}

func TestProcessOutlivesTheRunnerAndInheritsNothing(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.1.1:7002", "65501")
	c := open(t, m)
	_, program := controltest.Dir(t)
	cmd := exec.Command(program, string(controltest.JSON(t, m)))
	cmd.Env = append(os.Environ(), "FIREDRILL_TEST_ROLE=starter", "SECRET=hush")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w} // what a careless parent left open to the runner
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	w.Close()

	st := status(t, c)
	require.True(t, st.Running, "the server survives the runner")
	base := fmt.Sprintf("/proc/%d/", st.PIDs[0])
	env, err := os.ReadFile(base + "environ")
	require.NoError(t, err)
	assert.NotContains(t, string(env), "hush")
	fds, err := os.ReadDir(base + "fd")
	require.NoError(t, err)
	for _, fd := range fds {
		to, _ := os.Readlink(base + "fd/" + fd.Name())
		assert.False(t, strings.HasPrefix(to, "pipe:"), "descriptor %s is %s", fd.Name(), to)
	}
	n, err := r.Read(make([]byte, 1))
	assert.Zero(t, n, "end of file: nobody holds the writing end any more (%v)", err)
}

func TestProcessIsFoundWithoutAPIDFile(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.1.1:7003", "65501")
	c := open(t, m)
	require.NoError(t, c.Start(t.Context()))
	want := status(t, c)
	b, err := os.ReadFile(pidFile(t, m))
	require.NoError(t, err, "firedrill writes the file for a server that does not")
	assert.Equal(t, fmt.Sprintln(want.PIDs[0]), string(b))

	require.NoError(t, os.Remove(pidFile(t, m)))
	got := status(t, c)
	assert.Equal(t, want.PIDs, got.PIDs)
	assert.Contains(t, got.Detail, "command")
}

func TestProcessDoesNotMistakeAnotherProcessForTheMember(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.1.1:7004", "65501")
	c := open(t, m)
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	defer func() { other.Process.Kill(); other.Wait() }()
	file := pidFile(t, m)

	require.NoError(t, os.WriteFile(file, fmt.Appendln(nil, other.Process.Pid), 0o644))
	assert.False(t, status(t, c).Running, "another user's process")

	self := with(t, m, func(w map[string]any) { w["user"] = "0" })
	require.NoError(t, os.Chtimes(file, unixTime(1), unixTime(1)))
	assert.False(t, status(t, open(t, self)).Running, "started long after the file was written")

	for _, junk := range []string{"", "junk", "-1", "0", "99999999"} {
		require.NoError(t, os.WriteFile(file, []byte(junk), 0o644))
		assert.False(t, status(t, c).Running, "pid file %q", junk)
	}
	require.NoError(t, c.Start(t.Context()))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintln(status(t, c).PIDs[0]), string(b), "the stale file is replaced")
	assert.NoError(t, other.Process.Signal(unix.Signal(0)), "the other process still runs")
}

func TestProcessRefusesToGuessBetweenTwoServers(t *testing.T) {
	controltest.Real(t)
	m := with(t, controltest.Member(t, "a", "127.0.1.1:7005", "65501"), func(w map[string]any) {
		w["start"], w["ready"] = w["start"].([]any)[:1], "process"
	})
	c := open(t, m)
	require.NoError(t, c.Start(t.Context()))
	first := status(t, c).PIDs[0]
	require.NoError(t, os.Remove(pidFile(t, m)))

	var w struct{ Start []string }
	require.NoError(t, json.Unmarshal(m.Control.With, &w))
	twin := exec.Command(w.Start[0])
	twin.Env = []string{"FIREDRILL_TEST_ROLE=server"}
	twin.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential(65501)}
	require.NoError(t, twin.Start())
	defer func() { twin.Process.Kill(); twin.Wait() }()

	require.Eventually(t, func() bool { _, err := c.Status(t.Context()); return err != nil }, waitFor, tick)
	_, err := c.Status(t.Context())
	assert.ErrorContains(t, err, "both run")
	assert.ErrorContains(t, err, "pidFile")
	p, err := proc.Read(first)
	require.NoError(t, err)
	require.NoError(t, p.Signal(unix.SIGKILL))
}

func TestProcessErrorsSayWhatToDo(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "orders-1", "127.0.1.1:7006", "65501")
	failing := with(t, m, func(w map[string]any) { w["start"] = append(w["start"].([]any), "-fail", "7") })
	err := open(t, failing).Start(t.Context())
	assert.ErrorContains(t, err, "start member orders-1")
	assert.ErrorContains(t, err, "exit status 7")
	assert.ErrorContains(t, err, filepath.Dir(pidFile(t, m)), "where the log is")

	missing := with(t, m, func(w map[string]any) { w["start"] = []any{"/nonexistent"} })
	assert.ErrorContains(t, open(t, missing).Start(t.Context()), "/nonexistent")

	l, err := net.Listen("tcp", "127.0.1.1:7007")
	require.NoError(t, err)
	l.Close()
	deaf := with(t, m, func(w map[string]any) {
		w["start"], w["startTimeout"] = append(w["start"].([]any), "-listen", "127.0.1.1:7008"), "100ms"
	})
	deaf.Address = "127.0.1.1:7007"
	err = open(t, deaf).Start(t.Context())
	assert.ErrorContains(t, err, "connection refused")
	assert.ErrorContains(t, err, "not up 100ms after the start")

	stubborn := with(t, m, func(w map[string]any) {
		w["start"], w["stopTimeout"] = append(w["start"].([]any), "-ignore-term"), "100ms"
	})
	stubborn.Address = "127.0.1.1:7006"
	c := open(t, stubborn)
	require.NoError(t, c.Start(t.Context()))
	assert.ErrorContains(t, c.Stop(t.Context()), "not stopped 100ms after SIGTERM")
}

func TestProcessRecognisesAScriptByItsInterpreter(t *testing.T) {
	controltest.Real(t)
	dir, _ := controltest.Dir(t)
	script := filepath.Join(dir, "run")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh -e\nsleep 300 & wait\n"), 0o755))
	m := topology.MemberSpec{Name: "s", Address: "127.0.1.1:1", User: "65502", Control: &topology.ControlSpec{
		Kind: "process", With: controltest.JSON(t, map[string]any{"start": []string{script, "x"}, "ready": "process"}),
	}}
	c := open(t, m)
	require.NoError(t, c.Start(t.Context()))
	require.Eventually(t, func() bool { return len(status(t, c).PIDs) == 2 }, waitFor, tick, "shell and sleep")
}

// A program that executed itself again is the parent of servers that it knows
// nothing of. One of them that was killed must not stay a zombie: MySQL takes the
// zombie that its socket's lock file names for a server that lives, and refuses to
// start.
func TestProcessReapsAServerThatItDoesNotKnowToBeItsChild(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.1.1:7010", "65501")
	c := open(t, m)
	var w struct{ Start []string }
	require.NoError(t, json.Unmarshal(m.Control.With, &w))
	cmd := exec.Command(w.Start[0], w.Start[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(65501)}
	cmd.Env = append(os.Environ(), "FIREDRILL_TEST_ROLE=server")
	require.NoError(t, cmd.Start()) // and nobody waits for it
	pid := cmd.Process.Pid
	require.NoError(t, os.WriteFile(pidFile(t, m), []byte(strconv.Itoa(pid)), 0o644))
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool {
		q, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err == nil && strings.Contains(string(q), ") Z ")
	}, waitFor, tick, "a zombie")

	assert.False(t, status(t, c).Running)
	assert.NoDirExists(t, fmt.Sprintf("/proc/%d", pid), "its exit status was taken")
	require.NoError(t, c.Start(t.Context()))
	assert.True(t, status(t, c).Running)
}
