package drills_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/verdict"
)

// platform is the world on a platform that has a lock.
type platform struct {
	*world
	locked, unlocked atomic.Int32
	// lock is what the lock says from the second time on; admit what Admit does.
	lock, admit atomic.Pointer[error]
}

func (p *platform) Admit(context.Context, []topology.Privilege) error { return load(&p.admit) }

func (p *platform) Lock(context.Context, string) error {
	if p.locked.Add(1) > 1 {
		return load(&p.lock)
	}
	return nil
}

func (p *platform) Unlock(context.Context, string) error { p.unlocked.Add(1); return nil }

func load(e *atomic.Pointer[error]) error {
	if err := e.Load(); err != nil {
		return *err
	}
	return nil
}

// onPlatform puts the world on the platform. The drills run in bubbles: a renewal that
// goes on when its run has ended fails the test.
func onPlatform(p *platform) func(d *drills.Drill, o *drills.Options) {
	return func(d *drills.Drill, o *drills.Options) {
		o.Plugins.Topology.Components = kind.Of("component", kind.New("svc", "", struct{}{}, func(struct{}) (topology.NewAdapter, error) {
			return func(*topology.Component) (topology.Adapter, error) { return p, nil }, nil
		}))
		d.Topology.Components[0].Adapter = p
	}
}

func TestPlatformIsLockedAndReleased(t *testing.T) {
	p := &platform{world: &world{}}
	res, clean := p.run(t, onPlatform(p))
	assert.True(t, clean)
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	assert.Greater(t, p.locked.Load(), int32(2), "the lock is renewed")
	assert.Equal(t, int32(1), p.unlocked.Load())
}

// A dirty run keeps others away, and does nothing any more.
func TestDirtyRunKeepsItsLock(t *testing.T) {
	p := &platform{world: &world{revertErr: errors.New("permission denied")}}
	res, clean := p.run(t, onPlatform(p))
	assert.False(t, clean)
	assert.Equal(t, verdict.Dirty, res.Verdict)
	assert.Zero(t, p.unlocked.Load())
}

func TestPlatformThatMustNotBeDrilled(t *testing.T) {
	p := &platform{world: &world{}}
	err := errors.New("it is marked protected")
	p.admit.Store(&err)
	res, clean := p.run(t, onPlatform(p))
	assert.True(t, clean)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "it is marked protected")
	assert.Zero(t, p.locked.Load())
	assert.Contains(t, res.Sentence, "nothing was touched")
}

// What heals while the platform is away is not the answer to the fault alone; a lock
// that somebody else has ends the drill.
func TestPlatformAmidADrill(t *testing.T) {
	away := errors.New("connection refused")
	p := &platform{world: &world{}}
	p.lock.Store(&away)
	res, clean := p.run(t, onPlatform(p))
	assert.True(t, clean)
	assert.Equal(t, verdict.Inconclusive, res.Verdict)
	assert.Contains(t, res.Reasons[0], "the platform of svc did not answer in phase ")

	p = &platform{world: &world{healsIn: 20 * time.Second, noRemedy: true}}
	p.lock.Store(&topology.ErrLocked)
	res, clean = p.run(t, onPlatform(p))
	assert.True(t, clean)
	require.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "locked by another drill")
}
