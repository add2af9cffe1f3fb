package faultpoint_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/nameserver"
	"firedrill/injectors/faultpoint"
)

// certify writes the files of a new certificate for the hosts.
func certify(t testing.TB, hosts ...string) *topology.FaultPointTLS {
	t.Helper()
	dir := t.TempDir()
	f := &topology.FaultPointTLS{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), CA: filepath.Join(dir, "ca")}
	recertify(t, f, hosts...)
	return f
}

func recertify(t testing.TB, f *topology.FaultPointTLS, hosts ...string) {
	t.Helper()
	c, err := faultpoint.Certify(hosts...)
	require.NoError(t, err)
	for path, b := range map[string][]byte{f.Key: c.Key, f.Cert: c.Cert, f.CA: c.CA} {
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
}

// named is a fault point that listens with TLS, and that a name leads to.
type named struct {
	*stand
	spec topology.FaultPointSpec
}

const theName = "vendor.models.lab"

func newNamed(t *testing.T) *named {
	t.Helper()
	v := newVendor(t)
	s := &named{stand: &stand{t: t, vendor: v, addr: freeAddress(t), socket: socketPath(t)}}
	s.Client = faultpoint.NewClient(s.socket)
	s.spec = topology.FaultPointSpec{
		Socket: s.socket, Listen: map[string]string{"a": s.addr}, TLS: certify(t, theName),
		DNS: &topology.FaultPointDNS{Listen: freeNameServer(t), Names: map[string]string{"a": theName}},
	}
	serve(t, faultpoint.Config{
		Socket: s.socket, TLS: s.spec.TLS, DNS: s.spec.DNS,
		Points: []faultpoint.Point{{Member: "a", Listen: s.addr, Upstream: v.URL}},
	})
	return s
}

// freeNameServer is an address that nobody listens at, neither by UDP nor by TCP.
func freeNameServer(t testing.TB) string {
	t.Helper()
	var at string
	require.Eventually(t, func() bool {
		at = freeAddress(t)
		c, err := net.ListenPacket("udp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, patience, tick)
	return at
}

// client is one that a gateway could be: it looks names up at the fault point, keeps
// its connections, resumes its sessions and verifies.
func (s *named) client(insecure bool) *http.Client {
	cfg, err := s.spec.TLSConfig(s.addr)
	require.NoError(s.t, err)
	cfg.InsecureSkipVerify = insecure
	cfg.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	t := &http.Transport{TLSClientConfig: cfg, DialContext: (&net.Dialer{Resolver: s.resolver("udp")}).DialContext}
	s.t.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: patience}
}

// resolver asks the fault point, as any program does that has it as its name server.
func (s *named) resolver(network string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.spec.DNS.Listen)
	}}
}

