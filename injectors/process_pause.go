package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// ProcessPauseSpec stops the processes of members on the runner's own host where
// they are: connections stay open, the kernel accepts new ones, nobody answers.
type ProcessPauseSpec struct{}

type processPause struct{ kinds topology.Kinds }

func newProcessPause(k topology.Kinds) func(ProcessPauseSpec) (drills.Injector, error) {
	return func(ProcessPauseSpec) (drills.Injector, error) { return &processPause{kinds: k}, nil }
}

// Prepare needs every member to run, with a control that sees its processes.
func (f *processPause) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	return prepareProcesses(ctx, f.kinds, t, "let the processes of %s go on (SIGCONT)")
}

// Inject stops the whole process trees; once begun, that is finished whatever
// becomes of ctx.
func (f *processPause) Inject(ctx context.Context, t drills.Target, _ drills.Undo) error {
	members, err := running(ctx, t)
	if err != nil {
		return err
	}
	frozen, err := freeze(slices.Concat(members...))
	if err != nil {
		return errors.Join(err, thaw(ids(frozen)))
	}
	return nil
}

// Revert lets the processes go on, including those that turned up after Prepare,
// and looks whether they do and the address answers. A member whose main process
// has ended meanwhile is drills.ErrGone, after what is left of it was let go on.
func (f *processPause) Revert(ctx context.Context, u drills.Undo) error {
	return revertSubjects(ctx, f.kinds, u, func(ctx context.Context, s subject, ctl topology.Control) error {
		return poll.Until(ctx, lookEvery, func(ctx context.Context) error {
			if err := s.goOn(ctx, ctl); err != nil {
				return err
			}
			if len(s.Processes) == 0 || !s.Processes[0].Alive() {
				return poll.Stop(fmt.Errorf("member %s: the process that was paused has ended: %w", s.Member.Name, drills.ErrGone))
			}
			if err := s.Manners.asBefore(ctx, s.Member.Address); err != nil {
				return fmt.Errorf("member %s: its processes go on, but %w", s.Member.Name, err)
			}
			return nil
		})
	})
}

// goOn sends SIGCONT to every process of the member, whether or not it is seen
// stopped: that also takes back a stop that has not come into effect yet
// (signal(7)). It returns nil once none is seen stopped.
func (s subject) goOn(ctx context.Context, ctl topology.Control) error {
	ps, err := s.processes(ctx, ctl)
	if err != nil {
		return err
	}
	if err := thaw(ids(ps)); err != nil {
		return poll.Stop(err)
	}
	for _, p := range ps {
		if now, err := p.Now(); err == nil && now.Stopped() {
			return fmt.Errorf("member %s: process %d is still stopped", s.Member.Name, p.PID)
		}
	}
	return nil
}

// processes returns what is left of the recorded processes with their descendants,
// and those that the control sees now.
func (s subject) processes(ctx context.Context, ctl topology.Control) ([]proc.Process, error) {
	all, err := proc.All()
	if err != nil {
		return nil, err
	}
	var roots []proc.Process
	for _, id := range s.Processes {
		if p, err := id.Now(); err == nil {
			roots = append(roots, p)
		}
	}
	st, err := ctl.Status(ctx)
	if err != nil && len(roots) == 0 {
		return nil, err
	}
	return append(proc.Grow(all, roots), identify(st.PIDs)...), nil
}

// Confirm has two witnesses: every process is stopped according to /proc, and a
// connection to the member's address, which the kernel may still accept, comes to
// nothing. The second one needs an address that answered before.
func (f *processPause) Confirm(ctx context.Context, _ drills.Target, u drills.Undo) (string, error) {
	return confirmSubjects(ctx, f.kinds, u, func(ctx context.Context, s subject, ctl topology.Control) (string, error) {
		ps, err := s.processes(ctx, ctl)
		if err != nil {
			return "", err
		}
		if len(ps) == 0 {
			return "", errors.New("no process is left")
		}
		for _, p := range ps {
			if !p.Stopped() {
				return "", fmt.Errorf("process %d is in state %c, want T", p.PID, p.State)
			}
		}
		said := fmt.Sprintf("process %d with %d below it is stopped (/proc)", ps[0].PID, distinct(ps)-1)
		if a := s.Manners.Answers; a == absent || a == silent {
			return said + "; that its address does not answer says nothing: it did not before, either", nil
		}
		quiet, err := s.Manners.unanswered(ctx, s.Member.Address)
		return said + ", " + quiet, err
	})
}

func distinct(ps []proc.Process) int {
	seen := map[proc.ID]bool{}
	for _, p := range ps {
		seen[p.ID] = true
	}
	return len(seen)
}
