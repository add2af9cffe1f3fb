package main

import (
	"firedrill/drills/remedies"
	"firedrill/drills/topology/builtin"
	"firedrill/injectors"
	"firedrill/probes"
	"firedrill/scenarios"
)

// kinds are all plug-ins of the program.
func kinds() scenarios.Kinds {
	k := builtin.Kinds()
	return scenarios.Kinds{
		Faults: injectors.All(k).Entries(), Probes: probes.All().Entries(), Remedies: remedies.All(k).Entries(),
		Components: k.Components.Entries(), Controls: k.Controls.Entries(), Routes: k.Routes.Entries(),
	}
}
