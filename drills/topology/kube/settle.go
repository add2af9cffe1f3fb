package kube

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"firedrill/drills/topology"
)

// settleEvery is how often a component that comes back is looked at.
const settleEvery = 200 * time.Millisecond

// refusedWithin is how long credentials may be refused: a token may just be replaced
// by a fresh one, but who has none is not waited for.
const refusedWithin = 10 * time.Second

// settle looks until the component is back, for so long at most.
func settle(ctx context.Context, name string, within time.Duration, look func(context.Context) (topology.Restored, error)) (topology.Restored, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var last error
	began := time.Now()
	for {
		out, err := look(ctx)
		if err == nil {
			return out, nil
		}
		if apierrors.IsUnauthorized(err) && time.Since(began) > refusedWithin {
			return out, fmt.Errorf("restore %s: %w", name, err)
		}
		if deadline, _ := ctx.Deadline(); time.Until(deadline) > settleEvery/2 || last == nil {
			last = err // that of a look that was cut short says less
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return out, fmt.Errorf("restore %s: not back after %s: %w", name, within, last)
		}
	}
}
