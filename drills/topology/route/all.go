// Package route knows how to switch what clients connect through.
package route

import (
	"firedrill/drills/kind"
	"firedrill/drills/topology"
)

// All is the catalogue of routes.
func All() kind.Catalogue[topology.NewRouter] {
	return kind.Of("route",
		kind.New("haproxy", "A backend of HAProxy, switched through its runtime API.", haproxyDefaults, newHAProxy),
		kind.New("exec", "Runs commands that switch the route and tell where it leads.", execDefaults, newExec),
		kind.New("fixed", "An address that cannot be switched.", FixedSpec{}, newFixed),
	)
}
