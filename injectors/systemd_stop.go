package injectors

import (
	"encoding/json"
	"fmt"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/host"
)

// SystemdStopSpec stops a unit; systemd does not restart it by itself.
type SystemdStopSpec struct {
	// Unit is the unit's name; "{member}" in it stands for the member's name. Empty:
	// that of the member's control, which must be of kind systemd.
	Unit string `json:"unit,omitempty"`
	// Host is where systemd runs, if Unit is given.
	Host host.Spec `json:"host,omitzero"`
}

func newSystemdStop(k topology.Kinds) func(SystemdStopSpec) (drills.Injector, error) {
	return func(s SystemdStopSpec) (drills.Injector, error) {
		if _, err := s.Host.For("member", "127.0.0.1:1").Open(); err != nil {
			return nil, err
		}
		if s.Unit == "" && s.Host != (host.Spec{}) {
			return nil, fmt.Errorf("host needs unit: without it both come from the member's control")
		}
		return &stopper{kinds: k, as: s.as}, nil
	}
}

// as returns the member as controlled by systemd. What cannot be is left for Prepare
// to refuse: a member without control.
func (s SystemdStopSpec) as(m topology.MemberSpec) topology.MemberSpec {
	if s.Unit == "" {
		if m.Control != nil && m.Control.Kind != "systemd" {
			m.Control = nil
		}
		return m
	}
	unit := control.SystemdSpec{Unit: host.Expand([]string{s.Unit}, m.Name, m.Address)[0], Host: s.Host}
	with, err := json.Marshal(unit)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", unit, err)) // plain data: a mistake in the program
	}
	m.Control = &topology.ControlSpec{Kind: "systemd", With: with}
	return m
}
