package remedies_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/controltest"
)

const (
	soon = 10 * time.Second
	tick = 10 * time.Millisecond
)

// startHAProxy runs a real HAProxy, master and worker, on a configuration file
// that it leaves in dir, and returns the master's process number. It
// takes commands at cli.
func startHAProxy(t *testing.T, dir, cli, conf, front string) (path string, master int) {
	t.Helper()
	if !controltest.Wanted() {
		t.Skip("FIREDRILL_TEST_REAL=0: tests with real servers are left out")
	}
	bin, err := exec.LookPath("haproxy")
	require.NoError(t, err, "install what lab/install.sh installs")
	path = filepath.Join(dir, "haproxy.cfg")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o640))
	cmd := exec.Command(bin, "-W", "-S", cli+",level,operator", "-db", "-q", "-f", path)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		// The master ends its workers, and then itself.
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", front)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, soon, tick)
	return path, cmd.Process.Pid
}

// freeAddress is an address that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fd-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// proxied is a configuration that leads to servers in order, the first that its
// health check finds up.
func proxied(socket, front string, servers map[string]string, names ...string) string {
	conf := fmt.Sprintf(`global
  stats socket %s level admin
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
listen models
  bind %s
  option httpchk
  http-check send meth GET uri /v1/models hdr Authorization "Bearer %s"
  default-server inter 50ms fall 2 rise 1
`, socket, front, vendorKey)
	for i, name := range names {
		conf += "  server " + name + " " + servers[name] + " check"
		if i > 0 {
			conf += " backup"
		}
		conf += "\n"
	}
	return conf
}
