package topology

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"

	"firedrill/drills/topology/nameserver"
)

// check refuses what would be found out only when the fault point is started. The
// files need not be there yet, or not on this host.
func (p *FaultPointSpec) check() error {
	if t := p.TLS; t != nil && (t.Cert == "" || t.Key == "") {
		return errors.New("tls: name the files of the certificate (cert) and of its key (key)")
	}
	if p.DNS == nil {
		return nil
	}
	return p.DNS.Check(p.Listen)
}

// Check refuses names that lead nowhere: listen is where the fault point listens,
// by the members' names.
func (d *FaultPointDNS) Check(listen map[string]string) error {
	for what, at := range map[string]string{"listen": d.Listen, "forward": d.Forward} {
		if host, _, err := net.SplitHostPort(at); (err != nil || host == "") && (at != "" || what == "listen") {
			return fmt.Errorf("dns.%s: %q: want HOST:PORT", what, at)
		}
	}
	for member, name := range d.Names {
		at, err := netip.ParseAddrPort(listen[member])
		switch {
		case name == "":
			return fmt.Errorf("dns.names.%s: is empty", member)
		case listen[member] == "":
			return fmt.Errorf("dns.names.%s: listen has no such member", member)
		case err != nil || at.Addr().IsUnspecified():
			return fmt.Errorf("dns.names.%s: listen %q: want IP:PORT: a name must resolve to it", member, listen[member])
		}
	}
	return nil
}

// URL is where what asks a member connects to, by name if the fault point resolves
// one, "" if no fault point stands there. Requests to it are made with Transport. p
// may be nil.
func (p *FaultPointSpec) URL(member string) string {
	if p == nil || p.Listen[member] == "" {
		return ""
	}
	scheme := "http://"
	if p.TLS != nil {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(p.Listen[member])
	if err != nil {
		return scheme + p.Listen[member] // and let whoever connects say so
	}
	if p.DNS != nil && p.DNS.Names[member] != "" {
		host = p.DNS.Names[member]
	}
	return scheme + net.JoinHostPort(host, port)
}

// Transport makes a connection for each request, as Dial and DialTLS do. p may be
// nil.
func (p *FaultPointSpec) Transport() *http.Transport {
	t := &http.Transport{DisableKeepAlives: true}
	p.Through(t)
	return t
}

// Through makes a transport connect as Dial and DialTLS do. p may be nil.
func (p *FaultPointSpec) Through(t *http.Transport) {
	if p != nil && p.DNS != nil {
		t.DialContext = p.Dial
	}
	if p != nil && p.TLS != nil {
		t.DialTLSContext = p.DialTLS
	}
}

// Dial connects to host:port. The name of a member is looked up where those do who
// ask the member: at the fault point.
func (p *FaultPointSpec) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	member := p.at(address)
	host, port, err := net.SplitHostPort(address)
	if err != nil || member == "" || p.DNS == nil || host != p.DNS.Names[member] {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	at, err := netip.ParseAddrPort(p.Listen[member])
	if err != nil {
		return nil, err
	}
	failed := &net.DNSError{Name: host, Server: p.DNS.Listen}
	r, err := nameserver.Resolve(ctx, p.DNS.Listen, host, at.Addr().Unmap())
	switch {
	case err != nil:
		failed.Err, failed.IsTimeout, failed.UnwrapErr = err.Error(), ctx.Err() != nil, ctx.Err()
		return nil, failed
	case len(r.Addresses) == 0:
		failed.Err, failed.IsNotFound = r.Code, r.Code == "NXDOMAIN"
		return nil, failed
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(r.Addresses[0].String(), port))
}

// DialTLS connects as Dial does and returns once the certificate is verified: a fault
// point's as its TLS says, any other against the system's. p may be nil.
func (p *FaultPointSpec) DialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	cfg, err := p.TLSConfig(address)
	if err != nil {
		return nil, err
	}
	c, err := p.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return t, nil
}

// TLSConfig is how the certificate at host:port is verified. The files are read each
// time: they may have changed.
func (p *FaultPointSpec) TLSConfig(address string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	member := p.at(address)
	if member == "" || p.TLS == nil {
		return cfg, nil
	}
	if name := p.TLS.ServerName; name != "" {
		cfg.ServerName = name
	} else if p.DNS != nil && p.DNS.Names[member] != "" {
		cfg.ServerName = p.DNS.Names[member]
	}
	cfg.RootCAs, err = p.TLS.trusted()
	return cfg, err
}

// at is the member that the fault point stands for at host:port, "" if there is none.
func (p *FaultPointSpec) at(address string) string {
	if p == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	for member, listen := range p.Listen {
		_, itsPort, _ := net.SplitHostPort(listen)
		if address == listen || p.DNS != nil && host == p.DNS.Names[member] && port == itsPort {
			return member
		}
	}
	return ""
}

func (t *FaultPointTLS) trusted() (*x509.CertPool, error) {
	pool, file, what := x509.NewCertPool(), t.CA, "ca"
	if t.CA == "" {
		file, what = t.Cert, "cert"
		if system, err := x509.SystemCertPool(); err == nil {
			pool = system
		}
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("faultPoint.tls.%s: %w", what, err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("faultPoint.tls.%s: %s holds no PEM certificate", what, file)
	}
	return pool, nil
}
