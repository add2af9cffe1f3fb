// Package control knows how members are stopped and started.
package control

import (
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// All is the catalogue of controls.
func All() kind.Catalogue[topology.NewControl] {
	return kind.Of("control",
		kind.New("process", "Runs the server as plain processes of the runner's own host.", processDefaults, newProcess),
		kind.New("systemd", "Runs the server as a unit of systemd, here or on another host.", SystemdSpec{}, newSystemd),
		kube.ControlEntry(),
		kind.New("exec", "Runs commands that start and stop the server and tell its status.", execDefaults, newExec),
	)
}
