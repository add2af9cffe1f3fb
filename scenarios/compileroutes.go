package scenarios

import (
	"strings"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// subject finds what a probe looks at: an address of its own, a member, or the
// route that clients take.
func (c *compiler) subject(i int, p Probe, series *timeline.Series, step *drills.SeriesStep) bool {
	n := c.at("probes", i)
	if p.Target == nil && p.Route == "" {
		series.Address = p.Address
		return true
	}
	if p.Target == nil {
		return c.routeAlone(n, p, series, step)
	}
	sel := c.selector(*p.Target, n.at("target"))
	if sel == nil {
		return false
	}
	step.Component, series.Component = sel.Component, sel.Component.Name()
	if p.Target.Role != "" || p.Target.Site != "" || p.Target.Member != "" {
		step.Select, series.Via = sel, sel.String()
		sel.Count = 1 // a probe looks at one member
		if m, err := sel.Component.Member(sel.Member); err == nil {
			series.Address, series.Via = m.Address(), m.Name()
		}
		return true
	}
	route := c.route(n, sel.Component, p.Route)
	if route == nil {
		return c.oneMember(n, sel, series, step)
	}
	series.Address, series.Via = route.Spec.Address, route.Spec.Name
	return true
}

// oneMember looks at the only member of a component that no route leads to.
func (c *compiler) oneMember(n *node, sel *drills.Selector, series *timeline.Series, step *drills.SeriesStep) bool {
	of := sel.Component
	if len(of.Routes) > 0 {
		return false // route has said why none fits
	}
	if _, ok := step.Kind.(drills.Overview); ok {
		series.Via = of.Name()
		return true
	}
	if of.Found() {
		c.problem(n.at("target"), "no route leads to component %s: add one to the topology", of.Name())
		return false
	}
	if len(of.Members) > 1 {
		c.problem(n.at("target"), "no route leads to component %s: add one to the topology, or say which member to look at with role, site or member", of.Name())
		return false
	}
	m := of.Members[0]
	step.Select = &drills.Selector{Component: of, Member: m.Name()}
	series.Address, series.Via = m.Address(), m.Name()
	return true
}

// routeAlone finds a route that is named without a target, with its component.
func (c *compiler) routeAlone(n *node, p Probe, series *timeline.Series, step *drills.SeriesStep) bool {
	var names []string
	for _, of := range c.top.Components {
		for _, r := range of.Routes {
			if r.Spec.Name == p.Route {
				step.Component, series.Component = of, of.Name()
				series.Address, series.Via = r.Spec.Address, r.Spec.Name
				return true
			}
			names = append(names, r.Spec.Name)
		}
	}
	c.problem(n.at("route"), "topology %s has no route %q: %s", c.top.Name, p.Route, suggest(p.Route, names))
	return false
}

// route chooses the route to a component: the one that is named, else the one
// that serves the primary, else the only one. Nil without any.
func (c *compiler) route(n *node, of *topology.Component, name string) *topology.Route {
	var names []string
	var primary []*topology.Route
	for _, r := range of.Routes {
		if r.Spec.Name == name {
			return r
		}
		if r.Spec.Serves == "primary" {
			primary = append(primary, r)
		}
		names = append(names, r.Spec.Name)
	}
	switch {
	case name != "":
		c.problem(n.at("route"), "component %s has no route %q: %s", of.Name(), name, suggest(name, names))
		return nil
	case len(primary) == 1:
		return primary[0]
	case len(of.Routes) == 1:
		return of.Routes[0]
	case len(of.Routes) > 1:
		c.problem(n.at("target"), "several routes lead to component %s: name one with route: %s", of.Name(), strings.Join(names, ", "))
	}
	return nil
}
