package llm_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
	"firedrill/injectors/faultpoint"
)

// Members behind a fault point that listens with TLS are asked with TLS, by the name
// that it resolves, and its certificate is verified.
func TestMembersAreAskedThroughTLSAndByName(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	defer up.Close()
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, text, 0o600))
		return path
	}
	c, err := faultpoint.Certify("a.models.lab")
	require.NoError(t, err)
	cert, key, ca := file("cert", c.Cert), file("key", c.Key), file("ca", c.CA)
	at, names := nobody(t), &topology.FaultPointDNS{Listen: nobody(t), Names: map[string]string{"a": "a.models.lab"}}
	_, port, err := net.SplitHostPort(at)
	require.NoError(t, err)
	socket := file("socket", nil)
	require.NoError(t, os.Remove(socket))
	tls := func(serverName, ca string) *topology.FaultPointTLS {
		return &topology.FaultPointTLS{Cert: cert, Key: key, CA: ca, ServerName: serverName}
	}
	serve(t, faultpoint.Config{
		Socket: socket, TLS: tls("", ""), DNS: names, Points: []faultpoint.Point{{Member: "a", Listen: at, Upstream: up.URL}},
	})
	for _, c := range []struct {
		point     topology.FaultPointSpec
		url, want string
	}{
		{topology.FaultPointSpec{TLS: tls("a.models.lab", "")}, "https://" + at, ""},
		{topology.FaultPointSpec{TLS: tls("", ca), DNS: names}, "https://a.models.lab:" + port, ""},
		{topology.FaultPointSpec{TLS: tls("", ca)}, "https://" + at, "cannot validate certificate for 127.0.0.1"},
		{topology.FaultPointSpec{TLS: tls("other.lab", ca)}, "https://" + at, "certificate is valid for a.models.lab"},
		{topology.FaultPointSpec{TLS: tls("", "/nowhere"), DNS: names}, "https://a.models.lab:" + port, "faultPoint.tls.ca: open /nowhere"},
		{topology.FaultPointSpec{TLS: tls("", key)}, "https://" + at, "faultPoint.tls.ca: " + key + " holds no PEM certificate"},
		{
			topology.FaultPointSpec{TLS: tls("", ca), DNS: &topology.FaultPointDNS{Listen: names.Listen, Names: map[string]string{"a": "b.models.lab"}}},
			"https://b.models.lab:" + port, "lookup b.models.lab on " + names.Listen + ": REFUSED",
		},
		{
			topology.FaultPointSpec{DNS: &topology.FaultPointDNS{Listen: at, Names: names.Names}},
			"http://a.models.lab:" + port, "lookup a.models.lab on " + at + ": ask name server " + at + ": read udp ",
		},
	} {
		c.point.Listen = map[string]string{"a": at}
		comp := component(t, c.point)
		assert.Equal(t, c.url+"/v1", llm.Defaults().Base(comp, comp.Members[0]))
		st, err := comp.Adapter.Discover(t.Context())
		require.NoError(t, err)
		if c.want == "" {
			assert.Empty(t, st.Members[0].Problem)
			continue
		}
		assert.Contains(t, st.Members[0].Problem, c.want)
	}
}

// serve runs a fault point until the test ends.
func serve(t *testing.T, cfg faultpoint.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- faultpoint.Serve(ctx, cfg, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-ended)
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		require.NoError(t, err)
	}
}

func component(t *testing.T, p topology.FaultPointSpec) *topology.Component {
	t.Helper()
	c, err := topology.Kinds{Components: kind.Of("component", llm.Kind())}.OpenComponent(topology.ComponentSpec{
		Name: "models", Kind: "llm", With: []byte(`{"models":{"chat":"m"}}`), FaultPoint: &p,
		Members: []topology.MemberSpec{{Name: "a", Address: "127.0.0.1:1"}},
	}, nil)
	require.NoError(t, err)
	return c
}

func TestFaultPointsThatCannotWorkAreRefused(t *testing.T) {
	listen := map[string]string{"a": "127.0.0.1:1", "b": "localhost:1"}
	for want, p := range map[string]topology.FaultPointSpec{
		"component models: faultPoint.tls: name the files":           {TLS: &topology.FaultPointTLS{Cert: "c"}},
		`faultPoint.dns.listen: "5353": want HOST:PORT`:              {DNS: &topology.FaultPointDNS{Listen: "5353"}},
		`faultPoint.dns.names.b: listen "localhost:1": want IP:PORT`: {DNS: &topology.FaultPointDNS{Listen: "h:1", Names: map[string]string{"b": "x"}}},
		"faultPoint.dns.names.c: listen has no such member":          {DNS: &topology.FaultPointDNS{Listen: "h:1", Names: map[string]string{"c": "x"}}},
		`faultPoint.dns.forward: "resolver": want HOST:PORT`:         {DNS: &topology.FaultPointDNS{Listen: "h:1", Forward: "resolver"}},
	} {
		p.Listen = listen
		_, err := topology.Kinds{}.OpenFaultPoint(topology.ComponentSpec{Name: "models", FaultPoint: &p})
		assert.ErrorContains(t, err, want)
	}
}
