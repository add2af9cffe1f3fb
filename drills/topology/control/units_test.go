package control_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
)

// See controltest.FakeSystemd for what is real here and what is not.
func TestSystemdLifeCycle(t *testing.T) {
	controltest.Real(t)
	server := controltest.Member(t, "a", "127.0.1.2:7001", "65503", "-children", "1")
	direct := open(t, server)
	controltest.FakeSystemd(t, map[string]topology.MemberSpec{"a.service": server})
	m := topology.MemberSpec{Name: "a", Address: server.Address, Control: &topology.ControlSpec{
		Kind: "systemd", With: controltest.JSON(t, map[string]any{"unit": "a.service"}),
	}}
	c := open(t, m)
	st := status(t, c)
	assert.False(t, st.Running)
	assert.Equal(t, "unit a.service is inactive (dead)", st.Detail)

	require.NoError(t, c.Start(t.Context()))
	require.NoError(t, c.Start(t.Context()))
	assert.Equal(t, status(t, direct).PIDs, status(t, c).PIDs)
	require.NoError(t, c.Stop(t.Context()))
	require.NoError(t, c.Stop(t.Context()))
	assert.False(t, status(t, direct).Running)
}

func TestSystemdUnknownUnitIsAnError(t *testing.T) {
	controltest.Real(t)
	controltest.FakeSystemd(t, nil)
	m := topology.MemberSpec{Name: "a", Control: &topology.ControlSpec{
		Kind: "systemd", With: controltest.JSON(t, map[string]any{"unit": "nope.service"}),
	}}
	c := open(t, m)
	_, err := c.Status(t.Context())
	assert.ErrorContains(t, err, "nope.service")
	assert.ErrorContains(t, err, "not-found")
	assert.ErrorContains(t, c.Start(t.Context()), "Unit nope.service not found")
}

func TestExecLifeCycle(t *testing.T) {
	controltest.Real(t)
	flag := filepath.Join(t.TempDir(), "{member}")
	spec := map[string]any{
		"start":   []string{"touch", flag},
		"stop":    []string{"rm", "-f", flag},
		"status":  []string{"sh", "-c", "test -e \"$0\" || exit 3", flag},
		"timeout": "5s",
	}
	m := topology.MemberSpec{Name: "a", Control: &topology.ControlSpec{Kind: "exec", With: controltest.JSON(t, spec)}}
	c := open(t, m)
	assert.False(t, status(t, c).Running)
	require.NoError(t, c.Start(t.Context()))
	require.NoError(t, c.Start(t.Context()))
	assert.FileExists(t, filepath.Join(filepath.Dir(flag), "a"))
	assert.True(t, status(t, c).Running)
	require.NoError(t, c.Stop(t.Context()))
	assert.False(t, status(t, c).Running)
}

func TestExecStatusThatIsNeitherIsAnError(t *testing.T) {
	controltest.Real(t)
	spec := map[string]any{
		"start": []string{"true"}, "stop": []string{"true"}, "timeout": "50ms",
		"status": []string{"sh", "-c", "echo cannot tell >&2; exit 4", "hush"},
	}
	m := topology.MemberSpec{Name: "a", Control: &topology.ControlSpec{Kind: "exec", With: controltest.JSON(t, spec)}}
	_, err := open(t, m).Status(t.Context())
	assert.ErrorContains(t, err, "exit code 4: cannot tell")
	assert.NotContains(t, err.Error(), "hush", "arguments may hold secrets")

	spec["status"] = []string{"sh", "-c", "exit 3"}
	m.Control.With = controltest.JSON(t, spec)
	assert.ErrorContains(t, open(t, m).Start(t.Context()), "not done after 50ms")
}

func TestControlsRefuseWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct{ kind, with, want string }{
		"no program":   {"process", `{}`, "start"},
		"bad signal":   {"process", `{"start":["x"],"stopSignal":"LOUD"}`, "unknown signal"},
		"bad ready":    {"process", `{"start":["x"],"ready":"soon"}`, "want tcp or process"},
		"bad user":     {"process", `{"start":["x"],"user":"no-such-user"}`, "no-such-user"},
		"unknown key":  {"process", `{"start":["x"],"pidfle":"y"}`, "pidfle"},
		"no unit":      {"systemd", `{}`, "unit"},
		"option":       {"systemd", `{"unit":"--force"}`, "unit"},
		"key, no host": {"systemd", `{"unit":"a","host":{"keyFile":"k"}}`, "need ssh"},
		"no status":    {"exec", `{"start":["x"],"stop":["x"]}`, "all needed"},
		"unknown kind": {"magic", `{}`, "known are exec, kubernetes, process, systemd"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openQuietly(topology.MemberSpec{Name: "orders-1", Control: &topology.ControlSpec{Kind: c.kind, With: []byte(c.with)}})
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, "orders-1")
		})
	}
	_, err := os.Stat("/proc/self/stat")
	require.NoError(t, err, "these controls need /proc")
}
