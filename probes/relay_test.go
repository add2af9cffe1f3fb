package probes_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"firedrill/probes/probetest"
)

// relay is a proxy between a client and a MySQL server that sees every packet
// (MySQL Internals, "MySQL Packets": 3 bytes of length, 1 of sequence, body) and
// can change what becomes of it.
type relay struct {
	address string
	// upstream is where new connections lead.
	upstream atomic.Pointer[string]
	// onCommand decides about each COM_QUERY; nil passes them.
	onCommand atomic.Pointer[func(*relayed, []byte) error]
	// held blackholes the connections that exist when it is set: nothing passes in
	// either direction, and nobody is told.
	mu   sync.Mutex
	open map[*relayed]bool
}

// relayed is one connection through the relay.
type relayed struct {
	client, server net.Conn
	// answers is asked about each packet of the server's; nil passes them.
	answers atomic.Pointer[func([]byte) []byte]
	held    atomic.Bool
}

var errCut = errors.New("cut")

func newRelay(t testing.TB, upstream string) *relay {
	r := &relay{open: map[*relayed]bool{}}
	r.upstream.Store(&upstream)
	r.address = probetest.Serve(t, r.handle)
	return r
}

func (r *relay) leadTo(upstream string)                  { r.upstream.Store(&upstream) }
func (r *relay) command(do func(*relayed, []byte) error) { r.onCommand.Store(&do) }
func (c *relayed) answer(do func(packet []byte) []byte)  { c.answers.Store(&do) }
func (c *relayed) pass(packet []byte) error              { _, err := c.server.Write(packet); return err }

// hold blackholes every connection that is open now.
func (r *relay) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.held.Store(true)
	}
}

func (r *relay) handle(client net.Conn) {
	server, err := net.Dial("tcp", *r.upstream.Load())
	if err != nil {
		return
	}
	c := &relayed{client: client, server: server}
	r.mu.Lock()
	r.open[c] = true
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.open, c)
		r.mu.Unlock()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.fromServer()
		client.Close()
	}()
	r.fromClient(c)
	server.Close()
	client.Close()
	<-done
}

func (r *relay) fromClient(c *relayed) {
	for {
		p, err := packet(c.client)
		if err != nil {
			return
		}
		do := r.onCommand.Load()
		const comQuery = 3
		switch {
		case c.held.Load():
			continue
		case do != nil && p[3] == 0 && len(p) > 5 && p[4] == comQuery:
			err = (*do)(c, p)
		default:
			err = c.pass(p)
		}
		if err != nil {
			return
		}
	}
}

func (c *relayed) fromServer() {
	for {
		p, err := packet(c.server)
		if err != nil {
			return
		}
		if do := c.answers.Load(); do != nil {
			p = (*do)(p)
		}
		if c.held.Load() || p == nil {
			continue
		}
		if _, err := c.client.Write(p); err != nil {
			return
		}
	}
}

// packet reads one packet with its header.
func packet(from net.Conn) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	p := append(head, make([]byte, n)...)
	_, err := io.ReadFull(from, p[4:])
	return p, err
}

// framed makes a packet.
func framed(sequence byte, body []byte) []byte {
	p := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	p[3] = sequence
	return append(p, body...)
}

// errorPacket is what a server sends that refuses (MySQL Internals, ERR_Packet).
func errorPacket(sequence byte, number uint16, text string) []byte {
	body := binary.LittleEndian.AppendUint16([]byte{0xff}, number)
	return framed(sequence, append(append(body, "#HY000"...), text...))
}
