package faultpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Point is where a fault point stands in for one member.
type Point struct {
	Member string `json:"member"`
	// Listen is host:port that what asks the member connects to.
	Listen string `json:"listen"`
	// Upstream is the URL of the member itself, up to and without the API's paths.
	Upstream string `json:"upstream"`
}

// ParsePoint reads "member=LISTEN=UPSTREAMURL".
func ParsePoint(s string) (Point, error) {
	member, rest, _ := strings.Cut(s, "=")
	listen, upstream, ok := strings.Cut(rest, "=")
	p := Point{Member: member, Listen: listen, Upstream: upstream}
	if !ok || member == "" {
		return p, fmt.Errorf("point %q: want MEMBER=HOST:PORT=URL", s)
	}
	return p, p.check()
}

func (p Point) String() string { return p.Member + "=" + p.Listen + "=" + p.Upstream }

func (p Point) check() error {
	if host, _, err := net.SplitHostPort(p.Listen); err != nil || host == "" {
		return fmt.Errorf("point %s: listen %q: want HOST:PORT", p.Member, p.Listen)
	}
	u, err := url.Parse(p.Upstream)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("point %s: upstream: want http://HOST or https://HOST", p.Member)
	case u.User != nil: // the processes' arguments are for everybody to read
		return fmt.Errorf("point %s: upstream: leave the user name and password out: what asks the member sends its own", p.Member)
	}
	return nil
}

// point is a Point at work. Connections are handed to the HTTP server as they come;
// only a fault on connections keeps them from it.
type point struct {
	Point
	tls   *certificate // nil: the point listens without TLS
	proxy *httputil.ReverseProxy
	http  *http.Server
	log   *ring
	// faults are those on requests; nil without any.
	faults atomic.Pointer[[]*active]
	count  atomic.Uint64
	wrong  atomic.Pointer[string]

	accepted chan net.Conn
	stopped  chan struct{}

	mu       sync.Mutex
	listener net.Listener
	open     map[*conn]struct{}
	// mode is that of the fault on connections, "" without one, and how its way; gone
	// is closed when it is over.
	mode Mode
	how  string
	gone chan struct{}
	// spoilt is what handshakes get in mode tls.
	spoilt *tls.Config
}

type connKey struct{}

// newPoint makes a point that does not listen yet.
func newPoint(p Point, cert *certificate, log *ring) (*point, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	up, err := url.Parse(p.Upstream)
	if err != nil {
		return nil, err
	}
	pt := &point{
		Point: p, tls: cert, log: log, accepted: make(chan net.Conn), stopped: make(chan struct{}),
		open: map[*conn]struct{}{}, gone: make(chan struct{}),
	}
	pt.proxy = newProxy(up, pt.failed)
	pt.http = &http.Server{
		Handler: pt, DisableGeneralOptionsHandler: true, ErrorLog: silentLog(),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, plain(c))
		},
	}
	return pt, nil
}

// silentLog drops what the standard library has to say: clients that go away.
func silentLog() *log.Logger { return log.New(io.Discard, "", 0) }

// forwarded are the headers that a ReverseProxy takes for its own.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// idleFor is how long a connection to a member is kept for the next request: less
// than the 5 s of many servers, so that none is closed by its server in the very
// moment that a request is sent on it.
const idleFor = 4 * time.Second

// newProxy makes what passes requests on: unchanged, but for the host that they
// name, which is the member's own.
func newProxy(up *url.URL, failed func(http.ResponseWriter, *http.Request, error)) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		FlushInterval: -1, BufferPool: &buffers{}, ModifyResponse: modify, ErrorHandler: failed, ErrorLog: silentLog(),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(up)
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			for _, h := range forwarded {
				if v, has := r.In.Header[h]; has {
					r.Out.Header[h] = v
				}
			}
			fl := flightOf(r.In.Context())
			if f := fl.fault; f != nil && places[f.Mode] == inTheAnswer {
				r.Out.Header.Set("Accept-Encoding", "identity") // to be able to change it
			}
		},
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{}).DialContext,
			DisableCompression: true, MaxIdleConnsPerHost: 1024, IdleConnTimeout: idleFor,
			ExpectContinueTimeout: time.Second, ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10,
		},
	}
}

// buffers are what bodies are copied through.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// start listens and serves.
func (p *point) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listen(); err != nil {
		return err
	}
	go func() { _ = p.http.Serve(acceptor{p}) }() // until stop
	return nil
}

