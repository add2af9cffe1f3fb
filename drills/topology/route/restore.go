package route

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"firedrill/drills/topology/control/poll"
)

// Restorer is implemented by routers that can lead to several members at once.
type Restorer interface {
	// Open names the members that the route may send clients to, whatever it thinks
	// of their health at the moment.
	Open(ctx context.Context) ([]string, error)
	// Restore opens the route to exactly these members; it returns when the route
	// says so itself. Whether they are healthy is not waited for. Idempotent.
	Restore(ctx context.Context, members []string) error
}

// isOpen tells whether nobody has taken the server out: a health check may hold it
// down all the same.
func (s server) isOpen() bool {
	return s.status != "gone" && !s.inMaintenance() && !strings.HasPrefix(s.status, "DRAIN")
}

// Open implements Restorer.
func (h *haproxy) Open(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.spec.Timeout.Std(), fmt.Errorf("no answer within %s", h.spec.Timeout))
	defer cancel()
	servers, err := h.stat(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask where route %s may lead: %w", h.name, err)
	}
	var names []string
	for _, s := range servers {
		if s.isOpen() {
			names = append(names, h.member(s.name))
		}
	}
	return names, nil
}

// Restore implements Restorer. It opens servers before it closes any, so that
// clients find one all the time; sessions to those that are closed are cut.
func (h *haproxy) Restore(ctx context.Context, members []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, h.spec.Timeout.Std(), fmt.Errorf("not done after %s", h.spec.Timeout))
	defer cancel()
	if err := h.reopen(ctx, members); err != nil {
		return fmt.Errorf("lead route %s back to %q: %w", h.name, members, err)
	}
	return nil
}

func (h *haproxy) reopen(ctx context.Context, members []string) error {
	servers, err := h.stat(ctx)
	if err != nil {
		return err
	}
	var open, closed []string
	for _, m := range members {
		name := h.server(m)
		if servers.find(name).status == "gone" {
			return fmt.Errorf("backend %s has no server %s", h.spec.Backend, name)
		}
		open = append(open, name)
	}
	for _, name := range open {
		if err := h.command(ctx, "set server "+h.spec.Backend+"/"+name+" state ready"); err != nil {
			return err
		}
	}
	for _, s := range servers {
		if slices.Contains(open, s.name) || !s.isOpen() {
			continue
		}
		closed = append(closed, s.name)
		if err := h.command(ctx, "set server "+h.spec.Backend+"/"+s.name+" state maint"); err != nil {
			return err
		}
	}
	if err := h.drained(ctx, closed); err != nil {
		return err
	}
	return poll.Until(ctx, pollEvery, func(ctx context.Context) error {
		servers, err := h.stat(ctx)
		if err != nil {
			return err
		}
		for _, name := range open {
			if s := servers.find(name); !s.isOpen() {
				return fmt.Errorf("server %s is %s, want it open", name, s.status)
			}
		}
		return nil
	})
}
