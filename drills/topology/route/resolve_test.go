package route_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/route"
)

// A server whose name does not resolve takes no clients, but nobody has taken it out:
// a route that led there is led back there.
func TestHAProxyLeadsBackToAServerThatDoesNotResolve(t *testing.T) {
	controltest.Real(t)
	dir, _ := controltest.Dir(t)
	socket := filepath.Join(dir, "admin")
	conf := fmt.Sprintf(`global
  stats socket %s level admin
defaults
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m
resolvers nobody
  nameserver nobody 127.0.2.20:5353
listen orders
  bind 127.0.2.2:7000
  server a1 127.0.2.11:7001
  server c c.orders.lab:7001 resolvers nobody init-addr none
`, socket)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644))
	cmd := exec.Command("haproxy", "-db", "-q", "-f", filepath.Join(dir, "conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65512, Gid: 65512}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	require.Eventually(t, func() bool { _, err := os.Stat(socket); return err == nil }, waitFor, tick)

	r := open(t, "haproxy", spec(socket))
	assert.Equal(t, []string{"a"}, current(t, r))
	assert.Equal(t, []string{"a", "c"}, openTo(t, r))
	require.NoError(t, r.Switch(t.Context(), "a"))
	assert.Equal(t, []string{"a"}, openTo(t, r))
	require.NoError(t, r.(route.Restorer).Restore(t.Context(), []string{"a", "c"}))
	assert.Equal(t, []string{"a", "c"}, openTo(t, r))
	require.NoError(t, r.(route.Restorer).Restore(t.Context(), []string{"c"}))
	assert.Equal(t, []string{"c"}, openTo(t, r))
	assert.Empty(t, current(t, r))
	assert.ErrorContains(t, r.Switch(t.Context(), "c"), "server c is MAINT (resolution), want UP")
}