// listen opens the listener; mu is held.
func (p *point) listen() error {
	if p.listener != nil {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", p.Listen)
	if err != nil {
		return fmt.Errorf("point %s: %w", p.Member, err)
	}
	p.listener = l
	go p.accept(l)
	return nil
}

// accept takes connections until the listener is closed.
func (p *point) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, or a client that is gone again
			p.trouble(err)
			select {
			case <-p.stopped:
				return
			case <-time.After(5 * time.Millisecond):
			}
			continue
		}
		if tcp, ok := c.(*net.TCPConn); ok {
			p.admit(newConn(tcp, p))
		}
	}
}

// admit hands a connection to the HTTP server, or to the fault that takes it.
func (p *point) admit(c *conn) {
	p.mu.Lock()
	p.open[c] = struct{}{}
	mode, gone := p.mode, p.gone
	p.mu.Unlock()
	switch mode {
	case "", DNS: // who knows the address already needs no name
		if p.tls == nil {
			p.hand(c)
		} else {
			p.hand(tls.Server(c, p.tls.config()))
		}
	case TLS:
		go p.mislead(c)
	case Refused: // it slipped in while the listener was closing
		c.reset()
	default:
		c.hit.Store(mode)
		go poison(c, mode, gone)
	}
}

// hand hands a connection to the HTTP server.
func (p *point) hand(c net.Conn) {
	select {
	case p.accepted <- c:
	case <-p.stopped:
		c.Close()
	}
}

func (p *point) forget(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// failing is the fault on connections that is in force.
func (p *point) failing() (mode Mode, how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.how
}

// turn puts a fault on connections into force, or another, or none ("").
func (p *point) turn(mode Mode, how string) error {
	p.mu.Lock()
	if p.mode == mode && p.how == how {
		defer p.mu.Unlock()
		if mode == Refused {
			return nil
		}
		return p.listen()
	}
	old, was := p.mode, p.gone
	p.mode, p.how, p.gone = mode, how, make(chan struct{})
	hit := make([]*conn, 0, len(p.open))
	for c := range p.open {
		hit = append(hit, c)
	}
	var err error
	switch {
	case mode == TLS:
		p.spoilt = p.tls.spoilt(how)
		err = p.listen()
	case mode == Refused && p.listener != nil:
		p.listener.Close()
		p.listener = nil
	case mode != Refused:
		err = p.listen()
	}
	p.mu.Unlock()
	close(was)
	// Whoever shook hands or looked the name up before is to do so again: idle
	// connections are closed, and others once their request is answered.
	p.http.SetKeepAlivesEnabled(mode != TLS && mode != DNS)
	for _, c := range hit {
		switch {
		case old == BlackHole && c.taken() == BlackHole: // nobody knows what was lost on it
			c.Close()
		case mode != "" && mode != TLS && mode != DNS:
			c.take(mode)
		}
	}
	return err
}

// trouble notes what went wrong with the member, for status.
func (p *point) trouble(err error) {
	s := time.Now().UTC().Format(time.RFC3339) + " " + err.Error()
	p.wrong.Store(&s)
}

// stop ends everything, after a moment for requests that are under way.
func (p *point) stop() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
	}
	p.mu.Unlock()
	close(p.stopped)
	ctx, cancel := context.WithTimeout(context.Background(), stopWithin)
	defer cancel()
	if p.http.Shutdown(ctx) != nil {
		p.http.Close()
	}
	p.mu.Lock()
	left := p.open
	p.open = map[*conn]struct{}{}
	p.mu.Unlock()
	for c := range left {
		c.Close()
	}
}

// stopWithin is how long requests that are under way may take when the process ends.
const stopWithin = 2 * time.Second

// acceptor is the point's listener as the HTTP server sees it: it outlives the real
// one, which a fault may close.
type acceptor struct{ p *point }

// Accept returns the next connection that no fault took.
func (a acceptor) Accept() (net.Conn, error) {
	select {
	case c := <-a.p.accepted:
		return c, nil
	case <-a.p.stopped:
		return nil, net.ErrClosed
	}
}

// Close does nothing: see point.stop.
func (a acceptor) Close() error { return nil }

// Addr is where the point listens, whether or not it does just now.
func (a acceptor) Addr() net.Addr { return address(a.p.Listen) }

type address string

// Network is always tcp.
func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }
