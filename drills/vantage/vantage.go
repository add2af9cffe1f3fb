// Package vantage lets probes look from where clients are: an agent, which is
// firedrill itself, samples there by its own clock and streams the samples back over
// its standard input and output. The package has both ends of that stream, and the
// relation of the two clocks.
package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"firedrill/drills/topology"
)

// Place is where an agent is to be; empty fields mean any.
type Place struct {
	Zone string `json:"zone,omitempty"`
	Node string `json:"node,omitempty"`
}

// String names the place for people.
func (p Place) String() string {
	switch {
	case p.Zone != "" && p.Node != "":
		return "zone " + p.Zone + ", node " + p.Node
	case p.Zone != "":
		return "zone " + p.Zone
	case p.Node != "":
		return "node " + p.Node
	}
	return "the cluster"
}

// Host is implemented by adapters of components on whose platform agents can be
// started.
type Host interface {
	// CanHost returns an error that says what the topology file lacks.
	CanHost() error
	// PlanAgent says how an agent will be made: made is all that StartAgent and
	// RemoveAgent need, also in another process; says is what the latter does. It has
	// no side effect. An agent ends by itself after the given time at the latest.
	PlanAgent(runID string, number int, at Place, longest time.Duration) (made json.RawMessage, says string, err error)
	// StartAgent makes the agent and returns when it runs.
	StartAgent(ctx context.Context, made json.RawMessage) (Link, error)
	// RemoveAgent returns when the agent is no more. It is idempotent, and safe after
	// an absent or failed StartAgent.
	RemoveAgent(ctx context.Context, made json.RawMessage) error
	// AgentPrivileges are what the methods above need to be allowed to do.
	AgentPrivileges() []topology.Privilege
}

// Link leads to the standard streams of an agent.
type Link interface {
	// Connect connects to them. It may be called again when a connection is broken.
	// An error that is ErrGone says that there is no agent any more.
	Connect(ctx context.Context) (io.ReadWriteCloser, error)
}

// ErrGone says that an agent is no more.
var ErrGone = errors.New("the agent is gone")
