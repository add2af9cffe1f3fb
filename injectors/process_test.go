package injectors_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
)

func one(m topology.MemberSpec) []topology.MemberSpec { return []topology.MemberSpec{m} }

// A shell restarts the server at once: Revert has nothing to do, and the witness
// says what it could not see.
func TestKillOfASupervisedMember(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.6.1:7001", "65551")
	var w struct {
		Start   []string
		PIDFile string
	}
	require.NoError(t, json.Unmarshal(m.Control.With, &w))
	supervisor := exec.Command("sh", "-c", `while :; do "$0" "$@"; done`, "setpriv", "--reuid=65551", "--regid=65551", "--clear-groups")
	supervisor.Args = append(supervisor.Args, w.Start...)
	supervisor.Args = append(supervisor.Args, "-pid-file", w.PIDFile)
	supervisor.Env = os.Environ()
	for k, v := range controltest.As("server") {
		supervisor.Env = append(supervisor.Env, k+"="+v)
	}
	require.NoError(t, supervisor.Start())
	t.Cleanup(func() {
		supervisor.Process.Kill()
		supervisor.Wait()
		assert.NoError(t, die(m)(context.Background()))
	})
	require.NoError(t, whole(1, m)(t.Context()))

	i := build(t, "process-kill", `{}`)
	to, u := begin(t, i, one(m), nil)
	by, err := confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Contains(t, by, "is gone from /proc")
	require.NoError(t, whole(1, m)(t.Context()))
	before, err := processesOf(t.Context(), m)
	require.NoError(t, err)
	require.NoError(t, i.Revert(t.Context(), u))
	after, err := processesOf(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, before[0].ID, after[0].ID, "the one that the supervisor started is left alone")
	by, err = confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Contains(t, by, "a supervisor has already started process")
}

func TestKillWithAnotherSignal(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.6.2:7001", "65552", "-children", "1")
	start(t, m)
	i := build(t, "process-kill", `{"signal":"SIGTERM"}`)
	to, u := begin(t, i, one(m), nil)
	by, err := confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Contains(t, by, "refuses connections")
}

func TestAMemberThatIsNotHurtIsNotConfirmed(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.6.3:7001", "65553", "-ignore-term")
	start(t, m)
	i := build(t, "process-kill", `{"signal":"TERM"}`)
	to, u := begin(t, i, one(m), nil)
	_, err := confirm(t, i, to, u, 100*time.Millisecond)
	assert.ErrorContains(t, err, "is still there")
}

// A server that lets the client speak first is provoked by a line.
func TestPauseOfAServerThatWaitsForItsClient(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.6.4:7001", "65554", "-shy")
	start(t, m)
	i := build(t, "process-pause", `{}`)
	to, u := begin(t, i, one(m), nil)
	by, err := confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Regexp(t, `member a: process \d+ with 0 below it is stopped \(/proc\), 127.0.6.4:7001 has not answered for .* \(it did to a line in .* before\)`, by)
}

func TestPauseOfAMemberThatEndedIsGone(t *testing.T) {
	controltest.Real(t)
	m := controltest.Member(t, "a", "127.0.6.5:7001", "65555", "-children", "1")
	start(t, m)
	require.Eventually(t, func() bool { return whole(3, m)(t.Context()) == nil }, 30*time.Second, 5*time.Millisecond)
	i := build(t, "process-pause", `{}`)
	to, err := injectortest.OpenTarget(kinds, one(m), nil)
	require.NoError(t, err)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	require.NoError(t, i.Inject(t.Context(), to, u))
	ps, err := processesOf(t.Context(), m)
	require.NoError(t, err)
	require.NoError(t, ps[0].Signal(unix.SIGKILL))
	require.Eventually(t, func() bool { _, err := ps[0].Now(); return err != nil }, 30*time.Second, time.Millisecond)
	require.ErrorIs(t, i.Revert(t.Context(), u), drills.ErrGone)
	left, err := owned(m.User)
	require.NoError(t, err)
	require.Len(t, left, 2)
	for _, p := range left {
		assert.False(t, p.Stopped(), "what is left of it goes on")
	}
	require.NoError(t, die(m)(t.Context()))
}

