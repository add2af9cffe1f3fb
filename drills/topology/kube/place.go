package kube

import (
	"encoding/json"
	"fmt"

	"firedrill/drills/topology"
)

// ControlKind is the kind of control of members that Kubernetes runs.
const ControlKind = "kubernetes"

// Place is where a member is in a cluster. It is the control's "with" in a topology
// file, and is made by firedrill for members that it found.
type Place struct {
	Access
	// Namespace is the member's; default: that of the context.
	Namespace string `json:"namespace,omitempty"`
	// Pod is the pod that the member is; for members of a workload with stable
	// names ("orders-db-0").
	Pod string `json:"pod,omitempty"`
	// Workload is what runs the member and nothing else, as kind/name
	// ("statefulset/orders-db"): it is stopped by scaling it to 0.
	Workload string `json:"workload,omitempty"`
	// Node is set for members that are nodes.
	Node string `json:"node,omitempty"`
}

// PlaceOf returns where a member is, by its control.
func PlaceOf(m topology.MemberSpec) (Place, error) {
	var p Place
	if m.Control == nil || m.Control.Kind != ControlKind {
		return p, fmt.Errorf("member %s is not known to be a pod or a node: give it the control kubernetes in the topology file", m.Name)
	}
	if len(m.Control.With) > 0 {
		if err := json.Unmarshal(m.Control.With, &p); err != nil {
			return p, fmt.Errorf("member %s: control: %w", m.Name, err)
		}
	}
	return p, nil
}

// control is what a member that was found gets.
func (p Place) control() *topology.ControlSpec {
	with, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain data
	}
	return &topology.ControlSpec{Kind: ControlKind, With: with}
}
