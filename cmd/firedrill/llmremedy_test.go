package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/verdict"
	"firedrill/injectors/faultpoint"
	"firedrill/lab"
)

// A gateway that reads a file: the runner writes the next vendor into it and has it
// reloaded, and in the end the file and its reader are as they were.
func TestVendorOutageIsHealedByAFile(t *testing.T) {
	l := served(t, "llm-manual")
	gateway := l.service(t, "gateway")
	file := filepath.Join(gateway.Dir, "haproxy.cfg")
	before, has := fileOf(t, file), dirOf(t, gateway.Dir)
	a := l.drills(t, outage(t, theRemedy, "  remediation:\n"+l.byFile(t, gateway, file), theFailBack, ""))
	require.Equal(t, verdict.ExitMissed, a.out.code, a.out.stderr)
	a.agrees(t)
	assert.Equal(t, "runner", a.Recovery.By)
	assert.Equal(t, verdict.Met, a.objective(t, "rto").Verdict)
	assert.Equal(t, []string{"availability", "first-token-p95"}, a.missed(), "while it waited for healAfter")
	a.tried(t, "keep a copy of "+file+" ", "validate ", "replace "+file+" ", "reload ", "check ")
	same(t, a.apart(t, a.hit(faultpoint.Status)), a.apart(t, a.listed(t, "failed")), "requests that failed")
	assert.Positive(t, a.Requests[0].Stages[1].By["vendor-b"])
	assert.Regexp(t, `journaled remedy \S+ for fail-over: keep a copy of `+file, a.out.stderr)
	a.says(t, "report.html", "config-file", "replace "+file)
	assert.Equal(t, "clean", a.Cleanup.Verdict)
	assert.Equal(t, before, fileOf(t, file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	changed := time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
	_, reverted := event[timeline.Reverted](t, a)
	const tick = 20 * time.Millisecond // of the kernel's clock for files, at most
	assert.True(t, changed.Add(tick).After(reverted), "it is put back once the vendor is: %s, %s", changed, reverted)
	assert.Equal(t, has, dirOf(t, gateway.Dir), "no copy is left")
	t.Log(a.Sentence)
	l.whole(t)
	assert.NotEqual(t, gateway.PID, l.service(t, "gateway").PID, "it was reloaded")
}

// byFile is the remedy that changes a gateway's configuration. The lab's HAProxy has no
// master that could reload it: a new process takes over, and the old one ends what it has.
func (l *modelLab) byFile(t *testing.T, gateway lab.MemberStatus, file string) string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "reload")
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, `#!/bin/sh
old=$(cat %[1]s/server.pid)
setpriv --reuid %[2]d --regid %[2]d --clear-groups haproxy -D -q -f %[3]s -p %[1]s/new.pid -sf "$old" >/dev/null 2>&1 || exit 1
mv %[1]s/new.pid %[1]s/server.pid
while kill -0 "$old" 2>/dev/null; do sleep 0.02; done
`, gateway.Dir, gateway.User, file), 0o700))
	return fmt.Sprintf(`    - name: fail-over
      kind: config-file
      target: {component: llm}
      with:
        path: %s
        replace:
          - {old: "check-sni {primary}.models.lab", new: "check-sni {primary}.models.lab disabled"}
          - {old: "check-sni {next}.models.lab disabled", new: "check-sni {next}.models.lab"}
        validate: [haproxy, -c, -f, "{file}"]
        reload: [%s]
        check: {url: "http://%s/v1/models", expectStatus: [401]}
`, file, script, l.now.Route)
}

// fileOf is what a file holds, and whose it is.
func fileOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	st := info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%s %d:%d\n%s", info.Mode(), st.Uid, st.Gid, b)
}

// dirOf are the names of the files in a directory.
func dirOf(t *testing.T, path string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(path)
	require.NoError(t, err)
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// A gateway with an admin API: the runner calls it, and is killed before the drill ends.
// The watchdog takes the call back, with a key of its own and the same secret.
func TestVendorOutageIsHealedByACallAndTheRunnerIsKilled(t *testing.T) {
	l := served(t, "llm-manual")
	const secret = "sk-admin-of-the-gateway"
	admin := &gatewayAPI{router: l.c.Routes[0].Router, secret: secret}
	server := &http.Server{Handler: admin}
	listener := l.listens(t, "127.0.53.40:2019")
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte(secret), 0o600))
	at := "http://" + listener.Addr().String() + "/upstream"
	dir := filepath.Join(t.TempDir(), "run")
	out := l.watched(t, map[string]func(){"remedy-ended fail-over: done": func() {
		assert.Equal(t, []string{"vendor-b"}, admin.leads(t))
		require.NoError(t, l.runner.Kill())
	}}, "run", outage(t, theRemedy, `  remediation:
    - name: fail-over
      kind: http
      target: {component: llm}
      with:
        method: PUT
        url: `+at+`
        secretHeaders: {X-Admin-Key: "file:`+key+`"}
        body: '"{next}"'
        check: {url: `+at+`, expectBody: '"{next}"'}
        undo:
          body: '"{primary}"'
          check: {url: `+at+`, expectBody: '"{primary}"'}
`), "--topology", l.now.Topology, "--out", dir)
	require.Equal(t, -1, out.code, "it was killed")
	l.waitForWatchdog(t)
	l.whole(t)
	admin.called(t, "vendor-b", "vendor-a")
	res := l.read(t, dir)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Sentence, "the runner died; the watchdog put everything back")
	again := l.run(t, "report", dir)
	assert.Equal(t, verdict.ExitAborted, again.code, again.stderr)
	for _, name := range dirOf(t, dir) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.NotContains(t, string(b), secret, name)
		if name == "report.html" {
			assert.Contains(t, string(b), "PUT "+at)
		}
	}
}

// listens listens within the lab's network, where the runner and its watchdog are.
func (l *modelLab) listens(t *testing.T, address string) net.Listener {
	t.Helper()
	require.NotEmpty(t, l.now.Namespace, "the lab has no network namespace: this test needs root")
	var listener net.Listener
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends here
		var f *os.File
		if f, err = os.Open(l.now.Namespace); err != nil {
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
			listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		}
	}()
	<-done
	require.NoError(t, err)
	return listener
}

// gatewayAPI is an admin API of the gateway: GET says whom it asks, PUT changes that.
type gatewayAPI struct {
	router topology.Router
	secret string

	mu sync.Mutex
	// calls are those that changed something, each with its idempotency key.
	calls [][2]string
}

func (g *gatewayAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	if r.Header.Get("X-Admin-Key") != g.secret {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	var err error
	if r.Method == http.MethodPut {
		var to string
		if err = json.NewDecoder(r.Body).Decode(&to); err == nil {
			err = g.router.Switch(ctx, to)
		}
		g.mu.Lock()
		g.calls = append(g.calls, [2]string{to, r.Header.Get("Idempotency-Key")})
		g.mu.Unlock()
	}
	now, asked := g.router.Current(ctx)
	if err == nil {
		err = asked
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(strings.Join(now, ","))
}

func (g *gatewayAPI) leads(t *testing.T) []string {
	t.Helper()
	to, err := g.router.Current(t.Context())
	require.NoError(t, err)
	return to
}

// called compares what was changed, each with an idempotency key of its own.
func (g *gatewayAPI) called(t *testing.T, want ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var to, keys []string
	for _, c := range g.calls {
		to, keys = append(to, c[0]), append(keys, c[1])
	}
	assert.Equal(t, want, to)
	assert.NotContains(t, keys, "")
	slices.Sort(keys)
	assert.Len(t, slices.Compact(keys), len(want))
}
