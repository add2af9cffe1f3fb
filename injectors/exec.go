package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/host"
)

// ExecSpec makes a fault by commands, once per member. In every argument
// "{member}" stands for the member's name, "{address}" for its address and
// "{host}" for the address without the port. Arguments end up in records: not for
// secrets.
type ExecSpec struct {
	// Inject makes the fault. It is killed with the runner, should that happen, but
	// what it has started is not: let it be one program, or one that ends its own.
	Inject []string `json:"inject" jsonschema:"minItems=1"`
	// Revert undoes it; it must succeed after an absent, partial or failed inject,
	// and when run twice.
	Revert []string `json:"revert" jsonschema:"minItems=1"`
	// Confirm exits with 0 if the fault acts and with 1 if it does not; anything
	// else is an error. Without it the fault has no witness, and a verdict can only
	// be inconclusive; with it, it also tells whether Revert has worked.
	Confirm []string `json:"confirm,omitempty"`
	// Host is where the commands run.
	Host host.Spec `json:"host,omitzero"`
	// Timeout is how long each command may take.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

var execDefaults = ExecSpec{Timeout: spec.Duration(30 * time.Second)}

type execFault struct{ spec ExecSpec }

// call is one member's commands with every placeholder filled in.
type call struct {
	Member  string        `json:"member"`
	Host    host.Spec     `json:"host,omitzero"`
	Inject  []string      `json:"-"`
	Revert  []string      `json:"revert"`
	Confirm []string      `json:"confirm,omitempty"`
	Timeout spec.Duration `json:"timeout"`
}

func newExec(s ExecSpec) (drills.Injector, error) {
	if len(s.Inject) == 0 || len(s.Revert) == 0 {
		return nil, errors.New("inject and revert are both needed")
	}
	if s.Timeout <= 0 {
		return nil, errors.New("timeout: must be more than 0s")
	}
	if _, err := s.Host.For("member", "127.0.0.1:1").Open(); err != nil {
		return nil, err
	}
	return &execFault{spec: s}, nil
}

func (f *execFault) calls(t drills.Target) []call {
	var cs []call
	for _, m := range t.Members {
		fill := func(argv []string) []string { return host.Expand(argv, m.Name(), m.Address()) }
		cs = append(cs, call{
			Member: m.Name(), Host: f.spec.Host.For(m.Name(), m.Address()), Timeout: f.spec.Timeout,
			Inject: fill(f.spec.Inject), Revert: fill(f.spec.Revert), Confirm: fill(f.spec.Confirm),
		})
	}
	return cs
}

// run runs one of the member's commands.
func (c call) run(ctx context.Context, argv []string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout.Std(), fmt.Errorf("not done after %s", c.Timeout))
	defer cancel()
	h, err := c.Host.Open()
	if err == nil {
		_, err = h.Run(ctx, argv, "")
	}
	return err
}

// acts runs the confirm command: nil if the fault acts.
func (c call) acts(ctx context.Context) (bool, error) {
	err := c.run(ctx, c.Confirm)
	switch host.Code(err) {
	case 0:
		return true, nil
	case 1:
		return false, nil
	}
	return false, fmt.Errorf("member %s: confirm: %w", c.Member, err)
}

// Prepare refuses a fault that seems to be there already.
func (f *execFault) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	cs := f.calls(t)
	for _, c := range cs {
		if len(c.Confirm) == 0 {
			continue
		}
		if there, err := c.acts(ctx); err != nil {
			return drills.Undo{}, err
		} else if there {
			return drills.Undo{}, fmt.Errorf("member %s: confirm says that the fault acts already", c.Member)
		}
	}
	b, err := json.Marshal(cs)
	if err != nil {
		return drills.Undo{}, fmt.Errorf("write undo: %w", err)
	}
	return drills.Undo{Says: "run " + strings.Join(f.spec.Revert, " "), Data: b}, ctx.Err()
}

// Inject runs the inject command for one member after the other.
func (f *execFault) Inject(ctx context.Context, t drills.Target, _ drills.Undo) error {
	for _, c := range f.calls(t) {
		if err := c.run(ctx, c.Inject); err != nil {
			return fmt.Errorf("member %s: inject: %w", c.Member, err)
		}
	}
	return nil
}

// Revert runs the revert command for every member, and believes it only if the
// confirm command, where there is one, no longer sees the fault.
func (f *execFault) Revert(ctx context.Context, u drills.Undo) error {
	var cs []call
	if err := json.Unmarshal(u.Data, &cs); err != nil {
		return fmt.Errorf("read undo: %w", err)
	}
	var errs []error
	for _, c := range cs {
		errs = append(errs, c.revert(ctx))
	}
	return errors.Join(errs...)
}

func (c call) revert(ctx context.Context) error {
	if err := c.run(ctx, c.Revert); err != nil {
		return fmt.Errorf("member %s: revert: %w", c.Member, err)
	}
	if len(c.Confirm) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout.Std(), fmt.Errorf("still so after %s", c.Timeout))
	defer cancel()
	return poll.Until(ctx, 10*lookEvery, func(ctx context.Context) error {
		there, err := c.acts(ctx)
		if err == nil && there {
			err = fmt.Errorf("member %s: confirm says that the fault still acts", c.Member)
		}
		return err
	})
}

// Confirm runs the confirm command until it sees the fault everywhere.
func (f *execFault) Confirm(ctx context.Context, t drills.Target, _ drills.Undo) (string, error) {
	if len(f.spec.Confirm) == 0 {
		return "", errors.New("no confirm command is given: nobody can tell whether the fault acts")
	}
	var names []string
	for _, c := range f.calls(t) {
		err := poll.Until(ctx, 10*lookEvery, func(ctx context.Context) error {
			there, err := c.acts(ctx)
			if err == nil && !there {
				err = fmt.Errorf("member %s: confirm does not see the fault", c.Member)
			}
			return err
		})
		if err != nil {
			return "", err
		}
		names = append(names, c.Member)
	}
	return fmt.Sprintf("command %s sees it at %s", f.spec.Confirm[0], strings.Join(names, ", ")), nil
}
