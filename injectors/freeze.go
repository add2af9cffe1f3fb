package injectors

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology/control/proc"
)

// freezeLimit bounds a freeze. Processes stop within microseconds, unless one is
// in an uninterruptible sleep; that one cannot fork either.
const freezeLimit = 500 * time.Millisecond

// freeze stops the processes, parents before children, and looks again until all
// are seen stopped and no new one has turned up: after that, none can fork and
// escape. It returns all that it stopped, in that order, even on an error.
func freeze(roots []proc.Process) ([]proc.Process, error) {
	var frozen []proc.Process
	done := map[proc.ID]bool{}
	end := time.Now().Add(freezeLimit)
	for {
		all, err := proc.All()
		if err != nil {
			return frozen, err
		}
		state := map[proc.ID]byte{}
		for _, p := range all {
			state[p.ID] = p.State
		}
		settled := true
		for _, p := range proc.Grow(all, living(slices.Concat(roots, frozen), state)) {
			if done[p.ID] {
				settled = settled && (p.Stopped() || p.State == 'D')
				continue
			}
			settled = false
			if err := p.Signal(unix.SIGSTOP); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return frozen, err
			}
			done[p.ID] = true
			frozen = append(frozen, p)
		}
		if settled {
			return frozen, nil
		}
		if time.Now().After(end) {
			return frozen, fmt.Errorf("processes %s do not stop, or keep making new ones", numbers(frozen))
		}
	}
}

// living brings the roots' state up to date and leaves out those that ended.
func living(roots []proc.Process, state map[proc.ID]byte) []proc.Process {
	var out []proc.Process
	for _, r := range roots {
		if s, ok := state[r.ID]; ok {
			r.State = s
			out = append(out, r)
		}
	}
	return out
}

// thaw lets processes go on.
func thaw(ps []proc.ID) error {
	var errs []error
	for _, p := range ps {
		if err := p.Signal(unix.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func ids(ps []proc.Process) []proc.ID {
	out := make([]proc.ID, len(ps))
	for i, p := range ps {
		out[i] = p.ID
	}
	return out
}

// numbers lists processes for people, the first few of them.
func numbers(ps []proc.Process) string {
	var b strings.Builder
	for i, p := range ps {
		if i == 5 {
			fmt.Fprintf(&b, " and %d more", len(ps)-i)
			break
		}
		fmt.Fprintf(&b, " %d", p.PID)
	}
	return strings.TrimSpace(b.String())
}
