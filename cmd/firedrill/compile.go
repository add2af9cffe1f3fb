package main

import (
	"context"
	"fmt"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/netns"
	"firedrill/scenarios"
)

// entries are the program's plug-ins as the loader wants to know them.
func entries() scenarios.Kinds {
	p := plugins()
	return scenarios.Kinds{
		Faults: p.Injectors.Entries(), Probes: p.Probes.Entries(), Remedies: p.Remedies.Entries(),
		Components: p.Topology.Components.Entries(), Controls: p.Topology.Controls.Entries(), Routes: p.Topology.Routes.Entries(),
	}
}

// compile reads a scenario and a topology and compiles the one against the other.
func compile(scenario, topologyPath string, vars map[string]string) (*drills.Drill, error) {
	k := entries()
	s, err := scenarios.Load(scenario, vars, k)
	if err != nil {
		return nil, err
	}
	t, err := scenarios.LoadTopology(topologyPath, k)
	if err != nil {
		return nil, err
	}
	return scenarios.Compile(s, t, plugins())
}

// enter makes the program stand where the topology's members can be reached. Nothing is
// touched before.
func enter(ctx context.Context, t *topology.Topology) error {
	ns := t.Spec.Network.Namespace
	if ns == "" {
		return nil
	}
	there, err := netns.Inside(ns)
	if err == nil && !there {
		// Executed again, the program would know nothing of a signal that this one heard.
		if err := heard(ctx); err != nil {
			return err
		}
		err = netns.Enter(ns)
	}
	if err != nil {
		return fmt.Errorf("topology %s: spec.network.namespace: %w", t.Name, err)
	}
	return nil
}
