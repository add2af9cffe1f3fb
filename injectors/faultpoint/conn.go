package faultpoint

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
)

// conn is a connection that somebody made to a point.
type conn struct {
	*net.TCPConn
	point *point
	// hit is the mode of the fault that took the connection, "" if none did.
	hit atomic.Value
	// silent is closed when nothing comes through any more, and released when the
	// connection is given up.
	silent, released chan struct{}
	silence, release sync.Once
}

func newConn(c *net.TCPConn, p *point) *conn {
	return &conn{TCPConn: c, point: p, silent: make(chan struct{}), released: make(chan struct{})}
}

// plain is the connection that another one, with TLS, was made on.
func plain(c net.Conn) *conn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*conn) // a point hands out no others
}

func (c *conn) taken() Mode {
	m, _ := c.hit.Load().(Mode)
	return m
}

func (c *conn) isSilent() bool {
	select {
	case <-c.silent:
		return true
	default:
		return false
	}
}

// Read holds back whatever arrives on a silenced connection until it is given up.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	if !c.isSilent() {
		return n, err
	}
	<-c.released
	return 0, net.ErrClosed
}

// Write swallows whatever is sent on a silenced connection.
func (c *conn) Write(b []byte) (int, error) {
	if c.isSilent() {
		return len(b), nil
	}
	return c.TCPConn.Write(b)
}

// Close closes the connection, for good.
func (c *conn) Close() error {
	c.release.Do(func() { close(c.released) })
	c.point.forget(c)
	return c.TCPConn.Close()
}

// take does to an open connection what a fault on connections says.
func (c *conn) take(m Mode) {
	c.hit.Store(m)
	switch m {
	case Reset:
		c.reset()
	case BlackHole:
		c.silence.Do(func() { close(c.silent) })
	default:
		c.Close()
	}
}

// reset gives the connection up with a TCP reset.
func (c *conn) reset() {
	_ = c.SetLinger(0) // of a connection that is closed already, there is nothing to reset
	c.Close()
}
