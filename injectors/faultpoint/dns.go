package faultpoint

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"firedrill/drills/topology"
	"firedrill/drills/topology/nameserver"
)

// nameServer answers questions for members' names with where the fault point
// listens for them, over UDP and TCP (RFC 1035).
type nameServer struct {
	listen, forward string
	// points are by the names that lead to them: in lower case, with the last dot.
	points map[string]*point
	udp    net.PacketConn
	tcp    net.Listener
}

// newNameServer makes one that does not listen yet; nil if it is to be none.
func newNameServer(d *topology.FaultPointDNS, points []*point) (*nameServer, error) {
	if d == nil {
		return nil, nil
	}
	n := &nameServer{listen: d.Listen, forward: d.Forward, points: map[string]*point{}}
	listen := map[string]string{}
	for _, p := range points {
		listen[p.Member] = p.Listen
		if name := d.Names[p.Member]; name != "" {
			n.points[nameserver.Canonical(name)] = p
		}
	}
	if err := d.Check(listen); err != nil {
		return nil, err
	}
	if len(n.points) < len(d.Names) {
		return nil, errors.New("dns.names: two members have the same name")
	}
	return n, nil
}

// of is the name that leads to a point, "" if there is none.
func (n *nameServer) of(p *point) string {
	if n == nil {
		return ""
	}
	for name, q := range n.points {
		if q == p {
			return name
		}
	}
	return ""
}

// start listens and answers until stop.
func (n *nameServer) start(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if n.udp, err = lc.ListenPacket(ctx, "udp", n.listen); err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	if n.tcp, err = lc.Listen(ctx, "tcp", n.listen); err != nil {
		n.udp.Close()
		return fmt.Errorf("dns: %w", err)
	}
	go n.serveUDP()
	go n.serveTCP()
	return nil
}

func (n *nameServer) stop() {
	n.udp.Close()
	n.tcp.Close()
}

// dnsWithin is how long a question may take on its way to the next name server, and
// how long a connection may be idle.
const dnsWithin = 2 * time.Second

func (n *nameServer) serveUDP() {
	for {
		b := make([]byte, nameserver.UDPSize)
		size, from, err := n.udp.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of one datagram
		}
		go func() {
			if a := n.answer("udp", b[:size]); a != nil {
				_, _ = n.udp.WriteTo(a, from) // who asked asks again
			}
		}()
	}
}

func (n *nameServer) serveTCP() {
	for {
		c, err := n.tcp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.AfterFunc(5*time.Millisecond, n.serveTCP) // out of descriptors, likely
			return
		}
		go n.converse(c)
	}
}

// converse answers one question after the other.
func (n *nameServer) converse(c net.Conn) {
	defer c.Close()
	for {
		_ = c.SetDeadline(time.Now().Add(dnsWithin)) // of a connection that is closed: seen at once
		q, err := nameserver.ReadFramed(c)
		if err != nil {
			return
		}
		if a := n.answer("tcp", q); a != nil && nameserver.WriteFramed(c, a) != nil {
			return
		}
	}
}

// answer returns nil if there is none.
func (n *nameServer) answer(network string, question []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(question)
	if err != nil || h.Response {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return respond(h.ID, nil, dnsmessage.RCodeFormatError, netip.Addr{})
	}
	to := n.points[strings.ToLower(q.Name.String())]
	switch {
	case q.Class != dnsmessage.ClassINET || to == nil && n.forward == "":
		return respond(h.ID, &q, dnsmessage.RCodeRefused, netip.Addr{})
	case to == nil:
		a, err := n.pass(network, question)
		if err != nil {
			return respond(h.ID, &q, dnsmessage.RCodeServerFailure, netip.Addr{})
		}
		return a
	}
	code := dnsmessage.RCodeSuccess
	if mode, how := to.failing(); mode == DNS && how == Timeout {
		return nil
	} else if mode == DNS {
		code = dnsCodes[how]
	}
	return respond(h.ID, &q, code, netip.MustParseAddrPort(to.Listen).Addr().Unmap())
}

var dnsCodes = map[string]dnsmessage.RCode{NXDomain: dnsmessage.RCodeNameError, ServFail: dnsmessage.RCodeServerFailure}

// dnsTTL is for how many seconds an answer is good.
const dnsTTL = 1

// respond writes an answer. An error has no SOA record, so that nobody keeps it (RFC
// 2308, 5); neither does a name that has no address of the kind that is asked for.
func respond(id uint16, q *dnsmessage.Question, code dnsmessage.RCode, addr netip.Addr) []byte {
	m := dnsmessage.Message{Header: dnsmessage.Header{
		ID: id, Response: true, Authoritative: true, RecursionDesired: true, RecursionAvailable: true, RCode: code,
	}}
	if q != nil {
		m.Questions = []dnsmessage.Question{*q}
		rr := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: dnsTTL}
		switch {
		case code != dnsmessage.RCodeSuccess:
		case q.Type == dnsmessage.TypeA && addr.Is4():
			m.Answers = []dnsmessage.Resource{{Header: rr, Body: &dnsmessage.AResource{A: addr.As4()}}}
		case q.Type == dnsmessage.TypeAAAA && addr.Is6():
			m.Answers = []dnsmessage.Resource{{Header: rr, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil // what was read can be written
	}
	return b
}

// pass asks the next name server, over the same network, and returns what it says.
func (n *nameServer) pass(network string, question []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dnsWithin)
	defer cancel()
	return nameserver.Exchange(ctx, network, n.forward, question)
}