// asks asks by name.
func (s *named) asks(c *http.Client) error {
	_, port, err := net.SplitHostPort(s.addr)
	require.NoError(s.t, err)
	resp, err := c.Post("https://"+theName+":"+port+"/v1/chat/completions", "application/json", strings.NewReader(chat("x", false)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && string(b) != wholeAnswer {
		err = errors.New(string(b))
	}
	return err
}

func TestTLSPassesEverythingOn(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	c := s.client(false)
	require.NoError(t, s.asks(c))
	require.NoError(t, s.asks(c), "on the same connection")
	st, err := s.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, st.Points[0].Connections)
	assert.True(t, st.Points[0].TLS)
	assert.Equal(t, theName+".", st.Points[0].Name)
	assert.Equal(t, s.spec.DNS.Listen, st.DNS)
	r, _ := s.vendor.last()
	assert.Equal(t, "HTTP/1.1", r.Proto)
	assert.Equal(t, strings.TrimPrefix(s.vendor.URL, "http://"), r.Host)

	resp, err := http.Get("https://" + s.addr)
	if err == nil {
		resp.Body.Close()
	}
	require.ErrorAs(t, err, new(*tls.CertificateVerificationError), "not for everybody")
	resp, err = http.Get("http://" + s.addr)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
}

// The faults on connections do the same to those with TLS.
func TestFaultsOnConnectionsWithTLS(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	for mode, want := range map[faultpoint.Mode]string{
		faultpoint.Refused: "connection refused", faultpoint.Reset: "connection reset", faultpoint.BlackHole: "Client.Timeout exceeded",
	} {
		c, other := s.client(false), s.client(false)
		require.NoError(t, s.asks(c))
		f := s.fault(mode, nil)
		if mode == faultpoint.BlackHole {
			c.Timeout, other.Timeout = 100*time.Millisecond, 100*time.Millisecond
		}
		require.ErrorContains(t, s.asks(other), want)
		require.Error(t, s.asks(c), "on a connection from before")
		s.clear(f)
		c.Timeout = patience
		require.Eventually(t, func() bool { return s.asks(c) == nil }, patience, tick)
	}
	f := s.fault(faultpoint.Reset, func(f *faultpoint.Fault) { f.Models = []string{"small"} })
	require.ErrorContains(t, s.asks(s.client(false)), "connection reset", "a request, in the middle of a connection")
	s.clear(f)
}

func TestTLSFails(t *testing.T) {
	t.Parallel()
	for how, check := range map[string]func(*testing.T, error){
		faultpoint.Expired: func(t *testing.T, err error) {
			bad := new(tls.CertificateVerificationError)
			require.ErrorAs(t, err, &bad)
			leaf := bad.UnverifiedCertificates[0]
			assert.True(t, leaf.NotAfter.Before(time.Now()))
			assert.Equal(t, []string{theName}, leaf.DNSNames)
			assert.NoError(t, leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature), "by itself")
		},
		faultpoint.Untrusted: func(t *testing.T, err error) {
			require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
		},
		faultpoint.Handshake: func(t *testing.T, err error) {
			require.ErrorContains(t, err, "remote error: tls: internal error")
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newNamed(t)
			c, careless := s.client(false), s.client(true)
			require.NoError(t, s.asks(c))
			f := s.fault(faultpoint.TLS, func(f *faultpoint.Fault) { f.TLS = how })
			require.Error(t, s.asks(c), "a session from before is not resumed, and its connection not kept")
			err := s.asks(c)
			check(t, err)
			require.Eventually(t, func() bool {
				return slices.ContainsFunc(s.exchanges(), func(x timeline.Exchange) bool { return x.Fault == "tls" })
			}, patience, tick, "the exchanges tell of the handshakes")
			if how == faultpoint.Handshake {
				require.ErrorContains(t, s.asks(careless), "remote error")
			} else {
				require.NoError(t, s.asks(careless), "who does not verify notices nothing")
			}
			s.clear(f)
			require.NoError(t, s.asks(c))
		})
	}
}

// Connections that are idle in mode tls, or are closed before anything is said, are
// nobody's requests.
func TestConnectionsWithoutAHandshake(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	f := s.fault(faultpoint.TLS, func(f *faultpoint.Fault) { f.TLS = faultpoint.Expired })
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	c.Close()
	s.clear(f)
	require.NoError(t, s.asks(s.client(false)))
	for _, x := range s.exchanges() {
		assert.Empty(t, x.Fault)
	}
}

// A certificate that was renewed is shown without a restart; until its key fits, the
// old one is.
func TestRenewedCertificateIsShown(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	require.NoError(t, s.asks(s.client(false)))
	old := map[string][]byte{}
	for _, path := range []string{s.spec.TLS.Key, s.spec.TLS.CA} {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		old[path] = b
	}
	recertify(t, s.spec.TLS, theName)
	for path, b := range old {
		require.NoError(t, os.WriteFile(path, b, 0o600))
	}
	require.Never(t, func() bool { return s.asks(s.client(false)) != nil }, 1200*time.Millisecond, 50*time.Millisecond)

	recertify(t, s.spec.TLS, theName)
	require.Eventually(t, func() bool { return s.asks(s.client(false)) == nil }, patience, tick)
}

