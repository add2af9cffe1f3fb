package truthtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// The ways in which a server is down.
const (
	refuse  = "refuse" // no listener
	reset   = "reset"  // accepts, then cuts the connection
	failing = "5xx"    // answers with an error
	drop    = "drop"   // accepts and hangs; cuts the connection when it is back
	keep    = "keep"   // accepts and hangs; never answers
	thaw    = "thaw"   // accepts and hangs; answers when it is back
)

// lagged is no outage but a fact of its own: a request that reached the server
// late, on the way from what the client wrote down to when the server judged it.
const lagged = "lagged"

// lag is how late a request is told of: less than any series lets pass for a
// quarter of its rhythm.
const lag = 4 * time.Millisecond

// site is one server and its plan.
type site struct {
	Addr  string
	Steps []step
}

// step is one outage: so long after the one before (or the begin), for so long.
type step struct {
	Mode       string
	After, For time.Duration
}

// instant is a moment on CLOCK_MONOTONIC in nanoseconds, which all processes of a
// machine share: between what was read before and after the deed.
type instant struct{ Lo, Hi int64 }

// fact is one outage as the server made it.
type fact struct {
	Site     int
	Mode     string
	Down, Up instant
}

// serveAll is the process of the servers: it reads the sites from in, writes a
// line when all of them listen, and one for every fact; it ends when in does.
func serveAll(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sites []site
	commands := json.NewDecoder(in)
	if err := commands.Decode(&sites); err != nil {
		return fmt.Errorf("read sites: %w", err)
	}
	facts := make(chan any, 10_000)
	servers := make([]*server, len(sites))
	for i, s := range sites {
		servers[i] = &server{addr: s.Addr, index: i, facts: facts}
		if err := servers[i].listen(); err != nil {
			return err
		}
	}
	failed := make(chan error, len(sites))
	go func() {
		defer cancel()
		_ = commands.Decode(new(any)) // ends with in
	}()
	for i, s := range sites {
		go func() { failed <- servers[i].follow(ctx, s.Steps) }()
	}
	lines := json.NewEncoder(out)
	if err := lines.Encode("ready"); err != nil {
		return err
	}
	for {
		select {
		case f := <-facts:
			if err := lines.Encode(f); err != nil {
				return err
			}
		case err := <-failed:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// server is one HTTP server that can be down.
type server struct {
	addr  string
	index int
	facts chan<- any

	mu   sync.Mutex
	mode string // "" while it is up
	held []net.Conn
	ln   net.Listener
}

// follow makes the outages of a plan.
func (s *server) follow(ctx context.Context, steps []step) error {
	for _, st := range steps {
		if !wait(ctx, st.After) {
			return nil
		}
		f := fact{Site: s.index, Mode: st.Mode, Down: s.down(st.Mode)}
		wait(ctx, st.For)
		up, err := s.up(st.Mode)
		if err != nil {
			return err
		}
		f.Up = up
		s.facts <- f
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *server) down(mode string) (at instant) {
	if mode == refuse {
		at.Lo = monotonic()
		_ = s.ln.Close()
		at.Hi = monotonic()
		return at
	}
	at.Lo = monotonic()
	s.mu.Lock()
	s.mode = mode
	at.Hi = monotonic()
	s.mu.Unlock()
	return at
}

func (s *server) up(mode string) (at instant, err error) {
	if mode == refuse {
		at.Lo = monotonic()
		err = s.listen()
		at.Hi = monotonic()
		return at, err
	}
	at.Lo = monotonic()
	s.mu.Lock()
	s.mode = ""
	at.Hi = monotonic()
	held := s.held
	s.held = nil
	s.mu.Unlock()
	for _, c := range held {
		if mode == thaw {
			answer(c, "200 OK")
		}
		if mode != keep {
			_ = c.Close()
		}
	}
	return at, nil
}

func (s *server) listen() error {
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return err
	}
	s.ln = ln
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return nil
}

// sentHeader is when the client began with the request, on CLOCK_MONOTONIC.
const sentHeader = "X-Sent"

// serve reads a request and answers it by the state that the server is in then.
func (s *server) serve(c net.Conn) {
	var sent int64
	for in := bufio.NewReader(c); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			_ = c.Close()
			return
		}
		if line == "\r\n" {
			break
		}
		_, _ = fmt.Sscanf(line, sentHeader+": %d", &sent)
	}
	s.mu.Lock()
	judged := monotonic()
	mode := s.mode
	if mode == drop || mode == keep || mode == thaw {
		s.held = append(s.held, c)
	}
	s.mu.Unlock()
	if judged-sent > int64(lag) {
		s.facts <- fact{Site: s.index, Mode: lagged, Down: instant{sent, sent}, Up: instant{judged, judged}}
	}
	switch mode {
	case "":
		answer(c, "200 OK")
	case failing:
		answer(c, "503 Service Unavailable")
	case reset:
		_ = c.(*net.TCPConn).SetLinger(0)
	default:
		return // held
	}
	_ = c.Close()
}

func answer(c net.Conn, status string) {
	_, _ = fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status)
}
