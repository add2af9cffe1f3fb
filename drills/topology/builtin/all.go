// Package builtin lists every kind that a topology file can name.
package builtin

import (
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/kube"
	"firedrill/drills/topology/llm"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/route"
	"firedrill/drills/topology/service"
)

// Kinds are the catalogues that a topology is opened with.
func Kinds() topology.Kinds {
	return topology.Kinds{
		Components: kind.Of("component", kube.Kind(), kube.NodeKind(), llm.Kind(), mysql.Kind(), service.Kind()),
		Controls:   control.All(),
		Routes:     route.All(),
	}
}
