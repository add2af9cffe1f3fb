package kube

import (
	"context"
	"fmt"
	"time"

	"firedrill/drills/topology"
)

// settleEvery is how often a component that comes back is looked at.
const settleEvery = 200 * time.Millisecond

// settle looks until the component is back, for so long at most.
func settle(ctx context.Context, name string, within time.Duration, look func(context.Context) (topology.Restored, error)) (topology.Restored, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var last error
	for {
		out, err := look(ctx)
		if err == nil {
			return out, nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // that of a look that was cut short says less
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return out, fmt.Errorf("restore %s: not back after %s: %w", name, within, last)
		}
	}
}
