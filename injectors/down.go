package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// confirmSubjects asks the witness of each member again and again until all have
// seen the fault or ctx ends.
func confirmSubjects(ctx context.Context, k topology.Kinds, u drills.Undo, one func(context.Context, subject, topology.Control) (string, error)) (string, error) {
	ss, err := readSubjects(u)
	if err != nil {
		return "", err
	}
	var seen []string
	for _, s := range ss.Members {
		ctl, err := k.OpenControl(s.Member)
		if err != nil {
			return "", err
		}
		err = poll.Until(ctx, lookEvery, func(ctx context.Context) error {
			what, err := one(ctx, s, ctl)
			if err == nil {
				seen = append(seen, "member "+s.Member.Name+": "+what)
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("member %s: %w", s.Member.Name, err)
		}
	}
	return strings.Join(seen, "; "), nil
}

// down says how it is seen that a member is down: its processes are gone and its
// address refuses connections.
func (s subject) down(ctx context.Context, ctl topology.Control, killed []proc.ID, childrenMayListen bool) (string, error) {
	if err := gone(killed); err != nil {
		return "", err
	}
	st, err := ctl.Status(ctx)
	if err != nil {
		return "", err
	}
	said := "its control says: " + st.Detail
	if len(killed) > 0 {
		said = fmt.Sprintf("process %d is gone from /proc", killed[0].PID)
		if more := len(killed) - 1; more > 0 {
			said += fmt.Sprintf(" with %d below it", more)
		}
	}
	if st.Running && !(childrenMayListen && s.had(st.PIDs)) {
		return restarted(said, killed, st)
	}
	if s.Manners.Answers == absent {
		return said + " (its address could not be reached before, either)", nil
	}
	err = refused(ctx, s.Member.Address)
	switch {
	case err == nil:
		return said + ", " + s.Member.Address + " refuses connections", nil
	case childrenMayListen:
		return fmt.Sprintf("%s, but %v", said, err), nil
	}
	return "", err
}

// had tells whether the main one of the processes is one that the member had
// before: a child that its control takes for the main process now.
func (s subject) had(pids []int) bool {
	now := identify(pids)
	return len(now) > 0 && slices.Contains(s.Processes, now[0].ID)
}

// restarted tells a member that runs again from one that still runs.
func restarted(said string, killed []proc.ID, st topology.Status) (string, error) {
	if len(killed) == 0 || len(st.PIDs) == 0 {
		return "", errors.New("it runs: " + st.Detail)
	}
	now, err := proc.Read(st.PIDs[0])
	if err != nil {
		return "", err
	}
	if now.Start < killed[0].Start {
		return "", errors.New("it runs: " + st.Detail)
	}
	return fmt.Sprintf("%s; a supervisor has already started process %d in its place, so no refused connection was seen", said, now.PID), nil
}
