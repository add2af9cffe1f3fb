package probetest

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Serve hands every connection to a new listener on 127.0.0.1 to handle, and
// closes it afterwards. All of it ends with the test.
func Serve(t testing.TB, handle func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open sync.Map
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		open.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		wg.Wait()
	})
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Store(c, true)
			wg.Go(func() {
				defer open.Delete(c)
				defer c.Close()
				handle(c)
			})
		}
	})
	return l.Addr().String()
}

// Refuse returns an address on which nothing listens.
func Refuse(t testing.TB) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Hang accepts and never answers.
func Hang(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// Reset cuts the connection with a RST segment.
func Reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// Say sends bytes and waits for the other side to hang up.
func Say(b []byte) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := c.Write(b); err == nil {
			Hang(c)
		}
	}
}
