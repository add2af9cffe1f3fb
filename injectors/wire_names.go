package injectors

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"firedrill/drills/topology/nameserver"
	"firedrill/injectors/faultpoint"
)

// handshake makes a TLS handshake with the fault point as those do who verify.
func (q question) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passWithin)
	defer cancel()
	c, err := q.point.DialTLS(ctx, "tcp", q.at())
	if err == nil {
		c.Close()
	}
	return err
}

// mistrusts sees that a handshake fails, and that it does so as it is to.
func (w *witness) mistrusts(ctx context.Context) (string, error) {
	err := w.handshake(ctx)
	if err == nil {
		return "", fmt.Errorf("own TLS handshake with %s succeeds", w.at())
	}
	cert, distrusted := errors.AsType[*tls.CertificateVerificationError](err)
	other, failed := errors.AsType[*net.OpError](err)
	switch {
	case distrusted && w.fault.TLS == faultpoint.Untrusted:
		return fmt.Sprintf("found a certificate that is not to be trusted (%v)", cert.Err), nil
	case distrusted && w.fault.TLS == faultpoint.Expired:
		if until := cert.UnverifiedCertificates[0].NotAfter; until.Before(time.Now()) {
			return fmt.Sprintf("found a certificate whose time was over on %s (%v)", until.UTC().Format(time.DateOnly), cert.Err), nil
		}
	case failed && other.Op == "remote error" && w.fault.TLS == faultpoint.Handshake:
		return fmt.Sprintf("found the handshake broken off (%v)", other.Err), nil
	}
	return "", fmt.Errorf("own TLS handshake with %s failed, and not as %s does: %w", w.at(), w.fault.TLS, err)
}

// name is what the member resolves by, "" if the fault point is not who is asked.
func (q question) name() string {
	if q.point.DNS == nil {
		return ""
	}
	return q.point.DNS.Names[q.Member]
}

// resolve asks the fault point for the member's name. where is what it is to say.
func (q question) resolve(ctx context.Context, within time.Duration) (r nameserver.Resolved, where netip.Addr, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	at, err := netip.ParseAddrPort(q.at())
	if err != nil {
		return r, where, err
	}
	where = at.Addr().Unmap()
	r, err = nameserver.Resolve(ctx, q.point.DNS.Listen, q.name(), where)
	return r, where, err
}

// resolves returns nil if the member's name leads to the fault point, or there is
// none.
func (q question) resolves(ctx context.Context) error {
	if q.name() == "" {
		return nil
	}
	r, where, err := q.resolve(ctx, passWithin)
	if err == nil && !slices.Contains(r.Addresses, where) {
		err = fmt.Errorf("got %s with %v", r.Code, r.Addresses)
	}
	if err != nil {
		return fmt.Errorf("own question for %s at %s, want %s: %w", q.name(), q.point.DNS.Listen, where, err)
	}
	return nil
}

// dnsCodes are those that ways of mode dns answer with.
var dnsCodes = map[string]string{faultpoint.NXDomain: "NXDOMAIN", faultpoint.ServFail: "SERVFAIL"}

// astray sees that the member's name does not resolve, and that it does so as it is
// to. Where no answer is to come, the name server must give others.
func (w *witness) astray(ctx context.Context) (string, error) {
	wait := witnessWithin
	var usual time.Duration
	if w.fault.DNS == faultpoint.Timeout {
		begin := time.Now()
		alive, cancel := context.WithTimeout(ctx, silenceTo)
		defer cancel()
		if err := nameserver.Answers(alive, w.point.DNS.Listen); err != nil {
			return "", err
		}
		usual = time.Since(begin)
		wait = silence(usual)
	}
	begin := time.Now()
	r, _, err := w.resolve(ctx, wait)
	switch code := dnsCodes[w.fault.DNS]; {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err == nil && r.Code == code:
		return fmt.Sprintf("cannot be made: %s is %s at %s", w.name(), code, w.point.DNS.Listen), nil
	case err == nil:
		return "", fmt.Errorf("own question for %s at %s got %s with %v", w.name(), w.point.DNS.Listen, r.Code, r.Addresses)
	case code != "" || !errors.Is(err, context.DeadlineExceeded):
		return "", err
	}
	if err := waited(begin, wait); err != nil {
		return "", err
	}
	return fmt.Sprintf("cannot be made: %s had no answer from %s after %s, another question after %s",
		w.name(), w.point.DNS.Listen, wait, usual.Round(10*time.Microsecond)), nil
}
