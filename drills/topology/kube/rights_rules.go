package kube

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"firedrill/drills/topology"
)

// Rule is one rule of a role: what may be done with objects of one resource.
type Rule struct {
	Group, Resource string
	// Names narrow it; empty means all objects.
	Names, Verbs []string
	// For is what needs it.
	For []string
}

// Grants are the rules that somebody needs, by namespace; those under "" are about all
// namespaces, or about what has none.
type Grants map[string][]Rule

// grant is what a privilege is about, apart from its verbs.
type grant struct{ namespace, group, resource, name string }

// verbs are what may be done, each with what needs it.
type verbs map[string][]string

// Require collects the privileges of components: namespace is that of each one.
type Require struct{ all map[grant]verbs }

// Add takes in the privileges that a component in a namespace needs.
func (r *Require) Add(namespace string, needs []topology.Privilege) {
	if r.all == nil {
		r.all = map[grant]verbs{}
	}
	for _, p := range needs {
		names := p.Names
		if len(names) == 0 {
			names = []string{""}
		}
		for _, name := range names {
			g := grant{Scope(p, namespace), p.Group, p.Resource, name}
			if r.all[g] == nil {
				r.all[g] = verbs{}
			}
			for _, v := range p.Verbs {
				if r.all[g][v] = append(r.all[g][v], p.For); p.For == "" {
					r.all[g][v] = r.all[g][v][:len(r.all[g][v])-1]
				}
			}
		}
	}
}

// Grants are the least rules that give all that was added: nothing is granted twice.
func (r *Require) Grants() Grants {
	out := Grants{}
	for _, g := range slices.SortedFunc(maps.Keys(r.all), compareGrants) {
		rule := Rule{Group: g.group, Resource: g.resource}
		if g.name != "" {
			rule.Names = []string{g.name}
		}
		for _, v := range slices.Sorted(maps.Keys(r.all[g])) {
			if !r.covered(g, v) {
				rule.Verbs = append(rule.Verbs, v)
				rule.For = append(rule.For, r.all[g][v]...)
			}
		}
		if len(rule.Verbs) == 0 {
			continue
		}
		slices.Sort(rule.For)
		rule.For = slices.Compact(rule.For)
		out[g.namespace] = merge(out[g.namespace], rule)
	}
	return out
}

func compareGrants(x, y grant) int {
	return cmp.Or(
		strings.Compare(x.namespace, y.namespace), strings.Compare(x.group, y.group),
		strings.Compare(x.resource, y.resource), strings.Compare(x.name, y.name),
	)
}

// merge adds a rule, or just its names to the one before it that is the same else.
func merge(rules []Rule, rule Rule) []Rule {
	if len(rules) > 0 {
		last := &rules[len(rules)-1]
		if last.Group == rule.Group && last.Resource == rule.Resource && slices.Equal(last.Verbs, rule.Verbs) &&
			len(last.Names) > 0 && len(rule.Names) > 0 {
			last.Names = append(last.Names, rule.Names...)
			last.For = append(last.For, rule.For...)
			slices.Sort(last.For)
			last.For = slices.Compact(last.For)
			return rules
		}
	}
	return append(rules, rule)
}

// covered tells whether something wider gives a verb already.
func (r *Require) covered(g grant, verb string) bool {
	for _, namespace := range []string{g.namespace, ""} {
		for _, resource := range []string{g.resource, "*"} {
			for _, name := range []string{g.name, ""} {
				wider := grant{namespace, g.group, resource, name}
				if _, ok := r.all[wider][verb]; ok && wider != g {
					return true
				}
			}
		}
	}
	return false
}
