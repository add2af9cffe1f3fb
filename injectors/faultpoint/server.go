// Package faultpoint is a reverse proxy that stands on the wire between those who
// ask and the members of a component. It passes everything on unharmed until it is
// told, through a Unix socket, to make a fault; that ends when it is cleared, or by
// itself when its time is over.
package faultpoint

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology"
)

// server is a fault point at work.
type server struct {
	instance string
	since    time.Time
	points   []*point
	names    *nameServer // nil: names resolve elsewhere
	log      *ring

	mu     sync.Mutex
	faults []*active
	// cleared tells when each fault was cleared last: what was sent before that and
	// arrives after it comes too late.
	cleared map[string]int64
}

// Config says where a fault point stands.
type Config struct {
	// Socket is the path of the Unix socket that it is controlled through.
	Socket string
	Points []Point
	// TLS is what it shows to those who connect; nil: it listens without TLS.
	TLS *topology.FaultPointTLS
	// DNS is the name server that it is; nil: it is none.
	DNS *topology.FaultPointDNS
}

// Args are those of firedrill faultpoint serve.
func (c Config) Args() []string {
	args := []string{"--socket", c.Socket}
	for _, p := range c.Points {
		args = append(args, "--point", p.String())
	}
	if c.TLS != nil {
		args = append(args, "--tls-cert", c.TLS.Cert, "--tls-key", c.TLS.Key)
	}
	if c.DNS == nil {
		return args
	}
	args = append(args, "--dns-listen", c.DNS.Listen)
	for _, m := range slices.Sorted(maps.Keys(c.DNS.Names)) {
		args = append(args, "--dns-name", m+"="+c.DNS.Names[m])
	}
	if c.DNS.Forward != "" {
		args = append(args, "--dns-forward", c.DNS.Forward)
	}
	return args
}

// Serve runs a fault point until ctx ends. ready is called once it listens
// everywhere; nobody gets an answer from the socket before that. The socket is for
// the user only that the process runs as, and for root.
func Serve(ctx context.Context, c Config, ready func()) error {
	s, err := newServer(c)
	if err != nil {
		return err
	}
	l, err := listenUnix(ctx, c.Socket)
	if err != nil {
		return err
	}
	defer l.Close() // which removes the socket
	var started []*point
	defer func() { stopAll(started) }()
	for _, p := range s.points {
		if err := p.start(); err != nil {
			return err
		}
		started = append(started, p)
	}
	if s.names != nil {
		if err := s.names.start(ctx); err != nil {
			return err
		}
		defer s.names.stop()
	}
	api := &http.Server{Handler: s.api(), ErrorLog: silentLog()}
	defer api.Close()
	go func() { _ = api.Serve(l) }() // until Close
	ready()
	s.keepOpen(ctx)
	s.clearAll()
	return nil
}

func newServer(c Config) (*server, error) {
	id := make([]byte, 8)
	rand.Read(id) // never fails
	s := &server{
		instance: hex.EncodeToString(id), since: time.Now(), log: &ring{size: logSize}, cleared: map[string]int64{},
	}
	if len(c.Points) == 0 {
		return nil, errors.New("no point given: want at least one MEMBER=HOST:PORT=URL")
	}
	cert, err := newCertificate(c.TLS)
	if err != nil {
		return nil, err
	}
	for _, p := range c.Points {
		if s.point(p.Member) != nil {
			return nil, fmt.Errorf("point %s is given twice", p.Member)
		}
		pt, err := newPoint(p, cert, s.log)
		if err != nil {
			return nil, err
		}
		s.points = append(s.points, pt)
	}
	s.names, err = newNameServer(c.DNS, s.points)
	return s, err
}

