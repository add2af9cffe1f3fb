package drills

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/topology"
)

// whole refuses a component that is not whole to begin with: what is broken
// before the drill would be charged to it. It names everything at once.
func (d *Drill) whole(ctx context.Context, c *topology.Component, s topology.State) error {
	if what := problems(c, s); what != "" {
		return fmt.Errorf("component %s is not healthy: %s", c.Name(), what)
	}
	if s.Problem != "" {
		return fmt.Errorf("component %s is not healthy: %s", c.Name(), s.Problem)
	}
	roles := len(s.With(topology.Instance)) == 0
	primaries := s.With(topology.Primary)
	if roles && len(primaries) != 1 {
		return fmt.Errorf("component %s has %d primaries, want exactly 1: %s", c.Name(), len(primaries), Describe(s))
	}
	// One that was kept out for its own transactions would take part in the choice
	// of a new primary, and could win it.
	if out := s.With(topology.Detached); roles && len(out) > 0 {
		return fmt.Errorf("component %s: member %s neither takes writes nor follows the primary: rebuild it, or take it out of the topology file",
			c.Name(), strings.Join(out, ", "))
	}
	if !roles || !d.hits(c) {
		return nil
	}
	for _, rt := range c.Routes {
		if err := leads(ctx, rt, primaries[0]); err != nil {
			return fmt.Errorf("component %s: %w", c.Name(), err)
		}
	}
	return nil
}

// problems lists what is wrong with the members; those that have the same problem
// are named together.
func problems(c *topology.Component, s topology.State) string {
	var order []string
	who := map[string][]string{}
	for _, ms := range s.Members {
		if ms.Problem == "" {
			continue
		}
		at := "?"
		if m, err := c.Member(ms.Member); err == nil {
			at = m.Address()
		}
		what := strings.ReplaceAll(ms.Problem, at+": ", "")
		if who[what] == nil {
			order = append(order, what)
		}
		who[what] = append(who[what], fmt.Sprintf("%s (%s)", ms.Member, at))
	}
	for i, what := range order {
		order[i] = strings.Join(who[what], ", ") + ": " + what
	}
	return strings.Join(order, "; ")
}

// hits tells whether a fault names the component: then its routes may have to be
// switched, by a remedy and in any case when it is made whole again.
func (d *Drill) hits(c *topology.Component) bool {
	return slices.ContainsFunc(d.Faults, func(f FaultStep) bool { return f.Target.Component == c })
}

// routeWithin bounds the question to one route.
const routeWithin = 5 * time.Second

// leads refuses a route that cannot be asked where it leads, or that leads
// clients past the primary. A fixed route that does not say where it leads is left
// to the baseline.
func leads(ctx context.Context, rt *topology.Route, primary string) error {
	if rt.Router == nil || rt.Spec.Serves != "primary" && rt.Spec.Serves != "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, routeWithin, fmt.Errorf("no answer within %s", routeWithin))
	defer cancel()
	now, err := rt.Router.Current(ctx)
	if err != nil {
		return err
	}
	if slices.Equal(now, []string{primary}) || len(now) == 0 && rt.Spec.Kind == "fixed" {
		return nil
	}
	to := strings.Join(now, ", ")
	if to == "" {
		to = "nobody"
	}
	return fmt.Errorf("route %s (%s) leads to %s, but the primary is %s: switch it there first", rt.Spec.Name, rt.Spec.Address, to, primary)
}

// survivable refuses faults on a primary that would leave nobody to take over.
func (d *Drill) survivable(states map[string]topology.State) error {
	for _, f := range d.Faults {
		s := states[f.Target.Component.Name()]
		if f.Target.Role == topology.Primary && len(s.With(topology.Replica)) == 0 {
			return fmt.Errorf("component %s has no replica that could take over: %s", f.Target.Component.Name(), Describe(s))
		}
	}
	return nil
}
