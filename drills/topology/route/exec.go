package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/host"
)

// ExecSpec switches a route by commands. Arguments end up in records: not for
// secrets.
type ExecSpec struct {
	// Switch leads the route to the member whose name stands for "{member}" in the
	// arguments, and cuts the sessions to all others; the empty name refuses all
	// clients.
	Switch []string `json:"switch" jsonschema:"minItems=1"`
	// Current prints the names of the members that the route leads to, separated by
	// white space.
	Current []string `json:"current" jsonschema:"minItems=1"`
	// Host is where the commands run.
	Host host.Spec `json:"host,omitzero"`
	// Timeout is how long Current may take to agree after Switch.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

var execDefaults = ExecSpec{Timeout: spec.Duration(10 * time.Second)}

type command struct {
	spec ExecSpec
	name string
	host host.Host
}

func newExec(s ExecSpec) (topology.NewRouter, error) {
	if len(s.Switch) == 0 || len(s.Current) == 0 {
		return nil, errors.New("switch and current are both needed")
	}
	return func(r topology.RouteSpec) (topology.Router, error) {
		h, err := s.Host.For("", r.Address).Open()
		if err != nil {
			return nil, err
		}
		return &command{spec: s, name: r.Name, host: h}, nil
	}, nil
}

// Current runs the current command.
func (c *command) Current(ctx context.Context) ([]string, error) {
	out, err := c.host.Run(ctx, c.spec.Current, "")
	if err != nil {
		return nil, fmt.Errorf("ask where route %s leads: %w", c.name, err)
	}
	return strings.Fields(out.Stdout), nil
}

// Switch runs the switch command and waits until Current agrees.
func (c *command) Switch(ctx context.Context, member string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.spec.Timeout.Std(), fmt.Errorf("not done after %s", c.spec.Timeout))
	defer cancel()
	if _, err := c.host.Run(ctx, host.Expand(c.spec.Switch, member, ""), ""); err != nil {
		return fmt.Errorf("switch route %s to %q: %w", c.name, member, err)
	}
	var want []string
	if member != "" {
		want = []string{member}
	}
	return poll.Until(ctx, pollEvery, func(ctx context.Context) error {
		got, err := c.Current(ctx)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("switch route %s to %q: it leads to %q", c.name, member, got)
		}
		return err
	})
}
