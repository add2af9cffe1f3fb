// Package nameserver asks one name server, past what the host resolves names by: its
// hosts file, its own name servers and what they remember.
package nameserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// UDPSize is the longest datagram that is read: nobody advertises more (RFC 6891).
const UDPSize = 4096

// Canonical is a name in lower case, with the last dot.
func Canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) + "." }

// ReadFramed reads a message from a TCP connection.
func ReadFramed(c net.Conn) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

// WriteFramed writes one.
func WriteFramed(c net.Conn, b []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
	return err
}

// Exchange sends a question (RFC 1035) over udp or tcp, once, and returns the
// answer.
func Exchange(ctx context.Context, network, at string, question []byte) ([]byte, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, at)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if network == "tcp" {
		if err := WriteFramed(c, question); err != nil {
			return nil, err
		}
		return ReadFramed(c)
	}
	if _, err := c.Write(question); err != nil {
		return nil, err
	}
	b := make([]byte, UDPSize)
	for {
		size, err := c.Read(b)
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		if size > 2 && [2]byte(b) == [2]byte(question) { // the answer to this question
			return b[:size], nil
		}
	}
}

// Resolved is what a name server says of a name.
type Resolved struct {
	// Code is NOERROR, NXDOMAIN, SERVFAIL or REFUSED, or the number of another.
	Code      string
	Addresses []netip.Addr
}

// Resolve asks the name server at host:port, once and over UDP, for the address of a
// name: of IPv6 if like is, else of IPv4.
func Resolve(ctx context.Context, at, name string, like netip.Addr) (Resolved, error) {
	kind := dnsmessage.TypeA
	if like.Is6() {
		kind = dnsmessage.TypeAAAA
	}
	return resolve(ctx, at, name, kind, dnsmessage.ClassINET)
}

// Answers returns nil if the name server at host:port answers questions, be it that
// it refuses them: those of another class than the Internet's.
func Answers(ctx context.Context, at string) error {
	_, err := resolve(ctx, at, "version.bind.", dnsmessage.TypeTXT, dnsmessage.ClassCHAOS)
	return err
}

func resolve(ctx context.Context, at, name string, kind dnsmessage.Type, class dnsmessage.Class) (r Resolved, err error) {
	n, err := dnsmessage.NewName(Canonical(name))
	if err != nil {
		return r, fmt.Errorf("name %q: %w", name, err)
	}
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: n, Type: kind, Class: class}},
	}
	b, err := m.Pack()
	if err != nil {
		return r, fmt.Errorf("name %q: %w", name, err)
	}
	if b, err = Exchange(ctx, "udp", at, b); err != nil {
		return r, fmt.Errorf("ask name server %s: %w", at, err)
	}
	var a dnsmessage.Message
	if err := a.Unpack(b); err != nil {
		return r, fmt.Errorf("ask name server %s: %w", at, err)
	}
	for _, rr := range a.Answers {
		switch body := rr.Body.(type) {
		case *dnsmessage.AResource:
			r.Addresses = append(r.Addresses, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			r.Addresses = append(r.Addresses, netip.AddrFrom16(body.AAAA))
		}
	}
	r.Code = map[dnsmessage.RCode]string{
		dnsmessage.RCodeSuccess: "NOERROR", dnsmessage.RCodeNameError: "NXDOMAIN",
		dnsmessage.RCodeServerFailure: "SERVFAIL", dnsmessage.RCodeRefused: "REFUSED",
	}[a.RCode]
	if r.Code == "" {
		r.Code = fmt.Sprintf("code %d", a.RCode)
	}
	return r, nil
}
