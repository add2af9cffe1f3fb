package remedies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// RouteSwitchSpec are the parameters of route-switch.
type RouteSwitchSpec struct {
	// Route names the one route to switch; empty: all that serve the primary.
	Route string `json:"route,omitempty"`
}

type routeSwitch struct{ spec RouteSwitchSpec }

func newRouteSwitch(s RouteSwitchSpec) (drills.Remedy, error) { return routeSwitch{s}, nil }

// primaryRoutes are the routes of a component that lead to its primary.
func primaryRoutes(c *topology.Component) []*topology.Route {
	return slices.DeleteFunc(slices.Clone(c.Routes), func(r *topology.Route) bool {
		return r.Spec.Serves != "primary" && r.Spec.Serves != ""
	})
}

// Apply asks the servers who the primary is and leads the routes there. A route
// that leads there already is left alone. The component's Restore covers it.
func (r routeSwitch) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	routes := primaryRoutes(t.Component)
	if r.spec.Route != "" {
		routes = slices.DeleteFunc(slices.Clone(t.Component.Routes), func(rt *topology.Route) bool { return rt.Spec.Name != r.spec.Route })
	}
	if len(routes) == 0 {
		return fmt.Errorf("component %s has no route %q that serves its primary", t.Component.Name(), r.spec.Route)
	}
	st, err := t.Component.Adapter.Discover(ctx)
	if err != nil {
		return fmt.Errorf("find the primary of %s: %w", t.Component.Name(), err)
	}
	ps := st.With(topology.Primary)
	if len(ps) != 1 {
		return fmt.Errorf("component %s: %d members take writes, want one to lead routes to: %s", t.Component.Name(), len(ps), problems(st))
	}
	var errs []error
	for _, rt := range routes {
		errs = append(errs, lead(ctx, rt, ps[0], log))
	}
	return errors.Join(errs...)
}

// lead switches one route and proves it.
func lead(ctx context.Context, rt *topology.Route, member string, log drills.RemedyLog) error {
	name := "switch route " + rt.Spec.Name
	if err := log.Intend(name, nil); err != nil {
		return fmt.Errorf("journal step %s: %w", name, err)
	}
	detail, err := switched(ctx, rt, member)
	s := topology.Step{Name: name, Member: member, Detail: detail}
	if err != nil {
		err = fmt.Errorf("route %s: %w", rt.Spec.Name, err)
		s.Err = err.Error()
	}
	log.Step(s)
	return err
}

func switched(ctx context.Context, rt *topology.Route, member string) (string, error) {
	was, err := rt.Router.Current(ctx)
	if err == nil && slices.Equal(was, []string{member}) {
		return "leads there already", nil
	}
	if err := rt.Router.Switch(ctx, member); err != nil {
		return "", err
	}
	now, err := rt.Router.Current(ctx)
	if err != nil {
		return "", err
	}
	if !slices.Equal(now, []string{member}) {
		return "", fmt.Errorf("it leads to %q after it was switched to %s", now, member)
	}
	return "led to " + orNobody(was) + " before", nil
}

func orNobody(members []string) string {
	if len(members) == 0 {
		return "nobody"
	}
	return strings.Join(members, ", ")
}
