package injectors

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// ProcessKillSpec kills the processes of members on the runner's own host.
type ProcessKillSpec struct {
	// Signal is what they are sent.
	Signal string `json:"signal,omitempty"`
	// Scope is "tree", the main process with all its descendants at one stroke, or
	// "main", the main process alone.
	Scope string `json:"scope,omitempty" jsonschema:"enum=tree,enum=main"`
}

var processKillDefaults = ProcessKillSpec{Signal: "KILL", Scope: "tree"}

type processKill struct {
	kinds  topology.Kinds
	signal unix.Signal
	tree   bool
}

func newProcessKill(k topology.Kinds) func(ProcessKillSpec) (drills.Injector, error) {
	return func(s ProcessKillSpec) (drills.Injector, error) {
		signal, err := control.Signal(s.Signal)
		if err != nil {
			return nil, fmt.Errorf("signal: %w", err)
		}
		if s.Scope != "tree" && s.Scope != "main" {
			return nil, fmt.Errorf("scope: %q: want tree or main", s.Scope)
		}
		return &processKill{kinds: k, signal: signal, tree: s.Scope == "tree"}, nil
	}
}

// Prepare needs every member to run, with a control that sees its processes.
func (f *processKill) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	return prepareProcesses(ctx, f.kinds, t, "start %s again unless it runs")
}

// prepareProcesses looks at members whose processes must be seen.
func prepareProcesses(ctx context.Context, k topology.Kinds, t drills.Target, says string) (drills.Undo, error) {
	ss, err := look(ctx, k, specs(t.Members))
	if err != nil {
		return drills.Undo{}, err
	}
	var names []string
	for _, s := range ss.Members {
		if len(s.Processes) == 0 {
			return drills.Undo{}, fmt.Errorf("member %s: its control cannot see its processes on this host: use process-stop, systemd-stop or exec", s.Member.Name)
		}
		names = append(names, s.Member.Name)
	}
	return ss.undo(fmt.Sprintf(says, strings.Join(names, ", ")))
}

// Inject kills all members' processes. SIGKILL to a tree comes after the whole
// tree was stopped, so that nothing forks and escapes; once begun, that is
// finished whatever becomes of ctx.
func (f *processKill) Inject(ctx context.Context, t drills.Target, _ drills.Undo) error {
	ps, err := f.processes(ctx, t)
	if err != nil {
		return err
	}
	if !f.tree || f.signal != unix.SIGKILL {
		return f.send(ps)
	}
	frozen, err := freeze(ps)
	if err != nil {
		return errors.Join(err, thaw(ids(frozen)))
	}
	return f.send(frozen)
}

// processes returns what is to be signalled.
func (f *processKill) processes(ctx context.Context, t drills.Target) ([]proc.Process, error) {
	members, err := running(ctx, t)
	if f.tree || err != nil {
		return slices.Concat(members...), err
	}
	var mains []proc.Process
	for _, ps := range members {
		mains = append(mains, ps[0])
	}
	return mains, nil
}

// running returns each member's processes as they are now, the main one first. It
// is where a fault whose ctx has ended gives up.
func running(ctx context.Context, t drills.Target) ([][]proc.Process, error) {
	var members [][]proc.Process
	for _, m := range t.Members {
		if m.Control == nil {
			return nil, fmt.Errorf("member %s has no control", m.Name())
		}
		st, err := m.Control.Status(ctx)
		if err != nil {
			return nil, err
		}
		ps := identify(st.PIDs)
		if len(ps) == 0 {
			return nil, fmt.Errorf("member %s does not run any more (%s)", m.Name(), st.Detail)
		}
		members = append(members, ps)
	}
	return members, ctx.Err()
}

// send signals the processes in order. A killed process takes a moment to be gone:
// that is waited for, within bounds, so that nobody finds it half dead.
func (f *processKill) send(ps []proc.Process) error {
	for _, p := range ps {
		if err := p.Signal(f.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	if f.signal != unix.SIGKILL {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return poll.Until(ctx, time.Millisecond, func(context.Context) error { return gone(ids(ps)) })
}

// gone returns nil if all processes have ended.
func gone(ps []proc.ID) error {
	for _, p := range ps {
		if p.Alive() {
			return fmt.Errorf("process %d is still there", p.PID)
		}
	}
	return nil
}

// Revert starts every member that does not run; one that somebody else has
// started again meanwhile is only looked at.
func (f *processKill) Revert(ctx context.Context, u drills.Undo) error {
	return revertSubjects(ctx, f.kinds, u, func(ctx context.Context, s subject, ctl topology.Control) error {
		if err := s.clearRemains(); err != nil {
			return err
		}
		if f.signal == unix.SIGKILL {
			return s.bringUpToStay(ctx, ctl, lookEvery)
		}
		return s.bringUpToStay(ctx, ctl, settle)
	})
}

// revertSubjects undoes a fault member by member, and goes on after an error.
func revertSubjects(ctx context.Context, k topology.Kinds, u drills.Undo, one func(context.Context, subject, topology.Control) error) error {
	ss, err := readSubjects(u)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range ss.Members {
		ctl, err := k.OpenControl(s.Member)
		if err == nil {
			err = one(ctx, s, ctl)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// clearRemains ends what is left of a member whose main process was killed: its
// children would be in the way of a new start.
func (s subject) clearRemains() error {
	if len(s.Processes) == 0 || s.Processes[0].Alive() {
		return nil
	}
	all, err := proc.All()
	if err != nil {
		return err
	}
	main := s.Processes[0].PID
	for _, p := range all {
		if p.PID == main {
			s.Leads = false // the number is somebody else's now, and the session, too
		}
	}
	recorded := map[proc.ID]bool{}
	for _, id := range s.Processes {
		recorded[id] = true
	}
	for _, p := range all {
		if recorded[p.ID] || s.Leads && p.Session == main {
			if err := p.Signal(unix.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return fmt.Errorf("end what is left of member %s: %w", s.Member.Name, err)
			}
		}
	}
	return nil
}

// Confirm has two witnesses: the processes are gone from /proc, and the member's
// address refuses connections. The second one is not to be had where a supervisor
// has started the member again already, or where children of a main process that
// was killed alone still listen.
func (f *processKill) Confirm(ctx context.Context, _ drills.Target, u drills.Undo) (string, error) {
	return confirmSubjects(ctx, f.kinds, u, func(ctx context.Context, s subject, ctl topology.Control) (string, error) {
		killed := s.Processes
		if !f.tree {
			killed = killed[:min(1, len(killed))]
		}
		return s.down(ctx, ctl, killed, !f.tree)
	})
}
