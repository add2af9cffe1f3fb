package probes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"firedrill/drills"
)

// httpConns are the connections of a probe that speaks HTTP. It drives single ones
// (http.Transport.NewClientConn) instead of the transport's own pool, because that
// one sends a request again, unasked, when a kept connection breaks: the first
// failure would never be seen.
type httpConns struct {
	transport       *http.Transport
	scheme, address string
	pool            *pool[*http.ClientConn] // nil for fresh clients
}

// newHTTPConns makes none yet: address is host:port.
func newHTTPConns(t *http.Transport, scheme, address string, s drills.Subject) *httpConns {
	h := &httpConns{transport: t, scheme: scheme, address: address}
	if s.Client == drills.Pooled {
		h.pool = newPool(s.Lanes, h.dial, func(c *http.ClientConn) bool { return c.Err() == nil })
	}
	return h
}

func (h *httpConns) dial(ctx context.Context) (*http.ClientConn, error) {
	return h.transport.NewClientConn(ctx, h.scheme, h.address)
}

// use runs ask on a new or a kept connection; ask says whether that can be used
// again. An error means that there was none to ask on.
func (h *httpConns) use(ctx context.Context, ask func(*http.ClientConn) (keep bool)) error {
	if h.pool != nil {
		return h.pool.with(ctx, ask)
	}
	c, err := h.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	ask(c)
	return nil
}

// Close closes the kept connections.
func (h *httpConns) Close() error {
	if h.pool == nil {
		return nil
	}
	return h.pool.Close()
}

// roundTrip sends a request on a connection. Its error says why a connection was
// closed, where net/http's says only that it was.
func roundTrip(c *http.ClientConn, r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTrip(r)
	if err == nil {
		return resp, nil
	}
	if why := c.Err(); why != nil && errors.Is(err, net.ErrClosed) {
		err = why
	}
	if strings.Contains(err.Error(), "server closed idle connection") {
		err = fmt.Errorf("%w: %w", err, io.EOF) // net/http has no name for it
	}
	return nil, err
}
