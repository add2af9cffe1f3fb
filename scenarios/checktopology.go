package scenarios

// checkTopology notes what is wrong between the parts of a topology.
func (d *document) checkTopology() {
	s := d.root.get("spec")
	sites := d.unique(s.get("sites"))
	components := d.unique(s.get("components"))
	for _, c := range s.get("components").list() {
		d.checkMembers(c.get("members"), sites)
	}
	d.unique(s.get("routes"))
	for _, r := range s.get("routes").list() {
		d.refers(r.get("component"), "component", components)
		d.checkAddress(r.get("address"))
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
