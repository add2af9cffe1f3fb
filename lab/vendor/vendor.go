// Package vendor is a simulated vendor of models: an HTTP server that speaks the
// OpenAI-compatible API as vendors do, fails in the ways vendors fail when it is
// told to, and keeps a log of what it really did, for tests and labs to compare
// measurements with. It listens on loopback addresses only.
package vendor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a vendor is.
type Config struct {
	// Name is in every answer: the fingerprint fp_NAME and the header x-vendor.
	Name string
	// Listen is the loopback address host:port; port 0 takes a free one.
	Listen string
	// Admin is the path of the Unix socket that modes are set through; "": none.
	Admin string
	// Key is what clients must send; "" accepts all.
	Key string
	// Models are the models there are; each of them does everything.
	Models []string
	// Dimension is the length of embeddings; 0 means 256.
	Dimension int
	// Seed makes the vector space of embeddings: another seed is another model.
	Seed uint64
	// TokenDelay is the time from one token to the next, the first one included.
	TokenDelay time.Duration
	// Log is the path of a file that each request is appended to as a line of JSON
	// when it has ended; "": none.
	Log string
}

// defaultDimension is the length of embeddings unless the configuration says.
const defaultDimension = 256

func (c *Config) check() error {
	at, err := netip.ParseAddrPort(c.Listen)
	switch {
	case c.Name == "":
		return errors.New("name: give the vendor one")
	case err != nil:
		return fmt.Errorf("listen %q: want an IP address and a port such as 127.0.0.1:0", c.Listen)
	case !at.Addr().IsLoopback():
		return fmt.Errorf("listen %s: a simulated vendor listens on loopback addresses only", c.Listen)
	case len(c.Models) == 0:
		return errors.New("models: name at least one")
	case c.Dimension < 0, c.TokenDelay < 0:
		return errors.New("dimension and token delay must not be negative")
	}
	if c.Dimension == 0 {
		c.Dimension = defaultDimension
	}
	return nil
}

// Vendor is a vendor that was started. Its methods may be called concurrently.
type Vendor struct {
	cfg     Config
	address string
	log     *logbook
	server  *http.Server
	admin   *adminServer // nil: none
	stop    context.CancelFunc
	work    sync.WaitGroup // handlers and accept loops
	serial  atomic.Uint64  // of answers

	mu       sync.Mutex
	listener net.Listener // nil: refused
	conns    map[net.Conn]*link
	accepted int
	mode     *active
	closed   bool
}

// Start starts a vendor that is healthy. It returns once the vendor listens; an
// address that is taken is an error.
func Start(cfg Config) (*Vendor, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("start vendor %q: %w", cfg.Name, err)
	}
	book, err := openLog(cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("start vendor %q: %w", cfg.Name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	v := &Vendor{cfg: cfg, address: cfg.Listen, log: book, stop: stop, conns: map[net.Conn]*link{}, mode: &active{}}
	v.server = &http.Server{
		Handler: http.HandlerFunc(v.serve), ConnState: v.connState, ConnContext: v.connContext,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute,
	}
	if err := v.listen(); err != nil {
		stop()
		return nil, errors.Join(fmt.Errorf("start vendor %q: %w", cfg.Name, err), book.close())
	}
	v.address = v.listener.Addr().String() // with the port that was free
	if cfg.Admin != "" {
		if v.admin, err = v.serveAdmin(cfg.Admin); err != nil {
			return nil, errors.Join(fmt.Errorf("start vendor %q: %w", cfg.Name, err), v.Close())
		}
	}
	return v, nil
}

// Serve runs a vendor until ctx ends. ready is called with its URL once it listens.
func Serve(ctx context.Context, cfg Config, ready func(url string)) error {
	v, err := Start(cfg)
	if err != nil {
		return err
	}
	ready(v.URL())
	<-ctx.Done()
	return v.Close()
}

// URL is where the vendor is, without a base path: http://HOST:PORT. The API is
// below /v1.
func (v *Vendor) URL() string { return "http://" + v.address }

// Close cuts every connection and returns when all requests have ended. A second
// call does nothing.
func (v *Vendor) Close() error {
	v.mu.Lock()
	closed := v.closed
	v.closed = true
	v.mu.Unlock()
	if closed {
		return nil
	}
	v.stop()
	_ = v.server.Close() // what cannot be closed is closed already
	var err error
	if v.admin != nil {
		err = v.admin.close()
	}
	v.work.Wait()
	return errors.Join(err, v.log.close())
}

// Log returns every request that came, in order of arrival; see Entry for those
// that still run.
func (v *Vendor) Log() []Entry { return v.log.all("") }

// ByID returns the requests with an id, in order of arrival: there are several when
// a gateway tried again.
func (v *Vendor) ByID(id string) []Entry { return v.log.all(id) }

// Health says how the vendor is.
func (v *Vendor) Health() Health {
	v.mu.Lock()
	defer v.mu.Unlock()
	return Health{
		Name: v.cfg.Name, URL: v.URL(), Mode: v.mode.Mode, Accepted: v.accepted, Open: len(v.conns),
		Running: v.log.running(), Forgotten: v.log.forgotten(),
	}
}

// Health is how a vendor is.
type Health struct {
	Name string `json:"name"`
	URL  string `json:"url"`
	// Mode is the mode it is in.
	Mode Mode `json:"mode"`
	// Accepted counts the connections since it was started, Open those there are.
	Accepted int `json:"accepted"`
	Open     int `json:"open"`
	// Running are the requests that have not ended.
	Running int `json:"running"`
	// Forgotten are the oldest requests, that the log had no room for any more.
	Forgotten int `json:"forgotten,omitempty"`
}