func TestNamesResolve(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	listen := netip.MustParseAddrPort(s.addr).Addr()
	c := s.client(false)
	for _, how := range []string{faultpoint.NXDomain, faultpoint.ServFail, faultpoint.Timeout} {
		for _, network := range []string{"udp", "tcp"} {
			for _, name := range []string{theName + ".", strings.ToUpper(theName) + "."} {
				ips, err := s.resolver(network).LookupNetIP(t.Context(), "ip", name)
				require.NoError(t, err)
				assert.Equal(t, []netip.Addr{listen}, ips)
			}
			require.NoError(t, s.asks(c))
			f := s.fault(faultpoint.DNS, func(f *faultpoint.Fault) { f.DNS = how })
			ctx, cancel := context.WithTimeout(t.Context(), map[bool]time.Duration{true: 200 * time.Millisecond, false: patience}[how == faultpoint.Timeout])
			_, err := s.resolver(network).LookupNetIP(ctx, "ip4", theName+".")
			cancel()
			failed := new(net.DNSError)
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, how == faultpoint.NXDomain, failed.IsNotFound, failed)
			assert.Equal(t, how == faultpoint.Timeout, failed.IsTimeout, failed)
			require.Eventually(t, func() bool {
				st, err := s.State(t.Context())
				return err == nil && st.Points[0].Connections == 0
			}, patience, tick, "no connection is kept")
			other := s.client(false)
			other.Timeout = 200 * time.Millisecond
			require.Error(t, s.asks(other), "there is no address to connect to")
			require.NoError(t, s.known(), "who has the address needs no name")
			s.clear(f)
			require.Eventually(t, func() bool { return s.asks(c) == nil }, patience, tick)
		}
	}
}

// A stream that is under way is left alone, and its connection not kept.
func TestStreamsOutliveTheirNameAndCertificate(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	_, port, err := net.SplitHostPort(s.addr)
	require.NoError(t, err)
	for _, mode := range []faultpoint.Mode{faultpoint.TLS, faultpoint.DNS} {
		c := s.client(false)
		require.NoError(t, s.asks(c))
		resp, err := c.Post("https://"+theName+":"+port+"/", "application/json", strings.NewReader(chat("s", true)))
		require.NoError(t, err)
		defer resp.Body.Close()
		f := s.fault(mode, func(f *faultpoint.Fault) { f.TLS, f.DNS = faultpoint.Expired, faultpoint.NXDomain })
		go func() {
			for range streamEvents()[1:] {
				s.vendor.gate <- struct{}{}
			}
		}()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, streamEvents(), events(string(b)))
		require.Error(t, s.asks(c))
		s.clear(f)
		require.NoError(t, s.asks(c))
	}
	for _, x := range s.exchanges() {
		assert.Equal(t, x.ID != "", x.Fault == "", "only handshakes were hit: %+v", x)
	}
}

// known asks by the address.
func (s *named) known() error {
	resp, err := (&http.Client{Transport: s.spec.Transport(), Timeout: patience}).Get("https://" + s.addr + "/plain")
	if err == nil {
		resp.Body.Close()
	}
	return err
}

// question asks a name server, and returns its answer's code and how many addresses
// it has.
func question(t *testing.T, network, at, name string, kind dnsmessage.Type) (dnsmessage.RCode, int) {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{
		{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET},
	}}
	b, err := m.Pack()
	require.NoError(t, err)
	c, err := net.Dial(network, at)
	require.NoError(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if network == "tcp" {
		b = append([]byte{0, byte(len(b))}, b...)
	}
	_, err = c.Write(b)
	require.NoError(t, err)
	a := make([]byte, 4096)
	n, err := c.Read(a)
	require.NoError(t, err)
	if a = a[:n]; network == "tcp" {
		for len(a) < 2 || len(a) < 2+int(a[0])<<8+int(a[1]) {
			more := make([]byte, 4096)
			n, err := c.Read(more)
			require.NoError(t, err)
			a = append(a, more[:n]...)
		}
		a = a[2:]
	}
	require.NoError(t, m.Unpack(a))
	assert.EqualValues(t, 7, m.ID)
	for _, rr := range m.Answers {
		assert.EqualValues(t, 1, rr.Header.TTL)
	}
	return m.RCode, len(m.Answers)
}

