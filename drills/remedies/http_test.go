package remedies_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/remedies"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
)

func build(kind, with string) (drills.Remedy, error) {
	return remedies.All(builtin.Kinds()).Build(kind, json.RawMessage(with))
}

const adminToken = "token-that-nobody-may-see"

// admin is the admin API of a real Toxiproxy that wants a token.
type admin struct {
	url   string
	proxy map[string]*toxiproxy.Proxy
	mu    sync.Mutex
	// calls are the requests that change something, keys their idempotency keys.
	calls, keys []string
}

// newAdmin has a proxy for each vendor; that of vendor-a is the one that is enabled.
func newAdmin(t *testing.T) *admin {
	t.Helper()
	t.Setenv("FIREDRILL_TEST_ADMIN", "Bearer "+adminToken)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	a := &admin{proxy: map[string]*toxiproxy.Proxy{}}
	for i, name := range vendorNames {
		p := toxiproxy.NewProxy(server, name, freeAddress(t), "127.0.0.1:1")
		require.NoError(t, server.Collection.Add(p, i == 0))
		a.proxy[name] = p
	}
	t.Cleanup(func() { server.Collection.Clear() })
	api := server.Routes()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+adminToken {
			http.Error(w, "who are you with "+r.Header.Get("Authorization"), http.StatusUnauthorized)
			return
		}
		if r.Method != http.MethodGet {
			a.mu.Lock()
			a.calls, a.keys = append(a.calls, r.Method+" "+r.URL.Path), append(a.keys, r.Header.Get("Idempotency-Key"))
			a.mu.Unlock()
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	a.url = s.URL
	return a
}

// open tells whether a vendor's proxy takes connections.
func (a *admin) open(name string) bool {
	c, err := net.Dial("tcp", a.proxy[name].Listen)
	if err == nil {
		c.Close()
	}
	return err == nil
}

func (a *admin) params() map[string]any {
	at := a.url + "/proxies/{next}"
	return map[string]any{
		"url": at, "body": `{"enabled":true}`, "expectBody": `"name":"{next}"`,
		"secretHeaders": map[string]string{"Authorization": "env:FIREDRILL_TEST_ADMIN"},
		"check":         map[string]any{"url": at, "expectBody": `"enabled":true`},
		"undo": map[string]any{
			"body": `{"enabled":false}`, "check": map[string]any{"url": at, "expectBody": `"enabled":false`},
		},
	}
}

// scopedBook is a log that knows its run, as the engine's does.
type scopedBook struct {
	book
	scope string
}

func (b *scopedBook) Scope() string { return b.scope }

func TestHTTPOfARealAdminAPI(t *testing.T) {
	a := newAdmin(t)
	require.True(t, a.open("vendor-a"))
	require.False(t, a.open("vendor-b"))
	log := scopedBook{scope: "run-1 switch"}
	require.NoError(t, with(t, "http", a.params()).Apply(t.Context(), vendorsTarget(), &log))
	assert.True(t, a.open("vendor-b"))
	assert.Equal(t, topology.Step{Name: "call POST " + a.url + "/proxies/vendor-b", Detail: "200 OK"}, log.steps[0])

	// Once more: the check says that it is done already.
	again := book{}
	require.NoError(t, with(t, "http", a.params()).Apply(t.Context(), vendorsTarget(), &again))
	assert.Equal(t, "done already", again.steps[0].Detail)
	assert.Empty(t, again.intents)
	assert.Len(t, a.calls, 1)

	require.Len(t, log.undos, 1)
	assert.NotContains(t, string(log.undos[0].Data), adminToken)
	assert.Contains(t, string(log.undos[0].Data), "env:FIREDRILL_TEST_ADMIN")
	other := remedy(t, "http", `{"url":"http://127.0.0.1:1"}`).(drills.Reverter) // as in another process
	for range 2 {
		require.NoError(t, other.Revert(t.Context(), log.undos[0]))
		assert.False(t, a.open("vendor-b"))
	}
	assert.Equal(t, []string{"POST /proxies/vendor-b", "POST /proxies/vendor-b"}, a.calls, "the second undo found nothing to do")
	assert.True(t, a.open("vendor-a"))
}

// The key is the same for the same step of the same run, and for nothing else.
func TestHTTPIdempotencyKey(t *testing.T) {
	a := newAdmin(t)
	params := a.params()
	delete(params, "check")
	var undos []drills.Undo
	for _, scope := range []string{"run-1 switch", "run-1 switch", "run-2 switch", "run-1 other"} {
		log := scopedBook{scope: scope}
		require.NoError(t, with(t, "http", params).Apply(t.Context(), vendorsTarget(), &log))
		undos = append(undos, log.undos...)
	}
	require.NoError(t, with(t, "http", params).Apply(t.Context(), vendorsTarget(), &book{}))
	require.NoError(t, with(t, "http", params).(drills.Reverter).Revert(t.Context(), undos[0]))
	require.Len(t, a.keys, 6)
	assert.Regexp(t, "^firedrill-[0-9a-f]{32}$", a.keys[0])
	assert.Equal(t, a.keys[0], a.keys[1])
	differ := map[string]bool{}
	for _, k := range a.keys[1:] {
		differ[k] = true
	}
	assert.Len(t, differ, 5)
}

func TestHTTPInterrupted(t *testing.T) {
	a := newAdmin(t)
	log := book{breakAt: 1}
	require.ErrorIs(t, with(t, "http", a.params()).Apply(t.Context(), vendorsTarget(), &log), errInterrupted)
	assert.Empty(t, a.calls, "nothing is done before it is journaled")
	require.Len(t, log.undos, 1)
	require.NoError(t, with(t, "http", a.params()).(drills.Reverter).Revert(t.Context(), log.undos[0]))
	assert.Empty(t, a.calls, "and nothing is to be undone")
}

func TestHTTPErrors(t *testing.T) {
	a := newAdmin(t)
	apply := func(change func(map[string]any)) (*book, error) {
		params := a.params()
		change(params)
		var log book
		return &log, with(t, "http", params).Apply(t.Context(), vendorsTarget(), &log)
	}
	at := a.url + "/proxies/"
	log, err := apply(func(m map[string]any) { m["url"] = at + "nix" })
	assert.EqualError(t, err, "call POST "+at+`nix: 404 Not Found: {"error":"proxy not found","status":404}`)
	assert.Equal(t, err.Error(), log.steps[0].Err)
	_, err = apply(func(m map[string]any) { m["expectStatus"], m["check"] = []int{201}, nil })
	assert.ErrorContains(t, err, "call POST "+at+"vendor-b: 200 OK: {")
	_, err = apply(func(m map[string]any) { m["expectBody"], m["check"] = "queued", nil })
	assert.ErrorContains(t, err, `200 OK, but the answer does not match "queued": {"name":"vendor-b"`)
	_, err = apply(func(m map[string]any) {
		m["timeout"], m["check"] = "100ms", map[string]any{"url": at + "{next}", "expectBody": "never"}
	})
	assert.ErrorContains(t, err, "answered 200 OK, but its check does not hold: call GET "+at+"vendor-b: 200 OK, but")
	assert.ErrorContains(t, err, "not done after 100ms")
	_, err = apply(func(m map[string]any) { m["url"], m["check"] = "http://"+freeAddress(t), nil })
	assert.ErrorContains(t, err, "connection refused: nothing listens there")

	// The API repeats the token; nothing of ours does.
	t.Setenv("FIREDRILL_TEST_ADMIN", "Bearer "+adminToken+"-expired")
	log, err = apply(func(map[string]any) {})
	assert.EqualError(t, err, "call POST "+at+"vendor-b: 401 Unauthorized: who are you with [secret]")
	assert.NotContains(t, fmt.Sprint(log.steps, log.undos), adminToken)

	require.NoError(t, os.Unsetenv("FIREDRILL_TEST_ADMIN"))
	log, err = apply(func(m map[string]any) { delete(m, "check") })
	assert.ErrorContains(t, err, "header Authorization: secret env:FIREDRILL_TEST_ADMIN: the environment variable FIREDRILL_TEST_ADMIN is not set")
	assert.Empty(t, log.intents, "what cannot be sent is not begun")
}

// An answer that hangs ends at the timeout; redirects are not followed.
func TestHTTPDoesNotWaitNorFollow(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	defer s.Close()
	defer close(release)
	var log book
	err := remedy(t, "http", `{"url":"`+s.URL+`/hangs","timeout":"100ms"}`).Apply(t.Context(), vendorsTarget(), &log)
	assert.EqualError(t, err, "call POST "+s.URL+"/hangs: not done after 100ms")
	err = remedy(t, "http", `{"url":"`+s.URL+`/elsewhere"}`).Apply(t.Context(), vendorsTarget(), &log)
	assert.ErrorContains(t, err, "302 Found")
}

func TestHTTPTrustsACAFile(t *testing.T) {
	var got string
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = fmt.Sprint(r.Method, " ", r.Header.Get("Content-Type"), " ", r.Header.Get("X-For"), " ", string(b))
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	s.Config.ErrorLog = nil
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	params := map[string]any{
		"method": "PUT", "url": s.URL, "caFile": ca, "headers": map[string]string{"X-For": "{component}"},
		"body": `{"from":"{primary}","to":"{next}","all":"{members}"}`, "expectStatus": []int{202},
	}
	require.NoError(t, with(t, "http", params).Apply(t.Context(), vendorsTarget(), &book{}))
	assert.Equal(t, `PUT application/json models {"from":"vendor-a","to":"vendor-b","all":"vendor-a,vendor-b,vendor-c"}`, got)
	params["caFile"] = ca + ".gone"
	assert.ErrorContains(t, with(t, "http", params).Apply(t.Context(), vendorsTarget(), &book{}), "caFile: open")
}

func TestHTTPRefusesWhatCannotWork(t *testing.T) {
	for want, params := range map[string]string{
		"with.url: want a URL such as":           `{"url":"http://user:pa%ss@x"}`,
		"with.url: must hold no user name":       `{"url":"http://user:pass@x"}`,
		`with.url: "ftp://x": want http`:         `{"url":"ftp://x"}`,
		"with.method: net/http: invalid method":  `{"url":"http://x","method":"A B"}`,
		"with.expectBody: error parsing":         `{"url":"http://x","expectBody":"("}`,
		"with.check.url: \"\": want":             `{"url":"http://x","check":{}}`,
		"with.undo.check.expectBody: error pars": `{"url":"http://x","undo":{"check":{"url":"http://x","expectBody":"("}}}`,
		"with.timeout: must be longer":           `{"url":"http://x","timeout":"0s"}`,
	} {
		_, err := build("http", params)
		assert.ErrorContains(t, err, want)
		assert.False(t, err != nil && strings.Contains(err.Error(), "pa"+"ss@"), "%v", err)
	}
	_, err := build("http", `{"url":"http://{next}:8080/{component}"}`)
	assert.NoError(t, err)
}

// Who is next depends on whom the step relieves.
func TestNext(t *testing.T) {
	said := ""
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { said = r.URL.Path }))
	defer s.Close()
	ask := func(members []int, roles ...topology.Role) string {
		at := vendorsTarget()
		all := at.Component.Members
		at.Members = nil
		for _, i := range members {
			at.Members = append(at.Members, all[i])
		}
		for i, r := range roles {
			at.State.Members[i].Role = r
		}
		said = ""
		if err := remedy(t, "http", `{"url":"`+s.URL+`/{next}"}`).Apply(t.Context(), at, &book{}); err != nil {
			return err.Error()
		}
		return said
	}
	const p, r, d, i = topology.Primary, topology.Replica, topology.Down, topology.Instance
	assert.Equal(t, "/vendor-b", ask([]int{0, 1, 2}, p, r, r))
	assert.Equal(t, "/vendor-c", ask([]int{0, 1, 2}, p, d, r), "a member that was down is passed over")
	assert.Equal(t, "/vendor-c", ask([]int{0, 1, 2}, d, p, r))
	assert.Equal(t, "/vendor-c", ask([]int{0, 1}, p, r, r))
	assert.Equal(t, "/vendor-a", ask([]int{2}, p, r, r), "it goes round")
	assert.Equal(t, "/vendor-c", ask([]int{1}, i, i, i))
	assert.Equal(t, "{next}: component models has no member left beside the target", ask([]int{0, 1}, p, r, d))
	assert.Equal(t, "{next}: component models has no primary: name the member", ask([]int{0, 1, 2}, i, i, i))
}
