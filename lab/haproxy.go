package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"firedrill/drills/topology"
	"firedrill/drills/topology/route"
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
	r, err := h.Router()
	if err != nil {
		return err
	}
	return p.start(ctx, func() error {
		_, err := r.Current(ctx)
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
// leaves. Sessions may idle for an hour, as those of connection pools do; but one
// that its client has left does not wait for a server that hangs: no command cuts
// it off (HAProxy 2.6), and until it is gone nobody can say that nobody is served.
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
	timeout server-fin 1s
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

// Spec describes the proxy as a route of a topology to the component's primary.
func (h *HAProxy) Spec(name, component string) topology.RouteSpec {
	return topology.RouteSpec{
		Name: name, Component: component, Kind: "haproxy", Address: h.Address, Serves: "primary",
		With: withoutEmpty(route.HAProxySpec{Socket: h.Socket(), Backend: Backend}),
	}
}

// Router switches the proxy the way drills do.
func (h *HAProxy) Router() (topology.Router, error) {
	r, err := topology.Kinds{Routes: route.All()}.OpenRoute(h.Spec("proxy", ""))
	if err != nil {
		return nil, err
	}
	return r.Router, nil
}
