package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	// Route is where clients connect, and LeadsTo where that leads.
	Route   string   `json:"route,omitempty"`
	LeadsTo []string `json:"leads_to,omitempty"`
	// Problems are what is wrong, one line each.
	Problems []string `json:"problems,omitempty"`
}

// MemberStatus is how one server is.
type MemberStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	// Role is primary, replica, detached (answers, but neither takes writes nor
	// replicates) or down.
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
	pids, err := processesOf(l.places.servers)
	if err != nil || !l.made() && len(pids) > 0 {
		st.State = Degraded
		st.Problems = append(st.Problems, fmt.Sprintf("processes %v of a lab that was never complete (%v)", pids, err))
	}
	if !l.made() {
		return st
	}
	st.Topology, st.Namespace, st.Route = l.topologyFile(), l.namespace, l.Route
	st.Members, st.Problems = l.memberStatus(ctx)
	st.Problems = append(st.Problems, l.routeStatus(ctx, &st)...)
	st.State = Healthy
	if len(st.Problems) > 0 {
		st.State = Degraded
	}
	return st
}

// memberStatus asks all servers at once.
func (l *lab) memberStatus(ctx context.Context) ([]MemberStatus, []string) {
	found := make([]standing, len(l.servers))
	errs := make([]error, len(l.servers))
	_ = l.each(ctx, func(ctx context.Context, s *Server) error {
		i := slices.Index(l.servers, s)
		found[i], errs[i] = s.standing(ctx)
		return nil
	})
	var members []MemberStatus
	var problems, writable []string
	primary := ""
	for i, s := range l.servers {
		if errs[i] == nil && !found[i].readOnly {
			writable, primary = append(writable, s.Name), s.Address
		}
	}
	if len(writable) != 1 {
		problems = append(problems, fmt.Sprintf("%d servers take writes %v: want one", len(writable), writable))
	}
	for i, s := range l.servers {
		role, problem := roleOf(found[i], errs[i], primary)
		if problem != "" {
			problems = append(problems, s.Name+": "+problem)
		}
		members = append(members, MemberStatus{Name: s.Name, Address: s.Address, Role: role, PID: s.PID(ctx), User: s.UID, Dir: s.Dir})
	}
	return members, problems
}

// roleOf judges one server, given the primary's address.
func roleOf(st standing, err error, primary string) (role, problem string) {
	switch {
	case err != nil:
		return "down", err.Error()
	case !st.readOnly:
		return "primary", ""
	case st.running && st.source == primary:
		return "replica", ""
	case st.source == "":
		return "detached", "follows no server"
	case st.source != primary:
		return "detached", fmt.Sprintf("follows %s, which is not the primary", st.source)
	}
	return "detached", strings.TrimSpace("does not replicate " + st.problem)
}
