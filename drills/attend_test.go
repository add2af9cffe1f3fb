package drills_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/verdict"
)

// lapsing is a world whose fault ends by itself, some time after it was made, and
// leaves the service down: what made it has died.
type lapsing struct {
	*world
	after time.Duration
	made  time.Time
}

// Inject implements drills.Injector.
func (l *lapsing) Inject(ctx context.Context, t drills.Target, u drills.Undo) error {
	l.made = time.Now()
	return l.world.Inject(ctx, t, u)
}

// Revert implements drills.Injector.
func (l *lapsing) Revert(ctx context.Context, u drills.Undo) error {
	l.set(func() { l.down = false })
	return l.world.Revert(ctx, u)
}

// Held implements drills.Holder.
func (l *lapsing) Held(context.Context, drills.Undo) error {
	if time.Since(l.made) > l.after {
		return errors.New("the fault point does not answer")
	}
	return nil
}

// A fault that has lapsed is noticed at once, and what it left is put back: nobody
// waits for the drill's longest time, with the service down.
func TestFaultThatHasLapsedEndsTheDrill(t *testing.T) {
	l := &lapsing{world: &world{noRemedy: true}, after: 3 * time.Second}
	var longest time.Duration
	res, clean := l.run(t, func(d *drills.Drill, o *drills.Options) {
		o.Plugins.Injectors = kind.Of("fault", kind.New("break", "", struct{}{}, func(struct{}) (drills.Injector, error) { return l, nil }))
		d.Faults[0].Injector = l
		longest = d.Plan.Longest
	})
	assert.True(t, clean)
	assert.Equal(t, verdict.Inconclusive, res.Verdict, res.Reasons)
	assert.Contains(t, res.Reasons[0], "fault break was not in force until it was reverted: the fault point does not answer")
	assert.Contains(t, res.Caveats, "the drill did not wait any longer, as nothing can be concluded: fault break is not in force any more: the fault point does not answer")
	took := res.FinishedAt.Sub(l.made)
	assert.Less(t, took, 10*time.Second)
	assert.Less(t, took, longest/2)
}
