package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// lookEvery is how often faults look at processes and addresses while waiting.
const lookEvery = 5 * time.Millisecond

// subject is one member as it was before the fault: all that another process
// needs to bring it back.
type subject struct {
	Member topology.MemberSpec `json:"member"`
	// Processes are those that the member had, the main one first, if its control
	// could see them.
	Processes []proc.ID `json:"processes,omitempty"`
	// Leads tells whether the main process led a session of its own.
	Leads   bool    `json:"leads,omitempty"`
	Manners manners `json:"manners"`
}

// subjects are a fault's undo instructions.
type subjects struct {
	// Boot is the boot id of the runner's host: the processes mean nothing after
	// another start of it.
	Boot    string    `json:"boot"`
	Members []subject `json:"members"`
}

// look finds out how the members are before the fault. All must run.
func look(ctx context.Context, k topology.Kinds, members []topology.MemberSpec) (subjects, error) {
	boot, err := proc.Boot()
	if err != nil {
		return subjects{}, err
	}
	ss := subjects{Boot: boot}
	for _, m := range members {
		if m.Control == nil {
			return ss, fmt.Errorf("member %s has no control: give it one in the topology file", m.Name)
		}
		ctl, err := k.OpenControl(m)
		if err != nil {
			return ss, err
		}
		st, err := ctl.Status(ctx)
		if err != nil {
			return ss, err
		}
		if !st.Running {
			return ss, fmt.Errorf("member %s does not run (%s): there is nothing to stop", m.Name, st.Detail)
		}
		s := subject{Member: m, Manners: learn(ctx, m.Address)}
		for i, p := range identify(st.PIDs) {
			s.Processes = append(s.Processes, p.ID)
			s.Leads = s.Leads || i == 0 && p.Session == p.PID
		}
		ss.Members = append(ss.Members, s)
	}
	return ss, ctx.Err()
}

// undo writes the instructions down.
func (ss subjects) undo(says string) (drills.Undo, error) {
	b, err := json.Marshal(ss)
	if err != nil {
		return drills.Undo{}, fmt.Errorf("write undo: %w", err)
	}
	return drills.Undo{Says: says, Data: b}, nil
}

// readSubjects reads undo instructions. Processes of before a restart of the host
// are left out: they are gone, and others may have their numbers.
func readSubjects(u drills.Undo) (subjects, error) {
	var ss subjects
	if err := json.Unmarshal(u.Data, &ss); err != nil {
		return ss, fmt.Errorf("read undo: %w", err)
	}
	boot, err := proc.Boot()
	if err != nil {
		return ss, err
	}
	for i := range ss.Members {
		if ss.Boot != boot {
			ss.Members[i].Processes = nil
		}
		if ss.Members[i].Member.Control == nil {
			return ss, errors.New("read undo: a member without control")
		}
	}
	return ss, nil
}

// identify returns those of the processes that have not ended.
func identify(pids []int) []proc.Process {
	var ps []proc.Process
	for _, pid := range pids {
		if p, err := proc.Read(pid); err == nil {
			ps = append(ps, p)
		}
	}
	return ps
}

// specs returns the members' specs.
func specs(ms []*topology.Member) []topology.MemberSpec {
	out := make([]topology.MemberSpec, len(ms))
	for i, m := range ms {
		out[i] = m.Spec
	}
	return out
}

// bringUp starts the member unless it runs, and returns once its control says
// that it does and its address answers as it did before the fault.
func (s subject) bringUp(ctx context.Context, ctl topology.Control) error {
	attempts := 0
	return poll.Until(ctx, lookEvery, func(ctx context.Context) error {
		st, err := ctl.Status(ctx)
		if err != nil {
			return poll.Stop(err)
		}
		if !st.Running {
			// What is left of the old processes may be in the way of a first start: an
			// address still in use, a lock not yet released.
			if err := ctl.Start(ctx); err != nil {
				if attempts++; attempts >= 3 {
					err = poll.Stop(err)
				}
				return err
			}
			return fmt.Errorf("member %s was only just started", s.Member.Name)
		}
		// A kill that was itself killed may have left them stopped, or about to be.
		if err := s.goOn(ctx, ctl); err != nil {
			return err
		}
		if err := s.Manners.asBefore(ctx, s.Member.Address); err != nil {
			return fmt.Errorf("member %s runs (%s), but %w", s.Member.Name, st.Detail, err)
		}
		return nil
	})
}

// bringUpToStay brings the member up, and makes sure that what runs is not an old
// process that was told to end and only takes its time: one that was there before
// is watched for as long as settle.
func (s subject) bringUpToStay(ctx context.Context, ctl topology.Control, settle time.Duration) error {
	old, err := s.stays(ctx, ctl)
	if err == nil {
		err = s.bringUp(ctx, ctl)
	}
	if err != nil || !old {
		return err
	}
	watch, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	errEnded := errors.New("it has ended")
	err = poll.Until(watch, lookEvery, func(ctx context.Context) error {
		switch still, err := s.stays(ctx, ctl); {
		case err != nil:
			return err
		case still:
			return errors.New("it is still there")
		}
		return poll.Stop(errEnded)
	})
	if errors.Is(err, errEnded) {
		return s.bringUp(ctx, ctl)
	}
	return ctx.Err()
}

// stays tells whether the process that the member had before still runs; where
// processes cannot be seen, whether the member does.
func (s subject) stays(ctx context.Context, ctl topology.Control) (bool, error) {
	if len(s.Processes) > 0 {
		return s.Processes[0].Alive(), nil
	}
	st, err := ctl.Status(ctx)
	return st.Running, err
}
