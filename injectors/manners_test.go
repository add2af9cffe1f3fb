package injectors

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serve answers every connection by f and closes it.
func serve(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	return l.Addr().String()
}

// A server that fails to start has its port open for a moment, and hangs up: that
// is no answer of one that used to greet.
func TestHangingUpIsNoGreeting(t *testing.T) {
	greeting := serve(t, func(c net.Conn) { _, _ = c.Write([]byte("J\x00\x00")) })
	rude := serve(t, func(net.Conn) {})
	m := learn(t.Context(), greeting)
	assert.Equal(t, greets, m.Answers)
	require.NoError(t, m.asBefore(t.Context(), greeting))
	require.ErrorIs(t, m.asBefore(t.Context(), rude), errHungUp)

	m = learn(t.Context(), rude)
	assert.Equal(t, hangsUp, m.Answers)
	require.NoError(t, m.asBefore(t.Context(), rude), "one that always did is as before")
	require.NoError(t, m.asBefore(t.Context(), greeting))
	_, err := m.unanswered(t.Context(), rude)
	require.ErrorContains(t, err, "answers")
}
