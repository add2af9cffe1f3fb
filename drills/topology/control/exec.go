package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/host"
)

// ExecSpec controls a server by commands. In every argument "{member}" stands for
// the member's name, "{address}" for its address and "{host}" for the address
// without the port. Arguments end up in records: not for secrets.
type ExecSpec struct {
	// Start starts the server and returns; what it leaves in the background must
	// let go of its output.
	Start []string `json:"start" jsonschema:"minItems=1"`
	// Stop shuts it down gracefully.
	Stop []string `json:"stop" jsonschema:"minItems=1"`
	// Status exits with 0 if the server runs, with 3 or 1 if it does not (the
	// codes of LSB init scripts); anything else is an error.
	Status []string `json:"status" jsonschema:"minItems=1"`
	// Host is where the commands run.
	Host host.Spec `json:"host,omitzero"`
	// Timeout is how long a start or stop may take until Status says so.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

var execDefaults = ExecSpec{Timeout: spec.Duration(time.Minute)}

type command struct {
	spec   ExecSpec
	member topology.MemberSpec
	host   host.Host
}

func newExec(s ExecSpec) (topology.NewControl, error) {
	if len(s.Start) == 0 || len(s.Stop) == 0 || len(s.Status) == 0 {
		return nil, errors.New("start, stop and status are all needed")
	}
	return func(m topology.MemberSpec) (topology.Control, error) {
		h, err := s.Host.For(m.Name, m.Address).Open()
		if err != nil {
			return nil, err
		}
		return &command{spec: s, member: m, host: h}, nil
	}, nil
}

func (c *command) run(ctx context.Context, argv []string) error {
	_, err := c.host.Run(ctx, host.Expand(argv, c.member.Name, c.member.Address), "")
	return err
}

// Status runs the status command. It cannot see processes.
func (c *command) Status(ctx context.Context) (topology.Status, error) {
	err := c.run(ctx, c.spec.Status)
	switch host.Code(err) {
	case 0:
		return topology.Status{Running: true, Detail: "status command says running"}, nil
	case 1, 3:
		return topology.Status{Detail: "status command says stopped"}, nil
	}
	return topology.Status{}, fmt.Errorf("ask for status of member %s: %w", c.member.Name, err)
}

// Start runs the start command unless the server runs already.
func (c *command) Start(ctx context.Context) error { return c.turn(ctx, "start", c.spec.Start, true) }

// Stop runs the stop command unless the server is stopped already.
func (c *command) Stop(ctx context.Context) error { return c.turn(ctx, "stop", c.spec.Stop, false) }

func (c *command) turn(ctx context.Context, verb string, argv []string, running bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.spec.Timeout.Std(), fmt.Errorf("not done after %s", c.spec.Timeout))
	defer cancel()
	st, err := c.Status(ctx)
	if err != nil || st.Running == running {
		return err
	}
	if err := c.run(ctx, argv); err != nil {
		return fmt.Errorf("%s member %s: %w", verb, c.member.Name, err)
	}
	return settled(ctx, c, verb, c.member.Name, running)
}