func TestOtherQuestions(t *testing.T) {
	t.Parallel()
	s := newNamed(t)
	forwarding := freeNameServer(t)
	lost := freeNameServer(t)
	for at, next := range map[string]string{forwarding: s.spec.DNS.Listen, lost: freeNameServer(t)} {
		serve(t, faultpoint.Config{
			Socket: socketPath(t), DNS: &topology.FaultPointDNS{Listen: at, Names: map[string]string{"b": "b.models.lab"}, Forward: next},
			Points: []faultpoint.Point{{Member: "b", Listen: freeAddress(t), Upstream: s.vendor.URL}},
		})
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, c := range []struct {
			at, name  string
			kind      dnsmessage.Type
			code      dnsmessage.RCode
			addresses int
		}{
			{s.spec.DNS.Listen, theName + ".", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
			{s.spec.DNS.Listen, theName + ".", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 0},
			{s.spec.DNS.Listen, theName + ".", dnsmessage.TypeHTTPS, dnsmessage.RCodeSuccess, 0},
			{s.spec.DNS.Listen, "other.lab.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
			{forwarding, "b.models.lab.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
			{forwarding, theName + ".", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
			{forwarding, "other.lab.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
			{lost, "other.lab.", dnsmessage.TypeA, dnsmessage.RCodeServerFailure, 0},
		} {
			code, n := question(t, network, c.at, c.name, c.kind)
			assert.Equal(t, c.code, code, "%s %+v", network, c)
			assert.Equal(t, c.addresses, n, "%s %+v", network, c)
		}
	}
	nonsense, err := net.Dial("udp", s.spec.DNS.Listen)
	require.NoError(t, err)
	defer nonsense.Close()
	_, err = nonsense.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, nameserver.Answers(t.Context(), s.spec.DNS.Listen), "nonsense does no harm")
}

func TestBadTLSAndDNSAreRefused(t *testing.T) {
	t.Parallel()
	good := certify(t, theName)
	a := faultpoint.Point{Member: "a", Listen: freeAddress(t), Upstream: "http://127.0.0.1:1"}
	b := a
	b.Member, b.Listen = "b", "localhost:1"
	taken, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for want, c := range map[string]faultpoint.Config{
		"tls: stat /nowhere: no such file": {TLS: &topology.FaultPointTLS{Cert: "/nowhere", Key: good.Key}},
		"tls: tls: ":                       {TLS: &topology.FaultPointTLS{Cert: good.Cert, Key: good.Cert}},
		`dns.listen: "x": want HOST:PORT`:  {DNS: &topology.FaultPointDNS{Listen: "x"}},
		`dns.forward: "x": want HOST`:      {DNS: &topology.FaultPointDNS{Listen: "127.0.0.1:1", Forward: "x"}},
		"dns.names.c: listen has no such":  {DNS: &topology.FaultPointDNS{Listen: "127.0.0.1:1", Names: map[string]string{"c": "x"}}},
		"dns.names.b: listen \"localhost":  {DNS: &topology.FaultPointDNS{Listen: "127.0.0.1:1", Names: map[string]string{"b": "x"}}},
		"dns.names.a: is empty":            {DNS: &topology.FaultPointDNS{Listen: "127.0.0.1:1", Names: map[string]string{"a": ""}}},
		"address already in use":           {DNS: &topology.FaultPointDNS{Listen: taken.LocalAddr().String(), Names: map[string]string{"a": "x"}}},
	} {
		c.Socket, c.Points = socketPath(t), []faultpoint.Point{a, b}
		if strings.HasPrefix(want, "address") {
			c.Points = c.Points[:1]
		}
		assert.ErrorContains(t, faultpoint.Serve(t.Context(), c, func() {}), want)
	}
}
