package route_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/controltest"
)

func TestExecSwitches(t *testing.T) {
	controltest.Real(t)
	file := filepath.Join(t.TempDir(), "leads-to")
	r := open(t, "exec", map[string]any{
		"switch":  []string{"sh", "-c", `echo "$1" > "$0"`, file, "{member}"},
		"current": []string{"sh", "-c", `cat "$0" 2>&- || true`, file},
	})
	assert.Empty(t, current(t, r))
	require.NoError(t, r.Switch(t.Context(), "b"))
	assert.Equal(t, []string{"b"}, current(t, r))
	require.NoError(t, r.Switch(t.Context(), ""))
	assert.Empty(t, current(t, r))
}

func TestExecDoesNotBelieveTheSwitchCommand(t *testing.T) {
	controltest.Real(t)
	r := open(t, "exec", map[string]any{
		"switch": []string{"true"}, "current": []string{"echo", "a"}, "timeout": "1s",
	})
	err := r.Switch(t.Context(), "b")
	assert.ErrorContains(t, err, `it leads to ["a"]`)
	assert.ErrorContains(t, err, "not done after 1s")
}

func TestFixedSaysThatItCannotBeSwitched(t *testing.T) {
	r := open(t, "fixed", map[string]any{"members": []string{"a"}})
	assert.Equal(t, []string{"a"}, current(t, r))
	err := r.Switch(t.Context(), "b")
	assert.EqualError(t, err, "switch route orders to member b: its kind is fixed, it cannot be switched: use haproxy or exec")
}

func TestRoutesRefuseWhatCannotWork(t *testing.T) {
	for name, c := range map[string]struct{ kind, with, want string }{
		"no socket":      {"haproxy", `{"backend":"b"}`, "socket and backend"},
		"injection":      {"haproxy", `{"socket":"s","backend":"b;shutdown"}`, "cannot be the name"},
		"twice the same": {"haproxy", `{"socket":"s","backend":"b","servers":{"x":"s1","y":"s1"}}`, "both have server s1"},
		"no current":     {"exec", `{"switch":["x"]}`, "both needed"},
		"unknown":        {"dns", `{}`, "known are exec, fixed, haproxy"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openQuietly(c.kind, []byte(c.with))
			assert.ErrorContains(t, err, c.want)
			assert.ErrorContains(t, err, "route orders")
		})
	}
}
