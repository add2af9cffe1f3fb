package drills

import (
	"context"
	"errors"
	"os"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
)

// watchEvery is how often the watchdog looks for faults past their time to live.
const watchEvery = 250 * time.Millisecond

// Watchdog stands by a run from a process of its own. When the runner dies, the
// kernel releases its lock: the watchdog takes it and recovers. While the runner
// lives but hangs, faults past their time to live are undone all the same. ready
// is called once it stands by. It returns what it recovered, if anything.
func Watchdog(ctx context.Context, home, path string, plugins Catalogues, ready func()) (Recovery, error) {
	s, err := journal.Read(path)
	if err != nil {
		return Recovery{}, err
	}
	type held struct {
		l   *lock
		err error
	}
	locked := make(chan held, 1)
	go func() {
		l, err := takeLock(home, s.Header.Topology, true)
		locked <- held{l, err}
	}()
	ready()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return Recovery{}, context.Cause(ctx)
		case h := <-locked:
			if h.err != nil {
				return Recovery{}, h.err
			}
			defer h.l.release()
			if s, err := journal.Read(path); errors.Is(err, os.ErrNotExist) || err == nil && s.Left {
				return Recovery{}, nil // the runner ended by itself
			}
			return recoverLocked(ctx, path, plugins, "the watchdog")
		case <-tick.C:
			expire(ctx, path, plugins)
		}
	}
}

// expire undoes the faults that are past their time to live, though the runner
// lives: it hangs, or it would have undone them.
func expire(ctx context.Context, path string, plugins Catalogues) {
	s, err := journal.Read(path)
	if err != nil {
		return
	}
	for _, i := range s.Pending {
		if i.ExpiresAt.IsZero() || time.Now().Before(i.ExpiresAt) {
			continue
		}
		outcome := revertOutcome(undoer{plugins: plugins}.undoWithin(ctx, i))
		if outcome == timeline.RevertFailed {
			continue // tried again at the next tick, and by the runner
		}
		if j, err := journal.Open(path); err == nil {
			_ = j.Done(i.ID, outcome, "the watchdog") // a line that is missing means one more harmless undo
		}
	}
}
