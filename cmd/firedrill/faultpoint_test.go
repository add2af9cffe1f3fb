package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/verdict"
	"firedrill/injectors/faultpoint"
)

func TestFaultPointServesUntilItIsAskedToEnd(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer up.Close()
	listen := freePort(t)
	dir, err := os.MkdirTemp("", "fd-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")

	cfg := faultpoint.Config{Socket: socket, Points: []faultpoint.Point{{Member: "a", Listen: listen, Upstream: up.URL}}}
	cfg.TLS = &topology.FaultPointTLS{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	cfg.DNS = &topology.FaultPointDNS{Listen: freePort(t), Names: map[string]string{"a": "a.models.lab"}, Forward: "127.0.0.1:1"}
	made, err := faultpoint.Certify("127.0.0.1")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cfg.TLS.Cert, made.Cert, 0o600))
	require.NoError(t, os.WriteFile(cfg.TLS.Key, made.Key, 0o600))

	serve := exec.Command(os.Args[0], append([]string{"faultpoint", "serve"}, cfg.Args()...)...)
	serve.Env = append(os.Environ(), asProgram+"=1")
	said, err := serve.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, serve.Start())
	defer func() { _ = serve.Process.Kill() }()
	line, err := bufio.NewReader(said).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "fault point at "+socket+": a="+listen+"="+up.URL+"\n", line)
	spec := topology.FaultPointSpec{Listen: map[string]string{"a": listen}, TLS: cfg.TLS}
	resp, err := (&http.Client{Transport: spec.Transport()}).Get(spec.URL("a") + "/x")
	require.NoError(t, err)
	resp.Body.Close()

	status := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := execute(append([]string{"faultpoint", "status", "--socket", socket}, args...), nil, &out, &out, nil)
		return out.String(), code
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) { // an exchange counts once it has ended
		out, code := status("-o", "json")
		require.Equal(c, verdict.ExitMet, code, out)
		var st faultpoint.State
		require.NoError(c, json.Unmarshal([]byte(out), &st))
		assert.Equal(c, serve.Process.Pid, st.PID)
		assert.Equal(c, uint64(1), st.Next)
	}, 10*time.Second, 10*time.Millisecond)
	out, code := status()
	require.Equal(t, verdict.ExitMet, code, out)
	assert.Contains(t, out, "a: "+listen+" (TLS) passes on to "+up.URL)
	assert.Contains(t, out, "is what a.models.lab. resolves to at "+cfg.DNS.Listen)
	assert.Contains(t, out, "no fault: everything is passed on")

	require.NoError(t, serve.Process.Signal(syscall.SIGTERM))
	require.NoError(t, serve.Wait())
	assert.NoFileExists(t, socket)
	out, code = status()
	assert.Equal(t, verdict.ExitUsage, code)
	assert.Contains(t, out, "the fault point does not answer")
}

func TestFaultPointRefusesBadPoints(t *testing.T) {
	var out bytes.Buffer
	code := execute([]string{"faultpoint", "serve", "--socket", "/nowhere/s", "--point", "a=127.0.0.1:1=ftp://x"}, nil, &out, &out, nil)
	assert.Equal(t, verdict.ExitUsage, code)
	assert.Contains(t, out.String(), "--point: point a: upstream: want http://HOST or https://HOST")
	for want, args := range map[string][]string{
		`--dns-name: "a": want MEMBER=NAME`:           {"--dns-listen", "127.0.0.1:1", "--dns-name", "a"},
		"if any flags in the group [tls-cert tls-key": {"--tls-cert", "cert"},
		"stat cert: no such file":                     {"--tls-cert", "cert", "--tls-key", "key"},
	} {
		out.Reset()
		code := execute(append([]string{"faultpoint", "serve", "--socket", "/nowhere/s", "--point", "a=127.0.0.1:1=http://x"}, args...), nil, &out, &out, nil)
		assert.Equal(t, verdict.ExitUsage, code)
		assert.Contains(t, out.String(), want)
	}
}

// freePort is an address that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
