package scenarios

import (
	"fmt"

	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// component resolves a component's name or kind; n is where the file says it.
func (c *compiler) component(name string, n *node) *topology.Component {
	found, err := c.top.Component(name)
	if err != nil {
		c.problem(n, "%v", err)
		return nil
	}
	return found
}

// selector turns a target into a choice among a component's members; n is the
// target's place. Without such a component, member or site it is nil.
func (c *compiler) selector(t Target, n *node) *drills.Selector {
	of := c.component(t.Component, n.at("component"))
	if of == nil {
		return nil
	}
	s := &drills.Selector{
		Component: of, Site: t.Site, Member: t.Member, Node: t.Node, Count: t.Count, Percent: t.Percent,
	}
	if t.Role != "any" {
		s.Role = topology.Role(t.Role)
	}
	if t.Count > 0 && t.Percent > 0 {
		c.problem(n.at("percent"), "count says how many already: remove one of the two")
	}
	if t.Labels != "" {
		var err error
		if s.Labels, err = labels.Parse(t.Labels); err != nil {
			c.problem(n.at("labels"), "%v", err)
		}
	}
	if of.Found() {
		return s // who fits is known when it is due
	}
	if t.Node != "" || t.Labels != "" {
		c.problem(n, "node and labels choose members that are found; those of %s are in the topology file", of.Name())
	}
	if t.Member != "" {
		if _, err := of.Member(t.Member); err != nil {
			c.problem(n.at("member"), "%v: it has %s", err, list(of.Members))
			return nil
		}
	}
	fit := fitting(of, s)
	switch {
	case t.Site != "" && len(fit) == 0:
		c.problem(n.at("site"), "component %s has no member at site %q", of.Name(), t.Site)
		return nil
	case t.Count > len(fit):
		c.problem(n.at("count"), "at most %d members of %s can fit, never %d", len(fit), of.Name(), t.Count)
		return nil
	}
	return s
}

// fitting returns the members that a selector can choose, whatever their roles.
func fitting(of *topology.Component, s *drills.Selector) (fit []*topology.Member) {
	for _, m := range of.Members {
		if (s.Member == "" || s.Member == m.Name()) && (s.Site == "" || s.Site == m.Spec.Site) {
			fit = append(fit, m)
		}
	}
	return fit
}

// bounded notes a fault that is certain to exceed the limits: without a role and
// a count it takes every member that fits.
func (c *compiler) bounded(s *drills.Selector, n *node) {
	if s.Role != "" || s.Count != 0 || s.Percent != 0 || s.Component.Found() {
		return
	}
	fit := fitting(s.Component, s)
	sites := map[string]bool{}
	for _, m := range fit {
		sites[m.Spec.Site] = true
	}
	limits := c.file.Spec.Limits
	if len(fit) > limits.Members {
		c.problem(n, "chooses all of %s, more than limits.members allows (%d): add role, member or count, or raise the limit", list(fit), limits.Members)
	} else if len(sites) > limits.Sites {
		c.problem(n, "reaches %d sites, more than limits.sites allows (%d)", len(sites), limits.Sites)
	}
}

func list(ms []*topology.Member) string {
	text := ""
	for i, m := range ms {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%s)", m.Name(), m.Address())
	}
	return text
}
