package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

// HAProxySpec switches a backend of HAProxy through its runtime API (HAProxy
// Management Guide, section 9.3). What it does lasts until HAProxy is reloaded. Set
// "timeout server-fin" in HAProxy (1s, say): no command cuts a session that its
// client has left while the server hangs, and a switch waits until all are gone.
type HAProxySpec struct {
	// Socket is the path of the stats socket; it needs "level admin".
	Socket string `json:"socket"`
	// Backend is the backend whose servers are the members.
	Backend string `json:"backend"`
	// Servers gives the server's name of each member that has another one than its
	// own. Servers of the backend that are no members count among "all others".
	Servers map[string]string `json:"servers,omitempty"`
	// Timeout is how long HAProxy may take to do what it was told.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

var haproxyDefaults = HAProxySpec{Timeout: spec.Duration(5 * time.Second)}

// pollEvery is how often a route is asked while waiting for it.
const pollEvery = 10 * time.Millisecond

type haproxy struct {
	spec HAProxySpec
	name string
	// members is the reverse of spec.Servers.
	members map[string]string
}

func newHAProxy(s HAProxySpec) (topology.NewRouter, error) {
	members := map[string]string{}
	for member, server := range s.Servers {
		if other, dup := members[server]; dup {
			return nil, fmt.Errorf("servers: members %s and %s both have server %s", member, other, server)
		}
		members[server] = member
	}
	switch {
	case s.Socket == "" || s.Backend == "":
		return nil, errors.New("socket and backend are both needed")
	case strings.ContainsAny(s.Backend, " ;/\n"):
		return nil, fmt.Errorf("backend: %q cannot be the name of a backend", s.Backend)
	}
	for member, server := range s.Servers {
		if server == "" || strings.ContainsAny(server, " ;/\n") {
			return nil, fmt.Errorf("servers: %q of member %s cannot be the name of a server", server, member)
		}
	}
	return func(r topology.RouteSpec) (topology.Router, error) {
		return &haproxy{spec: s, name: r.Name, members: members}, nil
	}, nil
}

func (h *haproxy) server(member string) string {
	if s, ok := h.spec.Servers[member]; ok {
		return s
	}
	return member
}

func (h *haproxy) member(server string) string {
	if m, ok := h.members[server]; ok {
		return m
	}
	return server
}

// Current names the members whose servers are ready and not held down by a health
// check.
func (h *haproxy) Current(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.spec.Timeout.Std(), fmt.Errorf("no answer within %s", h.spec.Timeout))
	defer cancel()
	servers, err := h.stat(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask where route %s leads: %w", h.name, err)
	}
	var names []string
	for _, s := range servers {
		if s.takesClients() {
			names = append(names, h.member(s.name))
		}
	}
	return names, nil
}

// Switch first closes every other server and cuts its sessions, waits until
// HAProxy has none left, and only then opens the member's: at no time do two take
// clients. A member that a health check holds down is an error that says why.
func (h *haproxy) Switch(ctx context.Context, member string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.spec.Timeout.Std(), fmt.Errorf("not done after %s", h.spec.Timeout))
	defer cancel()
	if err := h.turn(ctx, member); err != nil {
		if member == "" {
			return fmt.Errorf("close route %s: %w", h.name, err)
		}
		return fmt.Errorf("switch route %s to member %s: %w", h.name, member, err)
	}
	return nil
}

func (h *haproxy) turn(ctx context.Context, member string) error {
	servers, err := h.stat(ctx)
	if err != nil {
		return err
	}
	to, found := h.server(member), member == ""
	var others []string
	for _, s := range servers {
		if s.name == to && member != "" {
			found = true
		} else {
			others = append(others, s.name)
		}
	}
	if !found {
		return fmt.Errorf("backend %s has no server %s: it has %v", h.spec.Backend, to, others)
	}
	for _, name := range others {
		if err := h.command(ctx, "set server "+h.spec.Backend+"/"+name+" state maint"); err != nil {
			return err
		}
	}
	if err := h.drained(ctx, others); err != nil || member == "" {
		return err
	}
	if err := h.command(ctx, "set server "+h.spec.Backend+"/"+to+" state ready"); err != nil {
		return err
	}
	return poll.Until(ctx, pollEvery, func(ctx context.Context) error { return h.takes(ctx, to) })
}

// drained cuts the sessions to closed servers until HAProxy counts none.
func (h *haproxy) drained(ctx context.Context, closed []string) error {
	return poll.Until(ctx, pollEvery, func(ctx context.Context) error {
		servers, err := h.stat(ctx)
		if err != nil {
			return err
		}
		for _, name := range closed {
			s := servers.find(name)
			if !s.inMaintenance() {
				return fmt.Errorf("server %s is %s, want MAINT", name, s.status)
			}
			if s.sessions == 0 {
				continue
			}
			if err := h.command(ctx, "shutdown sessions server "+h.spec.Backend+"/"+name); err != nil {
				return err
			}
			return fmt.Errorf("server %s still has %d sessions (those that clients have left end by HAProxy's timeout server-fin)", name, s.sessions)
		}
		return nil
	})
}

// takes returns nil once the server takes clients.
func (h *haproxy) takes(ctx context.Context, name string) error {
	servers, err := h.stat(ctx)
	if err != nil {
		return err
	}
	s := servers.find(name)
	switch {
	case s.takesClients():
		return nil
	case strings.HasPrefix(s.status, "DOWN"):
		return fmt.Errorf("HAProxy's health check holds server %s DOWN (%s)", name, s.why)
	}
	return fmt.Errorf("server %s is %s, want UP", name, s.status)
}
