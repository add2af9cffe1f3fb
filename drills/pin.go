package drills

import (
	"context"
	"fmt"
	"slices"
)

// pin has everything that the drill may touch mean, for its runner and for whoever
// comes after, what it means now: a context that comes to lead to another cluster must
// not have things put back there.
func (r *run) pin(ctx context.Context) error {
	all := r.d.Components()
	for _, s := range r.d.Remedies {
		if c := s.Target.Component; c != nil && !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	for _, c := range all {
		if err := c.Pin(ctx); err != nil {
			return fmt.Errorf("component %s: %w", c.Name(), err)
		}
	}
	return nil
}