// listenUnix listens on a socket that no other fault point listens on. One that a
// process left that was killed is removed.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if c, err := (&net.Dialer{}).DialContext(ctx, "unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("socket %s: another fault point listens there", path)
	} else if errors.Is(err, unix.ECONNREFUSED) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("socket %s: remove what an earlier process left: %w", path, err)
		}
	}
	old := unix.Umask(0o177) // the socket is there with its mode, or not at all
	defer unix.Umask(old)
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	return l, nil
}

func stopAll(points []*point) {
	var wg sync.WaitGroup
	for _, p := range points {
		wg.Go(p.stop)
	}
	wg.Wait()
}

// keepOpen sees to it, until ctx ends, that every point listens that is to: a port
// that was taken while connections to it were refused is taken back once it is free.
func (s *server) keepOpen(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range s.points {
			p.mu.Lock()
			if p.mode != Refused && p.listener == nil {
				if err := p.listen(); err != nil {
					p.trouble(err)
				}
			}
			p.mu.Unlock()
		}
	}
}

func (s *server) point(member string) *point {
	for _, p := range s.points {
		if p.Member == member {
			return p
		}
	}
	return nil
}

// set puts a fault into force; issued is when that was asked for (see clear).
func (s *server) set(f Fault, issued int64) error {
	if err := f.Check(); err != nil {
		return err
	}
	if f.ID == "" || len(f.Members) == 0 {
		return errors.New("a fault needs an id and members")
	}
	for _, m := range f.Members {
		switch p := s.point(m); {
		case p == nil:
			return fmt.Errorf("no point for member %q", m)
		case f.Mode == TLS && p.tls == nil:
			return fmt.Errorf("mode: tls: the point for member %s listens without TLS", m)
		case f.Mode == DNS && s.names.of(p) == "":
			return fmt.Errorf("mode: dns: no name resolves to the point for member %s", m)
		}
	}
	left := time.Until(f.Expires)
	if left <= 0 {
		return fmt.Errorf("expires: %s is over", f.Expires)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if issued <= s.cleared[f.ID] {
		return errors.New("the fault was cleared after this was sent")
	}
	i := slices.IndexFunc(s.faults, func(a *active) bool { return a.ID == f.ID })
	if i >= 0 && s.faults[i].equal(f) {
		return nil
	}
	if i >= 0 {
		s.drop(i)
	}
	a := newActive(f)
	a.end = time.AfterFunc(left, func() { s.expire(a) })
	s.faults = append(s.faults, a)
	return s.enforce()
}

// clear ends a fault, whether or not it is there. issued is a reading of the host's
// clock since its start (CLOCK_BOOTTIME) from before it was asked for.
func (s *server) clear(id string, issued int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cleared[id] = max(issued, s.cleared[id])
	if i := slices.IndexFunc(s.faults, func(a *active) bool { return a.ID == id }); i >= 0 {
		s.drop(i)
	}
	return s.enforce()
}

func (s *server) expire(a *active) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.faults, a); i >= 0 {
		s.drop(i)
		_ = s.enforce() // what does not listen again at once is tried again: see keepOpen
	}
}

func (s *server) clearAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.faults) > 0 {
		s.drop(0)
	}
	_ = s.enforce() // everything ends
}

// drop takes a fault off the list; mu is held.
func (s *server) drop(i int) {
	a := s.faults[i]
	a.end.Stop()
	close(a.gone)
	s.faults = slices.Delete(s.faults, i, i+1)
}

// enforce makes every point do what the list says; mu is held. Of several faults on
// a member's connections the newest counts.
func (s *server) enforce() error {
	var errs []error
	for _, p := range s.points {
		var mode Mode
		var how string
		var requests []*active
		for _, a := range s.faults {
			switch {
			case !slices.Contains(a.Members, p.Member):
			case a.onConnections():
				mode, how = a.Mode, a.how()
			default:
				requests = append(requests, a)
			}
		}
		if len(requests) > 0 {
			p.faults.Store(&requests)
		} else {
			p.faults.Store(nil)
		}
		errs = append(errs, p.turn(mode, how))
	}
	return errors.Join(errs...)
}
