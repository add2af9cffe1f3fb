package lab

import (
	"context"
	"fmt"
)

// The states of a lab.
const (
	IsDown   = "down"
	Healthy  = "healthy"
	Degraded = "degraded"
)

// Status is how a lab is at a moment.
type Status struct {
	Name string `json:"name"`
	// State is down, healthy or degraded.
	State string `json:"state"`
	// Topology is the path of the topology file, when there is one.
	Topology string `json:"topology,omitempty"`
	// Namespace is the path of the network namespace, if the lab has one.
	Namespace string         `json:"namespace,omitempty"`
	Members   []MemberStatus `json:"members,omitempty"`
	// Kubeconfig is the path of the administrator's kubeconfig, if the lab is a
	// cluster.
	Kubeconfig string `json:"kubeconfig,omitempty"`
	// Services are the processes that are no members: the gateway and the fault point
	// of a lab of models, the control plane of a cluster.
	Services []MemberStatus `json:"services,omitempty"`
	// Route is where clients connect, and LeadsTo where that leads.
	Route   string   `json:"route,omitempty"`
	LeadsTo []string `json:"leads_to,omitempty"`
	// Problems are what is wrong, one line each.
	Problems []string `json:"problems,omitempty"`
}

// MemberStatus is how one process is.
type MemberStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// Role is primary, replica, instance, detached (answers, but neither takes writes
	// nor replicates) or down; that of a node is ready, not ready or down, that of a
	// service up or down.
	Role string `json:"role"`
	PID  int    `json:"pid,omitempty"`
	User int    `json:"user,omitempty"`
	Dir  string `json:"dir"`
}

// StatusOf looks at the lab of that name under home and changes nothing.
func StatusOf(ctx context.Context, home, name string) (Status, error) {
	l, err := open(home, name, nil)
	if err != nil {
		return Status{}, err
	}
	return l.status(ctx), nil
}

func (l *lab) status(ctx context.Context) Status {
	st := Status{Name: l.Name, State: IsDown}
	pids, err := processesOf(l.places.servers, l.places.sockets)
	if err != nil || !l.made() && len(pids) > 0 {
		st.State = Degraded
		st.Problems = append(st.Problems, fmt.Sprintf("processes %v of a lab that was never complete (%v)", pids, err))
	}
	if !l.made() {
		return st
	}
	st.Topology, st.Namespace, st.Route = l.topologyFile(), l.namespace, l.Route
	l.make.look(ctx, &st)
	st.State = Healthy
	if len(st.Problems) > 0 {
		st.State = Degraded
	}
	return st
}

func (st *Status) problem(format string, args ...any) {
	st.Problems = append(st.Problems, fmt.Sprintf(format, args...))
}
