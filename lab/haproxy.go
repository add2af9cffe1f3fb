package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"firedrill/drills/topology"
	"firedrill/drills/topology/route"
)

// HAProxy is a proxy as a local process. In front of database servers it works on
// TCP, sends clients to the one server that is ready; the others are in
// maintenance. It checks no server's health: who is ready is for the runner to say,
// and a second opinion would take sessions away from a server that is merely slow.
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

	backend string
	serves  string // the route's role
	// text is the configuration after what all have in common.
	text func(ready string) string
}

// Backend is the name of the backend of a proxy in front of databases.
const Backend = "mysql"

// NewHAProxy describes a proxy in front of servers; Start starts it.
func NewHAProxy(dir, address string, servers ...*Server) *HAProxy {
	h := &HAProxy{Dir: dir, Address: address, UID: UserOf(0), Servers: servers, backend: Backend, serves: "primary"}
	h.text = h.databases
	return h
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

func (h *HAProxy) config(ready string) string {
	return fmt.Sprintf(`global
	maxconn 2000
	stats socket %s mode 600 level admin
	stats timeout 1h
`, h.Socket()) + h.text(ready)
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

// Spec describes the proxy as a route of a topology to a component.
func (h *HAProxy) Spec(name, component string) topology.RouteSpec {
	return topology.RouteSpec{
		Name: name, Component: component, Kind: "haproxy", Address: h.Address, Serves: h.serves,
		With: withoutEmpty(route.HAProxySpec{Socket: h.Socket(), Backend: h.backend}),
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
