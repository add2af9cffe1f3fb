package route

import (
	"context"
	"fmt"
	"slices"

	"firedrill/drills/topology"
)

// FixedSpec is an address that leads where it leads.
type FixedSpec struct {
	// Members are the members that it leads to, if they are to be told.
	Members []string `json:"members,omitempty"`
}

type fixed struct {
	name    string
	members []string
}

func newFixed(s FixedSpec) (topology.NewRouter, error) {
	return func(r topology.RouteSpec) (topology.Router, error) {
		return fixed{name: r.Name, members: s.Members}, nil
	}, nil
}

// Current names the members that the topology file names.
func (f fixed) Current(context.Context) ([]string, error) { return slices.Clone(f.members), nil }

// Switch is always an error.
func (f fixed) Switch(_ context.Context, member string) error {
	to := "to nobody"
	if member != "" {
		to = "to member " + member
	}
	return fmt.Errorf("switch route %s %s: its kind is fixed, it cannot be switched: use haproxy or exec", f.name, to)
}
