package injectors

import (
	"context"
	"fmt"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// ProcessStopSpec shuts members down by their own control, whatever that is.
type ProcessStopSpec struct{}

// stopper shuts members down gracefully.
type stopper struct {
	kinds topology.Kinds
	// as returns the member as it is to be controlled.
	as func(topology.MemberSpec) topology.MemberSpec
}

func newProcessStop(k topology.Kinds) func(ProcessStopSpec) (drills.Injector, error) {
	return func(ProcessStopSpec) (drills.Injector, error) {
		return &stopper{kinds: k, as: func(m topology.MemberSpec) topology.MemberSpec { return m }}, nil
	}
}

// Prepare needs every member to run and to have a control.
func (f *stopper) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	ss, err := look(ctx, f.kinds, f.members(t))
	if err == nil {
		err = f.canStop(ctx, ss)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	var names []string
	for _, s := range ss.Members {
		names = append(names, s.Member.Name)
	}
	return ss.undo(fmt.Sprintf("start %s again unless it runs", strings.Join(names, ", ")))
}

// canStop asks the controls that know of members which cannot be stopped alone.
func (f *stopper) canStop(ctx context.Context, ss subjects) error {
	for _, s := range ss.Members {
		ctl, err := f.kinds.OpenControl(s.Member)
		if knows, ok := ctl.(interface{ CanStop(context.Context) error }); err == nil && ok {
			err = knows.CanStop(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *stopper) members(t drills.Target) []topology.MemberSpec {
	ms := specs(t.Members)
	for i := range ms {
		ms[i] = f.as(ms[i])
	}
	return ms
}

// Inject stops one member after the other. A shutdown that has begun cannot be
// called back: it is waited for, within the control's own limit, whatever becomes
// of ctx; otherwise the member might go down after it was brought back.
func (f *stopper) Inject(ctx context.Context, t drills.Target, _ drills.Undo) error {
	for _, m := range f.members(t) {
		ctl, err := f.kinds.OpenControl(m)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = ctl.Stop(context.WithoutCancel(ctx))
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// settle is how long a process that was not stopped after all is watched, in case
// it was asked to and only takes its time.
const settle = 500 * time.Millisecond

// Revert starts every member that does not run. It is the control's Start that
// decides, because a unit that is shutting down is to be started after that.
func (f *stopper) Revert(ctx context.Context, u drills.Undo) error {
	return revertSubjects(ctx, f.kinds, u, func(ctx context.Context, s subject, ctl topology.Control) error {
		if err := ctl.Start(ctx); err != nil {
			return err
		}
		return s.bringUpToStay(ctx, ctl, settle)
	})
}

// Confirm has two witnesses: the processes are gone from /proc (or, where they
// cannot be seen, the control says so), and the address refuses connections.
func (f *stopper) Confirm(ctx context.Context, _ drills.Target, u drills.Undo) (string, error) {
	return confirmSubjects(ctx, f.kinds, u, func(ctx context.Context, s subject, ctl topology.Control) (string, error) {
		return s.down(ctx, ctl, s.Processes, false)
	})
}
