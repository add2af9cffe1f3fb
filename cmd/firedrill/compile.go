package main

import (
	"firedrill/drills"
	"firedrill/scenarios"
)

// entries are the plug-ins as the loader wants to know them.
func entries(p drills.Catalogues) scenarios.Kinds {
	return scenarios.Kinds{
		Faults: p.Injectors.Entries(), Probes: p.Probes.Entries(), Remedies: p.Remedies.Entries(),
		Components: p.Topology.Components.Entries(), Controls: p.Topology.Controls.Entries(), Routes: p.Topology.Routes.Entries(),
	}
}

// compile reads a scenario and a topology and compiles the one against the other.
func compile(scenario, topologyPath string, vars map[string]string) (*drills.Drill, error) {
	p := plugins()
	k := entries(p)
	s, err := scenarios.Load(scenario, vars, k)
	if err != nil {
		return nil, err
	}
	f, err := scenarios.LoadTopology(topologyPath, k)
	if err != nil {
		return nil, err
	}
	t, err := p.Topology.Open(f.Metadata.Name, f.Spec)
	if err != nil {
		return nil, err
	}
	return scenarios.Compile(s, t, scenarios.Catalogues{Faults: p.Injectors, Probes: p.Probes, Remedies: p.Remedies})
}
