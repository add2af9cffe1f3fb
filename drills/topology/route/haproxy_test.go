package route_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/control/controltest"
)

const (
	front   = "127.0.2.1:7000"
	waitFor = 10 * time.Second
	tick    = 10 * time.Millisecond
)

// haproxy runs a real HAProxy in front of two real servers, each of which greets
// with its process number, and returns the socket and what stops server a.
func haproxy(t *testing.T) (socket string, a topology.Control) {
	t.Helper()
	controltest.Real(t)
	for i, name := range []string{"b", "a"} {
		m := controltest.Member(t, name, fmt.Sprintf("127.0.2.1%d:7001", i), "65511")
		c, err := topology.Kinds{Controls: control.All()}.OpenControl(m)
		require.NoError(t, err)
		t.Cleanup(func() { controltest.End(c) })
		require.NoError(t, c.Start(t.Context()))
		a = c
	}
	dir, _ := controltest.Dir(t)
	socket = filepath.Join(dir, "admin")
	conf := fmt.Sprintf(`global
  stats socket %s level admin
  stats socket %s.user level user
defaults
  mode tcp
  timeout connect 1s
  timeout client 1m
  timeout server 1m
listen orders
  bind %s
  default-server inter 50ms fall 2 rise 1
  server a1 127.0.2.11:7001 check
  server b 127.0.2.10:7001 check disabled
`, socket, socket, front)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o644))
	cmd := exec.Command("haproxy", "-db", "-q", "-f", filepath.Join(dir, "conf"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65512, Gid: 65512}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	require.Eventually(t, func() bool { _, err := os.Stat(socket); return err == nil }, waitFor, tick)
	return socket, a
}

func spec(socket string) map[string]any {
	return map[string]any{"socket": socket, "backend": "orders", "servers": map[string]string{"a": "a1"}, "timeout": "1s"}
}

// client connects through HAProxy and returns what the server greets with.
func client(t *testing.T) (*bufio.Reader, string) {
	t.Helper()
	c, err := net.Dial("tcp", front)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(waitFor)))
	r := bufio.NewReader(c)
	hello, err := r.ReadString('\n')
	if err != nil {
		return r, ""
	}
	return r, hello
}

func TestHAProxySwitchesAndCutsSessions(t *testing.T) {
	socket, _ := haproxy(t)
	r := open(t, "haproxy", spec(socket))
	assert.Equal(t, []string{"a"}, current(t, r))
	toA, helloA := client(t)
	require.Contains(t, helloA, "hello")

	require.NoError(t, r.Switch(t.Context(), "b"))
	assert.Equal(t, []string{"b"}, current(t, r))
	_, err := toA.ReadString('\n')
	assert.ErrorIs(t, err, io.EOF, "the session to a is cut by the time Switch returns")
	toB, helloB := client(t)
	assert.NotEqual(t, helloA, helloB)

	require.NoError(t, r.Switch(t.Context(), "b"), "again")
	_, again := client(t)
	assert.Equal(t, helloB, again)

	require.NoError(t, r.Switch(t.Context(), ""))
	assert.Empty(t, current(t, r))
	_, err = toB.ReadString('\n')
	assert.ErrorIs(t, err, io.EOF)
	_, nobody := client(t)
	assert.Empty(t, nobody)

	require.NoError(t, r.Switch(t.Context(), "a"))
	_, back := client(t)
	assert.Equal(t, helloA, back)
}

func TestHAProxyReportsAServerThatTheHealthCheckHoldsDown(t *testing.T) {
	socket, a := haproxy(t)
	r := open(t, "haproxy", spec(socket))
	require.NoError(t, a.Stop(t.Context()))
	require.Eventually(t, func() bool { return len(current(t, r)) == 0 }, waitFor, tick)
	err := r.Switch(t.Context(), "a")
	require.Error(t, err)
	for _, want := range []string{"route orders", "member a", "health check holds server a1 DOWN", "L4CON", "not done after 1s"} {
		assert.ErrorContains(t, err, want)
	}
}

func TestHAProxyErrors(t *testing.T) {
	socket, _ := haproxy(t)
	err := open(t, "haproxy", spec(socket)).Switch(t.Context(), "c")
	assert.ErrorContains(t, err, "backend orders has no server c: it has [a1 b]")

	wrong := spec(socket)
	wrong["backend"] = "customers"
	_, err = open(t, "haproxy", wrong).Current(t.Context())
	assert.ErrorContains(t, err, "no backend customers")

	err = open(t, "haproxy", spec(socket+".user")).Switch(t.Context(), "b")
	assert.ErrorContains(t, err, "Permission denied")

	_, err = open(t, "haproxy", spec(socket+".gone")).Current(t.Context())
	assert.ErrorContains(t, err, "connect to HAProxy")
	assert.ErrorContains(t, err, "route orders")
}
