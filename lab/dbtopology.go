package lab

import (
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// Component and Route are the names in the topology of every database lab.
const (
	Component = "orders-db"
	Route     = "orders-rw"
)

func (l *databases) describe() (topology.Spec, error) {
	c, err := l.component()
	if err != nil {
		return topology.Spec{}, err
	}
	return topology.Spec{
		Sites:      []topology.Site{{Name: "a"}, {Name: "b"}},
		Components: []topology.ComponentSpec{c},
		Routes:     []topology.RouteSpec{l.proxy.Spec(Route, Component)},
	}, nil
}

// component puts the first two members into site a and the last into site b, so
// that a site can be lost with the primary and leave somebody to take over.
func (l *databases) component() (topology.ComponentSpec, error) {
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
