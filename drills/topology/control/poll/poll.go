// Package poll waits for something to become true.
package poll

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// permanent is an error that more waiting cannot cure.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Stop marks an error of Until's condition that more waiting cannot cure.
func Stop(err error) error { return permanent{err} }

// Until calls cond at once and then every interval until it returns nil. It ends
// with an error when cond's is marked by Stop, or when ctx does: that error wraps
// both the context's and the last one of cond, leaving out what cond says only
// because ctx ended while it was at it.
func Until(ctx context.Context, every time.Duration, cond func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		err := cond(ctx)
		if err == nil {
			return nil
		}
		if p, ok := errors.AsType[permanent](err); ok {
			return p.error
		}
		if last == nil || !over(ctx) {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// over tells whether ctx has ended, or is about to: what goes by its deadline may
// give up a moment earlier than ctx itself.
func over(ctx context.Context) bool {
	end, has := ctx.Deadline()
	return ctx.Err() != nil || has && time.Until(end) <= 0
}
