package injectortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
)

// life is one life cycle of a fault.
type life struct {
	Case
	t     *testing.T
	r     *rand.Rand
	undo  drills.Undo
	story []string
	// died tells that the target died of something else.
	died bool
}

// patience bounds every step that is to succeed.
const patience = 30 * time.Second

// moment is the longest time after which a step is cut short: about as long as
// most take.
const moment = 25 * time.Millisecond

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

func (l *life) chance(p float64) bool { return l.r.Float64() < p }

// live goes through one life cycle.
func (l *life) live() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 4*patience)
	defer cancel()
	l.prepare(ctx)
	if l.chance(0.15) {
		l.notConfirmed("confirm before inject")
	}
	if l.chance(0.25) {
		l.revert(ctx, "revert before inject")
	}
	l.maybeDie(ctx, 0.1)
	if l.chance(0.9) {
		l.inject(ctx)
	}
	l.maybeDie(ctx, 0.15)
	for l.chance(0.35) {
		l.interrupted(ctx)
	}
	l.revert(ctx, "revert")
	l.asBefore(ctx)
	l.revert(ctx, "revert again")
	l.asBefore(ctx)
	if !l.Event && l.chance(0.1) {
		l.notConfirmed("confirm after revert")
	}
}

// fresh makes the injector as another process would: from the catalogue.
func (l *life) fresh() drills.Injector {
	l.t.Helper()
	i, err := l.Catalogue.Build(l.Kind, json.RawMessage(l.With))
	require.NoError(l.t, err)
	return i
}

func (l *life) target() drills.Target {
	l.t.Helper()
	t, err := l.Target()
	require.NoError(l.t, err)
	return t
}

// prepare keeps of the undo what a journal does, and sees to it that nothing was
// changed.
func (l *life) prepare(ctx context.Context) {
	l.t.Helper()
	u, err := l.fresh().Prepare(ctx, l.target())
	require.NoError(l.t, err, "prepare")
	assert.NotEmpty(l.t, u.Says)
	b, err := json.Marshal(u)
	require.NoError(l.t, err)
	require.NoError(l.t, json.Unmarshal(b, &l.undo))
	assert.Equal(l.t, u, l.undo, "the undo outlives the journal unchanged")
	l.tell("prepare")
	if l.chance(0.1) {
		l.asBefore(ctx)
	}
}

// inject makes the fault: to the end, or cut short, or in a process that is
// killed at it.
func (l *life) inject(ctx context.Context) {
	l.t.Helper()
	switch p := l.r.Float64(); {
	case p < 0.3:
		short := l.short(ctx)
		err := l.fresh().Inject(short.ctx, l.target(), l.undo)
		short.cancel()
		l.tell("inject for %s: %v", short.after, err)
	case p < 0.55 && l.Worker != nil:
		after := l.instant()
		l.tell("inject in a process killed after %s", after)
		l.kill(ctx, "inject", after)
	default:
		err := l.fresh().Inject(ctx, l.target(), l.undo)
		l.tell("inject: %v", err)
		if l.died {
			return
		}
		require.NoError(l.t, err, "inject")
		assert.NoError(l.t, l.Faulted(ctx), "faulted: %v", l.story)
		l.confirmed(ctx)
	}
}

// confirmed asks the witness of a fault that acts.
func (l *life) confirmed(ctx context.Context) {
	l.t.Helper()
	c, ok := l.fresh().(drills.Confirmer)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	by, err := c.Confirm(ctx, l.target(), l.undo)
	l.tell("confirm: %s %v", by, err)
	require.NoError(l.t, err, "confirm")
	assert.NotEmpty(l.t, by, "a witness says what it saw")
}

// notConfirmed asks the witness of a fault that is not there.
func (l *life) notConfirmed(when string) {
	l.t.Helper()
	c, ok := l.fresh().(drills.Confirmer)
	if !ok || l.died {
		return
	}
	ctx, cancel := context.WithTimeout(l.t.Context(), 4*moment)
	defer cancel()
	by, err := c.Confirm(ctx, l.target(), l.undo)
	l.tell("%s: %s %v", when, by, err)
	assert.Error(l.t, err, "%s: a fault that is not there was confirmed: %s", when, by)
}

// interrupted begins a revert that does not come to its end.
func (l *life) interrupted(ctx context.Context) {
	if l.Worker != nil && l.chance(0.4) {
		after := l.instant()
		l.tell("revert in a process killed after %s", after)
		l.kill(ctx, "revert", after)
		return
	}
	short := l.short(ctx)
	defer short.cancel()
	err := l.fresh().Revert(short.ctx, l.undo)
	l.tell("revert for %s: %v", short.after, err)
	if err == nil && (!l.died || l.Heal == nil) {
		require.NoError(l.t, l.Healthy(ctx), "a revert that ends without an error has proven it: %v", l.story)
	}
}

// revert undoes the fault, from the catalogue and the journal alone.
func (l *life) revert(ctx context.Context, what string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if l.Worker != nil && l.chance(0.2) {
		what += " in another process"
		err = l.work(ctx, "revert")
	} else {
		err = l.fresh().Revert(ctx, l.undo)
	}
	l.tell("%s: %v", what, err)
	if l.died && errors.Is(err, drills.ErrGone) {
		return
	}
	assert.NoError(l.t, err, "%s: %v", what, l.story)
}

// maybeDie has the target die of something else.
func (l *life) maybeDie(ctx context.Context, p float64) {
	l.t.Helper()
	if l.Die == nil || !l.chance(p) {
		return
	}
	require.NoError(l.t, l.Die(ctx), "die")
	l.died = true
	l.tell("die")
}

// asBefore sees to it that nothing of the fault is left.
func (l *life) asBefore(ctx context.Context) {
	l.t.Helper()
	if l.died && l.Heal != nil {
		require.NoError(l.t, l.Heal(ctx), "heal")
		l.tell("heal")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	require.NoError(l.t, l.Healthy(ctx), "healthy: %v", l.story)
	if l.Leftovers == nil {
		return
	}
	left, err := l.Leftovers()
	require.NoError(l.t, err)
	assert.Empty(l.t, left, "left behind: %v", l.story)
}

// short is a context that ends at a random instant.
type short struct {
	ctx    context.Context
	cancel context.CancelFunc
	after  time.Duration
}

func (l *life) short(ctx context.Context) short {
	s := short{after: l.instant()}
	s.ctx, s.cancel = context.WithTimeout(ctx, s.after)
	return s
}

func (l *life) instant() time.Duration { return time.Duration(l.r.Int64N(int64(moment))) }
