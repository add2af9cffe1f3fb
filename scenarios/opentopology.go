package scenarios

import (
	"firedrill/drills/topology"
)

// Open builds every plug-in of the topology and contacts nothing. What a plug-in
// refuses is an error of type Problems: everything at once, at its place.
func (f *TopologyFile) Open(k topology.Kinds) (*topology.Topology, error) {
	d := &document{file: f.Metadata.Name}
	if f.doc != nil {
		d.file, d.root = f.doc.file, f.doc.root
	}
	var routes []topology.RouteSpec // those that open
	for i, rs := range f.Spec.Routes {
		if _, err := k.OpenRoute(rs); err != nil {
			d.problem(d.root.at("spec", "routes", i, "with"), "%v", err)
			continue
		}
		routes = append(routes, rs)
	}
	t := &topology.Topology{Name: f.Metadata.Name, Spec: f.Spec}
	for i, cs := range f.Spec.Components {
		n := d.root.at("spec", "components", i)
		if !openMembers(d, n, cs, k) {
			continue
		}
		if cs.FaultPoint != nil {
			if _, err := k.OpenFaultPoint(cs); err != nil {
				d.problem(n.at("faultPoint", "control", "with"), "%v", err)
				continue
			}
		}
		c, err := k.OpenComponent(cs, routes)
		if err != nil {
			d.problem(n.at("with"), "%v", err)
			continue
		}
		t.Components = append(t.Components, c)
	}
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return t, nil
}

// openMembers notes the controls that are refused.
func openMembers(d *document, n *node, cs topology.ComponentSpec, k topology.Kinds) bool {
	sound := true
	for i, ms := range cs.Members {
		if ms.Control == nil {
			continue
		}
		if _, err := k.OpenControl(ms); err != nil {
			d.problem(n.at("members", i, "control", "with"), "%v", err)
			sound = false
		}
	}
	return sound
}
