package kube

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/kind"
	"firedrill/drills/topology"
)

// server is an API server that knows which cluster it is, and nothing else.
type server struct {
	*httptest.Server
	uid atomic.Value // string; "" forbids to read it
	// asked are the requests but for the one which cluster it is; tokens those of all.
	asked atomic.Int32
	token atomic.Value
}

func serve(t *testing.T, uid string) *server {
	t.Helper()
	s := &server{}
	s.uid.Store(uid)
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.token.Store(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		status := func(code int, reason string) {
			w.WriteHeader(code)
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
		}
		switch uid := s.uid.Load().(string); {
		case r.URL.Path != "/api/v1/namespaces/kube-system":
			s.asked.Add(1)
			status(http.StatusNotFound, "NotFound")
		case uid == "":
			status(http.StatusForbidden, "Forbidden")
		default:
			fmt.Fprintf(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":%q}}`, uid)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// kubeconfig is a file with contexts, each of a server; it is written anew again and
// again.
type kubeconfig struct {
	t     *testing.T
	path  string
	times int
}

func newKubeconfig(t *testing.T) *kubeconfig {
	t.Helper()
	return &kubeconfig{t: t, path: filepath.Join(t.TempDir(), "config")}
}

func (k *kubeconfig) write(current, token string, contexts map[string]string) {
	k.t.Helper()
	var clusters, list []any
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: testCertificate(k.t)})
	for name, server := range contexts {
		clusters = append(clusters, map[string]any{"name": name, "cluster": map[string]any{"server": server, "certificate-authority-data": ca}})
		list = append(list, map[string]any{"name": name, "context": map[string]any{"cluster": name, "user": "me", "namespace": name + "-shop"}})
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": current, "clusters": clusters, "contexts": list,
		"users": []any{map[string]any{"name": "me", "user": map[string]any{"token": token}}},
	})
	require.NoError(k.t, err)
	require.NoError(k.t, os.WriteFile(k.path, text, 0o600))
	k.times++ // files are not written as fast by people
	at := time.Now().Add(time.Duration(k.times) * time.Second)
	require.NoError(k.t, os.Chtimes(k.path, at, at))
}

// testCertificate is that of all test servers.
func testCertificate(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.Certificate().Raw
}

// forget makes this process one that has opened nothing yet.
func forget() {
	opened.Lock()
	defer opened.Unlock()
	for a, c := range opened.by {
		if !c.given {
			delete(opened.by, a)
		}
	}
}

// pinned is a component as a drill writes it down, to be opened by whoever comes after.
func pinned(t *testing.T, with string) topology.ComponentSpec {
	t.Helper()
	c, err := kinds().OpenComponent(topology.ComponentSpec{
		Name: "api", Kind: PodsKind, With: json.RawMessage(with),
		Members: nil,
	}, nil)
	require.NoError(t, err)
	require.NoError(t, c.Pin(t.Context()))
	return c.Spec
}

func kinds() topology.Kinds {
	return topology.Kinds{
		Components: kind.Of("component", Kind(), NodeKind()), Controls: kind.Of("control", ControlEntry()),
	}
}

func unlock(t *testing.T, s topology.ComponentSpec) error {
	t.Helper()
	c, err := kinds().OpenComponent(s, nil)
	require.NoError(t, err)
	return c.Adapter.(topology.Platform).Unlock(t.Context(), "run-1")
}

// The current context is switched after a drill died: what it left is still looked for
// where it was made.
func TestRecoveryGoesToTheClusterOfTheDrill(t *testing.T) {
	prod, staging := serve(t, "uid-prod"), serve(t, "uid-staging")
	both := map[string]string{"prod": prod.URL, "staging": staging.URL}
	for name, with := range map[string]string{"by the environment": `{"selector":"app=api"}`, "by a relative path": `{"selector":"app=api","kubeconfig":"config"}`} {
		t.Run(name, func(t *testing.T) {
			k := newKubeconfig(t)
			k.write("prod", "t", both)
			t.Setenv("KUBECONFIG", k.path)
			t.Chdir(filepath.Dir(k.path))
			s := pinned(t, with)
			var spec PodsSpec
			require.NoError(t, json.Unmarshal(s.With, &spec))
			assert.Len(t, spec.Cluster.CA, 64)
			want := ClusterID{UID: "uid-prod", Server: prod.URL, CA: spec.Cluster.CA}
			assert.Equal(t, Access{Kubeconfig: k.path, Context: "prod", Cluster: want}, spec.Access)
			assert.Equal(t, "prod-shop", spec.Namespace, "that of the context may be another one later")

			forget()
			k.write("staging", "t", both)
			t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
			t.Chdir(t.TempDir())
			at := prod.asked.Load()
			require.NoError(t, unlock(t, s))
			assert.Greater(t, prod.asked.Load(), at)
			assert.Zero(t, staging.asked.Load())
		})
	}
}

// A context that leads to another cluster by now is refused: there is nothing there of
// what is looked for, and that proves nothing.
func TestAnotherClusterIsRefused(t *testing.T) {
	for name, uids := range map[string][2]string{
		"by its UID": {"uid-prod", "uid-staging"}, "where that may not be read": {"", "uid-staging"}, "where that may not be read any more": {"uid-prod", ""},
	} {
		t.Run(name, func(t *testing.T) {
			prod, staging := serve(t, uids[0]), serve(t, uids[1])
			k := newKubeconfig(t)
			k.write("prod", "t", map[string]string{"prod": prod.URL})
			s := pinned(t, fmt.Sprintf(`{"selector":"app=api","kubeconfig":%q}`, k.path))
			k.write("prod", "t", map[string]string{"prod": staging.URL})

			at := prod.asked.Load()
			require.NoError(t, unlock(t, s), "who has it open goes on with it")
			assert.Greater(t, prod.asked.Load(), at)

			forget()
			err := unlock(t, s)
			require.ErrorIs(t, err, errElsewhere)
			for _, says := range []string{"context prod", staging.URL, prod.URL, "run firedrill recover again"} {
				assert.ErrorContains(t, err, says)
			}
			assert.Zero(t, staging.asked.Load(), "it is asked for nothing else")

			k.write("prod", "t", map[string]string{"other": prod.URL})
			err = unlock(t, s)
			require.ErrorContains(t, err, "run firedrill recover again", "the context is gone")
			require.ErrorContains(t, err, prod.URL)
			k.write("prod", "t", map[string]string{"prod": prod.URL})
			assert.NoError(t, unlock(t, s), "it leads there again")
		})
	}
}

// The same cluster by another address is the same cluster.
func TestClusterMayMove(t *testing.T) {
	one, other := serve(t, "uid"), serve(t, "uid")
	k := newKubeconfig(t)
	k.write("prod", "t", map[string]string{"prod": one.URL})
	s := pinned(t, fmt.Sprintf(`{"selector":"app=api","kubeconfig":%q}`, k.path))
	forget()
	k.write("prod", "t", map[string]string{"prod": other.URL})
	require.NoError(t, unlock(t, s))
	assert.Positive(t, other.asked.Load())
}

// Credentials that are written anew are read anew, those of the environment as well.
func TestRotatedCredentialsAreRead(t *testing.T) {
	s := serve(t, "uid")
	k := newKubeconfig(t)
	t.Setenv("KUBECONFIG", k.path)
	k.write("prod", "old", map[string]string{"prod": s.URL})
	for _, access := range []func() Access{
		func() Access { return Access{} },
		func() Access { p, err := Access{}.Pin(t.Context()); require.NoError(t, err); return p },
	} {
		a := access()
		for _, token := range []string{"new", "newer"} {
			k.write("prod", token, map[string]string{"prod": s.URL})
			c, err := a.Open()
			require.NoError(t, err)
			_, err = c.uid(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "Bearer "+token, s.token.Load())
			again, err := a.Open()
			require.NoError(t, err)
			assert.Same(t, c, again)
		}
	}
}

// A server that does not say which cluster it is is taken for it only by its address.
func TestClusterThatDoesNotAnswer(t *testing.T) {
	s := serve(t, "uid")
	k := newKubeconfig(t)
	k.write("prod", "t", map[string]string{"prod": s.URL})
	p, err := Access{Kubeconfig: k.path}.Pin(t.Context())
	require.NoError(t, err)
	s.Close()
	forget()
	_, err = p.Open()
	require.NoError(t, err, "whoever asks it something is told that it does not answer")
	forget()
	k.write("prod", "t", map[string]string{"prod": "https://127.0.0.1:1"})
	_, err = p.Open()
	require.ErrorContains(t, err, "no answer from API server https://127.0.0.1:1")
	require.NotErrorIs(t, err, errElsewhere)

	_, err = Access{Kubeconfig: k.path}.Pin(context.Background())
	require.ErrorContains(t, err, "no answer from API server https://127.0.0.1:1")
}

// Controls of members that the file names are pinned, too.
func TestControlsArePinned(t *testing.T) {
	s := serve(t, "uid")
	k := newKubeconfig(t)
	k.write("prod", "t", map[string]string{"prod": s.URL})
	t.Setenv("KUBECONFIG", k.path)
	file := topology.MemberSpec{Name: "db-0", Control: &topology.ControlSpec{Kind: ControlKind, With: json.RawMessage(`{"pod":"db-0"}`)}}
	ctl, err := kinds().OpenControl(file)
	require.NoError(t, err)
	m := &topology.Member{Spec: file, Control: ctl}
	c := &topology.Component{Spec: topology.ComponentSpec{Name: "db", Members: []topology.MemberSpec{file}}, Members: []*topology.Member{m}}
	require.NoError(t, c.Pin(t.Context()))
	access, err := Access{}.Pin(t.Context())
	require.NoError(t, err)
	require.Equal(t, "uid", access.Cluster.UID)
	want := Place{Access: access, Namespace: "prod-shop", Pod: "db-0"}
	for _, spec := range []topology.MemberSpec{m.Spec, c.Spec.Members[0]} {
		p, err := PlaceOf(spec)
		require.NoError(t, err)
		assert.Equal(t, want, p)
	}
	assert.Equal(t, want, ctl.(*control).Place)
	assert.JSONEq(t, `{"pod":"db-0"}`, string(file.Control.With), "the file stays")
}
