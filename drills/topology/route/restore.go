package route

import (
	"context"
	"fmt"
	"slices"
	"strconv"
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

// takenOut are the flags of a server's administrative state that stand for somebody
// who took it out (HAProxy management guide, 9.3, show servers state): forced or
// inherited maintenance or drain. Not among them is a name that does not resolve
// (0x20), which holds a server down like a health check.
const takenOut = 0x01 | 0x02 | 0x08 | 0x10

// open names the servers that nobody has taken out, in the order of the
// configuration: a health check may hold them down all the same.
func (h *haproxy) open(ctx context.Context) ([]string, error) {
	text, err := h.ask(ctx, "show servers state "+h.spec.Backend)
	if err != nil {
		return nil, err
	}
	_, table, _ := strings.Cut(text, "# ")
	var col []string
	var names []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if col == nil {
			col = fields
			continue
		}
		name, state := slices.Index(col, "srv_name"), slices.Index(col, "srv_admin_state")
		if name < 0 || state < 0 || len(fields) <= max(name, state) {
			continue // the empty line at the end
		}
		flags, err := strconv.Atoi(fields[state])
		if err != nil {
			return nil, fmt.Errorf("HAProxy at %s: show servers state: srv_admin_state of %s: %w", h.spec.Socket, fields[name], err)
		}
		if flags&takenOut == 0 {
			names = append(names, fields[name])
		}
	}
	if !slices.Contains(col, "srv_admin_state") {
		return nil, fmt.Errorf("HAProxy at %s: show servers state: no table: %.80q", h.spec.Socket, text)
	}
	return names, nil
}

// Open implements Restorer.
func (h *haproxy) Open(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.spec.Timeout.Std(), fmt.Errorf("no answer within %s", h.spec.Timeout))
	defer cancel()
	names, err := h.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask where route %s may lead: %w", h.name, err)
	}
	for i, name := range names {
		names[i] = h.member(name)
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
	now, err := h.open(ctx)
	if err != nil {
		return err
	}
	for _, name := range now {
		if slices.Contains(open, name) {
			continue
		}
		closed = append(closed, name)
		if err := h.command(ctx, "set server "+h.spec.Backend+"/"+name+" state maint"); err != nil {
			return err
		}
	}
	if err := h.drained(ctx, closed); err != nil {
		return err
	}
	return poll.Until(ctx, pollEvery, func(ctx context.Context) error {
		now, err := h.open(ctx)
		if err != nil {
			return err
		}
		for _, name := range open {
			if !slices.Contains(now, name) {
				return fmt.Errorf("server %s is closed, want it open", name)
			}
		}
		return nil
	})
}
