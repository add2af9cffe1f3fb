package drills

import (
	"context"
	"fmt"
	"time"
)

// guardEvery is how often the guard looks, and how long samples wait in memory.
const guardEvery = 50 * time.Millisecond

// guard ends the drill when a stop condition holds, or when the record cannot be
// written any more: an unrecorded drill proves nothing.
func (r *run) guard(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(guardEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := r.mustStop(); err != nil {
				cancel(fmt.Errorf("%w: %w", ErrAborted, err))
			}
		}
	}()
	return ctx, func() { cancel(nil); <-ended }
}

func (r *run) mustStop() error {
	if err := r.unrecorded(); err != nil {
		return err
	}
	if err := r.locks.lost(); err != nil {
		return err
	}
	for _, s := range r.d.Stops {
		if d := r.board.outage(s.Probe); d >= s.Outage && d > 0 {
			return fmt.Errorf("stop condition: probe %s has been failing for %s (limit %s)", s.Probe, d.Round(time.Millisecond), s.Outage)
		}
	}
	return nil
}
