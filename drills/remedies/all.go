// Package remedies holds the kinds of remediation: what the runner does when the
// topology has not healed itself.
package remedies

import (
	"time"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/spec"
)

// All is the catalogue of remedies.
func All() kind.Catalogue[drills.Remedy] {
	return kind.Of("remedy",
		kind.New("mysql-failover", "Fences the primary of a mysql component and promotes its most advanced replica.",
			MySQLFailoverSpec{
				Fence:        []string{FenceReadOnly, FenceStop, FenceRoute},
				FenceTimeout: spec.Duration(10 * time.Second), DrainTimeout: spec.Duration(time.Minute),
			}, newMySQLFailover),
		kind.New("route-switch", "Leads the routes that serve a component's primary to its present primary.",
			RouteSwitchSpec{}, newRouteSwitch),
		kind.New("exec", "Runs a command that heals, and one that undoes it.",
			ExecSpec{Timeout: spec.Duration(time.Minute)}, newExec),
	)
}
