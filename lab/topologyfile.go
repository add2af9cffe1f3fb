package lab

import (
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/google/renameio/v2"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// Component and Route are the names that every lab's topology uses.
const (
	Component = "orders-db"
	Route     = "orders-rw"
)

// header goes in front of the topology file.
const header = `# Written by firedrill lab up; gone with firedrill lab down.
# Passwords are referenced, never written here.
`

// writeTopology writes the topology file, all of it or none.
func (l *lab) writeTopology() error {
	f, err := l.topology()
	if err != nil {
		return fmt.Errorf("describe topology: %w", err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode topology: %w", err)
	}
	text, err := yaml.JSONToYAML(b)
	if err != nil {
		return fmt.Errorf("encode topology: %w", err)
	}
	if err := renameio.WriteFile(l.topologyFile(), append([]byte(header), text...), 0o600); err != nil {
		return fmt.Errorf("write topology: %w", err)
	}
	return nil
}

// TopologyName is the name of a lab's topology.
func TopologyName(lab string) string { return "lab-" + lab }

func (l *lab) topology() (topology.File, error) {
	c, err := l.component()
	if err != nil {
		return topology.File{}, err
	}
	return topology.File{
		APIVersion: "firedrill/v1", Kind: "Topology",
		Metadata: topology.Meta{Name: TopologyName(l.Name), Description: l.About},
		Spec: topology.Spec{
			Network:    topology.Network{Namespace: l.namespace},
			Sites:      []topology.Site{{Name: "a"}, {Name: "b"}},
			Components: []topology.ComponentSpec{c},
			Routes:     []topology.RouteSpec{l.proxy.Spec(Route, Component)},
		},
	}, nil
}

// component puts the first two members into site a and the last into site b, so
// that a site can be lost with the primary and leave somebody to take over.
func (l *lab) component() (topology.ComponentSpec, error) {
	var rpo spec.Duration
	if err := rpo.UnmarshalJSON([]byte(`"` + l.rpo + `"`)); err != nil {
		return topology.ComponentSpec{}, err
	}
	reclone, err := l.recloneCommand()
	if err != nil {
		return topology.ComponentSpec{}, err
	}
	c := topology.ComponentSpec{
		Name: Component, Kind: "mysql", Failover: "runner",
		Objectives: topology.Objectives{RPO: &rpo},
		With: withoutEmpty(mysql.Config{
			User: AdminUser, Password: l.secret(adminSecret),
			Application: mysql.Account{User: AppUser, Password: l.secret(appSecret)},
			Replication: mysql.Replication{User: ReplUser, Password: l.secret(replSecret)},
			Reclone:     reclone,
		}),
	}
	for i, s := range l.servers {
		m, err := s.Spec()
		if err != nil {
			return c, err
		}
		if m.Site = "a"; i == len(l.servers)-1 {
			m.Site = "b"
		}
		c.Members = append(c.Members, m)
	}
	return c, nil
}
