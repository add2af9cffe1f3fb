package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// HAProxy is a TCP proxy in front of database servers as a local process. It
// sends clients to the one server that is ready; the others are in maintenance.
// It checks no server's health: who is ready is for the runner to say, and a
// second opinion would take sessions away from a server that is merely slow.
type HAProxy struct {
	// Dir is the proxy's directory, owned by its user.
	Dir string
	// Sockets is the directory of the stats socket; empty means Dir.
	Sockets string
	// Address is host:port that clients connect to.
	Address string
	// UID and Namespace are as in Server.
	UID       int
	Namespace string
	// Servers are what it leads to.
	Servers []*Server
}

// Backend is the name of the proxy's backend.
const Backend = "mysql"

// NewHAProxy describes a proxy in front of servers; Start starts it.
func NewHAProxy(dir, address string, servers ...*Server) *HAProxy {
	return &HAProxy{Dir: dir, Address: address, UID: UserOf(0), Servers: servers}
}

// Start starts the proxy with the named server ready, unless it runs already,
// and waits until it answers on its stats socket.
func (h *HAProxy) Start(ctx context.Context, ready string) error {
	p, err := h.process()
	if err != nil {
		return err
	}
	if p.pid(ctx) == 0 {
		if err := h.configure(ready); err != nil {
			return fmt.Errorf("configure proxy: %w", err)
		}
	}
	return p.start(ctx, func() error {
		_, err := h.Command(ctx, "show info")
		return err
	})
}

// configure writes the configuration file.
func (h *HAProxy) configure(ready string) error {
	if err := os.MkdirAll(h.Dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(h.configFile(), []byte(h.config(ready)), 0o600); err != nil {
		return err
	}
	return own(h.Dir, h.UID)
}

func (h *HAProxy) process() (process, error) {
	path, err := lookSbin("haproxy")
	if err != nil {
		return process{}, missing("haproxy")
	}
	return process{
		name: "proxy", address: h.Address, dir: h.Dir, uid: h.UID, namespace: h.Namespace,
		argv: []string{path, "-db", "-f", h.configFile()},
	}, nil
}

func (h *HAProxy) configFile() string { return filepath.Join(h.Dir, "haproxy.cfg") }

// config: a client of a dead server is refused at once (no retry, and connecting
// takes a second at most), and one that is served is cut off when its server
// leaves. Sessions may idle for an hour, as those of connection pools do.
func (h *HAProxy) config(ready string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
	maxconn 2000
	stats socket %s mode 600 level admin
	stats timeout 1h
defaults
	mode tcp
	retries 0
	timeout connect 1s
	timeout client 1h
	timeout server 1h
listen %s
	bind %s
	default-server on-marked-down shutdown-sessions
`, h.Socket(), Backend, h.Address)
	for _, s := range h.Servers {
		state := ""
		if s.Name != ready {
			state = " disabled"
		}
		fmt.Fprintf(&b, "\tserver %s %s%s\n", s.Name, s.Address, state)
	}
	return b.String()
}

// Socket is the path of the stats socket, which takes the commands of HAProxy's
// Runtime API (HAProxy management guide, 9.3).
func (h *HAProxy) Socket() string {
	if h.Sockets != "" {
		return filepath.Join(h.Sockets, "proxy.sock")
	}
	return filepath.Join(h.Dir, "proxy.sock")
}

// PID is the proxy's process, or 0 if it does not run.
func (h *HAProxy) PID(ctx context.Context) int {
	p, err := h.process()
	if err != nil {
		return 0
	}
	return p.pid(ctx)
}

// Kill ends the proxy at once.
func (h *HAProxy) Kill(ctx context.Context) error {
	p, err := h.process()
	if err != nil {
		return err
	}
	return p.kill(ctx, syscall.SIGKILL)
}

// Command runs one command of the Runtime API and returns the answer.
func (h *HAProxy) Command(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", h.Socket())
	if err != nil {
		return "", fmt.Errorf("proxy: %w", err)
	}
	defer conn.Close()
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d)
	}
	if _, err := fmt.Fprintln(conn, line); err != nil {
		return "", fmt.Errorf("proxy: %s: %w", line, err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("proxy: %s: %w", line, err)
	}
	return strings.TrimSpace(string(answer)), nil
}

// Ready names the servers that clients are sent to.
func (h *HAProxy) Ready(ctx context.Context) ([]string, error) {
	answer, err := h.Command(ctx, "show servers state "+Backend)
	if err != nil {
		return nil, err
	}
	// A version line, a header, then be_id be_name srv_id srv_name srv_addr
	// srv_op_state srv_admin_state …; 2 is running, 0 is no maintenance.
	var ready []string
	for line := range strings.Lines(answer) {
		f := strings.Fields(line)
		if len(f) > 6 && f[1] == Backend && f[5] == "2" && f[6] == "0" {
			ready = append(ready, f[3])
		}
	}
	return ready, nil
}

// Lead sends clients to one server and puts the others in maintenance.
func (h *HAProxy) Lead(ctx context.Context, to string) error {
	for _, s := range h.Servers {
		state := "maint"
		if s.Name == to {
			state = "ready"
		}
		answer, err := h.Command(ctx, fmt.Sprintf("set server %s/%s state %s", Backend, s.Name, state))
		if err != nil {
			return err
		}
		if answer != "" {
			return fmt.Errorf("proxy: set %s to %s: %s", s.Name, state, answer)
		}
	}
	return nil
}
