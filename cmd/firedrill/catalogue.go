package main

import (
	"firedrill/drills"
	"firedrill/drills/remedies"
	"firedrill/drills/topology/builtin"
	"firedrill/injectors"
	"firedrill/probes"
)

// plugins are all plug-ins of the program.
func plugins() drills.Catalogues {
	k := builtin.Kinds()
	return drills.Catalogues{
		Injectors: injectors.All(k),
		Probes:    probes.All(),
		Remedies:  remedies.All(k),
		Topology:  k,
	}
}
