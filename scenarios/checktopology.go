package scenarios

import (
	"slices"

	"firedrill/drills/topology/kube"
)

// checkTopology notes what is wrong between the parts of a topology.
func (d *document) checkTopology() {
	s := d.root.get("spec")
	sites := d.unique(s.get("sites"))
	components := d.unique(s.get("components"))
	for _, c := range s.get("components").list() {
		d.checkMembers(c.get("members"), sites)
		if c.get("members") == nil && !slices.Contains(findsMembers, c.get("kind").str()) {
			d.problem(c, "members is required: name the members of component %s", c.get("name").str())
		}
		d.checkFaultPoint(c)
	}
	d.unique(s.get("routes"))
	for _, r := range s.get("routes").list() {
		d.refers(r.get("component"), "component", components)
		d.checkAddress(r.get("address"))
	}
}

// findsMembers are the kinds of components whose members are not in the file.
var findsMembers = []string{kube.PodsKind, kube.NodesKind}

// checkFaultPoint notes a fault point that stands in front of nobody, or nowhere.
func (d *document) checkFaultPoint(c *node) {
	var names []string
	for _, m := range c.get("members").list() {
		names = append(names, m.get("name").str())
	}
	p := c.get("faultPoint")
	for _, what := range []string{"listen", "upstream"} {
		for _, f := range p.get(what).mapping() {
			if !slices.Contains(names, f.name) {
				d.keyProblem(&f, "component %s has no member %q: %s", c.get("name").str(), f.name, suggest(f.name, names))
			}
			if what == "listen" {
				d.checkAddress(f.value)
			}
		}
	}
}

// checkMembers notes members that cannot be told apart or stand nowhere.
func (d *document) checkMembers(members *node, sites []string) {
	d.unique(members)
	seen := map[string]int{}
	for _, m := range members.list() {
		d.refers(m.get("site"), "site", sites)
		a := m.get("address")
		d.checkAddress(a)
		if a.str() == "" {
			continue
		}
		if line, dup := seen[a.str()]; dup {
			d.problem(a, "address %s is that of the member on line %d already", a.str(), line)
			continue
		}
		seen[a.str()] = a.line
	}
}
