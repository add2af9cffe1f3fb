package faultpoint

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// certificate is what a fault point shows to those who connect.
type certificate struct {
	files topology.FaultPointTLS

	mu sync.Mutex
	// now is what the files held when they had changed last, at stamp, and looked when
	// that was found.
	now           *tls.Config
	stamp, looked time.Time
}

// newCertificate reads the files; nil if there are none.
func newCertificate(files *topology.FaultPointTLS) (*certificate, error) {
	if files == nil {
		return nil, nil
	}
	c := &certificate{files: *files}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return c, nil
}

// read reads the files unless they are those that were read.
func (c *certificate) read() error {
	st, err := os.Stat(c.files.Cert)
	if err != nil || c.now != nil && st.ModTime().Equal(c.stamp) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return err
	}
	c.now, c.stamp = configOf(pair), st.ModTime()
	return nil
}

// configOf speaks HTTP/1.1 only: what a fault does to a connection must not hit
// other requests on it.
func configOf(pair tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair}}
}

// lookAgain is how long a certificate is used before its file is looked at again.
const lookAgain = time.Second

// config is for a handshake that is to succeed. Files that are renewed one after the
// other do not fit for a moment: until they do, those from before are used.
func (c *certificate) config() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > lookAgain {
		_ = c.read()
		c.looked = time.Now()
	}
	return c.now
}

// errSpoilt breaks a handshake off, with the alert internal_error: so do servers that
// have no certificate for the name that they are asked for.
var errSpoilt = errors.New("mode: tls")

// spoilt is for handshakes that are to fail, and resumes no session: a client that
// resumes one looks at no certificate.
func (c *certificate) spoilt(how string) *tls.Config {
	broken := func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, errSpoilt }
	if how == Handshake {
		return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: broken}
	}
	pair, err := imitate(c.config().Certificates[0].Leaf, how)
	if err != nil { // of random numbers only, which never fail
		return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: broken}
	}
	cfg := configOf(pair)
	cfg.SessionTicketsDisabled = true
	return cfg
}

// imitate makes a certificate with the names of another that nobody but itself
// signed, and whose time is over if it is to be expired.
func imitate(leaf *x509.Certificate, how string) (tls.Certificate, error) {
	c := template("", leaf.NotAfter)
	c.Subject, c.DNSNames, c.IPAddresses, c.ExtKeyUsage = leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.ExtKeyUsage
	if how == Expired {
		c.NotBefore, c.NotAfter = time.Now().AddDate(0, -3, 0), time.Now().AddDate(0, 0, -1)
	}
	return issue(c, nil)
}

// handshakeWithin is how long a client may take for a handshake that is to fail.
const handshakeWithin = 10 * time.Second

// mislead shows a client the spoilt certificate. One that does not look at it gets
// through, as it would to a member with such a certificate.
func (p *point) mislead(c *conn) {
	p.mu.Lock()
	cfg := p.spoilt
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), handshakeWithin)
	defer cancel()
	from, t := time.Now(), tls.Server(c, cfg)
	err := t.HandshakeContext(ctx)
	if err == nil {
		p.hand(t)
		return
	}
	c.Close()
	if errors.Is(err, io.EOF) { // nothing was said on the connection
		return
	}
	p.count.Add(1)
	p.log.put(timeline.Exchange{Member: p.Member, From: from, To: time.Now(), Fault: string(TLS)})
}