// The unit is that of the member's own control.
func TestSystemdStopOfTheMembersOwnUnit(t *testing.T) {
	controltest.Real(t)
	server := controltest.Member(t, "a", "127.0.6.6:7001", "65556")
	start(t, server)
	controltest.FakeSystemd(t, map[string]topology.MemberSpec{"a.service": server})
	m := server
	m.Control = &topology.ControlSpec{Kind: "systemd", With: json.RawMessage(`{"unit":"a.service"}`)}
	i := build(t, "systemd-stop", `{}`)
	to, u := begin(t, i, one(m), nil)
	by, err := confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Contains(t, by, "127.0.6.6:7001 refuses connections")
	require.NoError(t, i.Revert(t.Context(), u))
	require.NoError(t, whole(1, server)(t.Context()))
}

func TestFaultsRefuseATargetThatCannotBe(t *testing.T) {
	controltest.Real(t)
	stopped := controltest.Member(t, "orders-1", "127.0.6.7:7001", "65557")
	blind := topology.MemberSpec{Name: "orders-1", Address: "127.0.6.7:7001", Control: &topology.ControlSpec{
		Kind: "exec", With: json.RawMessage(`{"start":["true"],"stop":["true"],"status":["true"]}`),
	}}
	bare := topology.MemberSpec{Name: "orders-1", Address: "127.0.6.7:7001"}
	for name, c := range map[string]struct {
		kind, with, want string
		m                topology.MemberSpec
	}{
		"kill stopped":   {"process-kill", `{}`, "does not run", stopped},
		"pause stopped":  {"process-pause", `{}`, "does not run", stopped},
		"stop stopped":   {"process-stop", `{}`, "does not run", stopped},
		"kill unseen":    {"process-kill", `{}`, "cannot see its processes", blind},
		"no control":     {"process-stop", `{}`, "has no control", bare},
		"not by systemd": {"systemd-stop", `{}`, "has no control", stopped},
	} {
		t.Run(name, func(t *testing.T) {
			to, err := injectortest.OpenTarget(kinds, one(c.m), nil)
			require.NoError(t, err)
			_, err = build(t, c.kind, c.with).Prepare(t.Context(), to)
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, "orders-1")
		})
	}
}

func TestExecErrors(t *testing.T) {
	controltest.Real(t)
	m := topology.MemberSpec{Name: "a", Address: "127.0.6.8:1"}
	to, err := injectortest.OpenTarget(kinds, one(m), nil)
	require.NoError(t, err)

	there := build(t, "exec", `{"inject":["true"],"revert":["true"],"confirm":["true"],"timeout":"2s"}`)
	_, err = there.Prepare(t.Context(), to)
	assert.ErrorContains(t, err, "acts already")

	flag := filepath.Join(t.TempDir(), "flag")
	liar := build(t, "exec", `{"inject":["touch","`+flag+`"],"revert":["true"],"confirm":["test","-e","`+flag+`"],"timeout":"2s"}`)
	u, err := liar.Prepare(t.Context(), to)
	require.NoError(t, err)
	require.NoError(t, liar.Inject(t.Context(), to, u))
	assert.ErrorContains(t, liar.Revert(t.Context(), u), "still acts")

	silent := build(t, "exec", `{"inject":["true"],"revert":["sh","-c","echo no >&2; exit 4"]}`)
	u, err = silent.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.ErrorContains(t, silent.Revert(t.Context(), u), "member a: revert: run sh on this host: exit code 4: no")
	_, err = confirm(t, silent, to, u, time.Second)
	assert.ErrorContains(t, err, "no confirm command")
}

func TestCatalogueRefusesWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct{ kind, with, want string }{
		"signal":      {"process-kill", `{"signal":"LOUD"}`, "unknown signal"},
		"scope":       {"process-kill", `{"scope":"half"}`, "want tree or main"},
		"direction":   {"network-partition", `{"direction":"up"}`, "want one of both in out"},
		"mode":        {"network-partition", `{"mode":""}`, "want one of drop reject"},
		"user abroad": {"network-partition", `{"by":"user","namespace":"/x"}`, "leave out host and namespace"},
		"key only":    {"network-partition", `{"host":{"keyFile":"k"}}`, "need ssh"},
		"host only":   {"systemd-stop", `{"host":{"ssh":"op@h"}}`, "host needs unit"},
		"no revert":   {"exec", `{"inject":["x"]}`, "both needed"},
		"no time":     {"exec", `{"inject":["x"],"revert":["x"],"timeout":"0s"}`, "more than 0s"},
		"unknown key": {"process-pause", `{"signal":"STOP"}`, "signal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := injectors.All(kinds).Build(c.kind, json.RawMessage(c.with))
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, c.kind)
		})
	}
	for _, e := range injectors.All(kinds).Entries() {
		assert.NotEmpty(t, e.Doc, e.Name)
	}
}
