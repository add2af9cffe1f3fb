package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// occupied are the locks on platforms that a run holds.
type occupied struct {
	stop  []func()
	mu    sync.Mutex
	taken error
}

// lost returns an error once another run has one of the locks.
func (o *occupied) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.taken
}

// lockUndo is all that another process needs to release a platform's lock.
type lockUndo struct {
	Component topology.ComponentSpec `json:"component"`
	RunID     string                 `json:"run_id"`
}

const (
	// renewEvery is how often a platform's lock is renewed; a lock expires after many
	// times that.
	renewEvery = 2 * time.Second
	// renewWithin bounds one renewal.
	renewWithin = 10 * time.Second
)

// Privileges are what the drill's plug-ins need to be allowed to do on the platform
// of a component.
func (d *Drill) Privileges(c *topology.Component) (all []topology.Privilege) {
	add := func(of *topology.Component, plugin any) {
		if p, ok := plugin.(Privileged); ok && of == c {
			all = append(all, p.Privileges(c)...)
		}
	}
	add(c, c.Adapter)
	for _, f := range d.Faults {
		add(f.Target.Component, f.Injector)
	}
	for _, s := range d.Series {
		add(s.Component, s.Kind)
		if s.From != nil && s.From.Component == c {
			all = append(all, agentPrivileges(c)...)
		}
	}
	for _, s := range d.Remedies {
		add(s.Target.Component, s.Remedy)
	}
	return all
}

// occupy asks a component's platform whether it may be drilled, and locks it.
func (r *run) occupy(ctx context.Context, c *topology.Component) error {
	p, ok := c.Adapter.(topology.Platform)
	if !ok {
		return nil
	}
	if err := p.Admit(ctx, r.d.Privileges(c)); err != nil {
		return fmt.Errorf("component %s: %w", c.Name(), err)
	}
	data, err := json.Marshal(lockUndo{Component: c.Spec, RunID: r.o.RunID})
	if err != nil {
		return err
	}
	if _, err := r.intend(journal.Intent{
		Sort: sortLock, Name: c.Name(), Kind: c.Spec.Kind, Undo: data, Says: "release the drill lock of " + c.Name(),
	}); err != nil {
		return err
	}
	if err := p.Lock(ctx, r.o.RunID); err != nil {
		return fmt.Errorf("component %s: %w", c.Name(), err)
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.renew(renewing, c, p)
	}()
	r.locks.stop = append(r.locks.stop, func() { stop(); <-ended })
	return nil
}

// renew keeps a lock until ctx ends. A platform that does not answer is asked again,
// which is recorded: it may have been busy with more than the drill's fault. A lock
// that somebody else has ends the drill.
func (r *run) renew(ctx context.Context, c *topology.Component, p topology.Platform) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, renewWithin)
		err := p.Lock(within, r.o.RunID)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !away:
			r.note(timeline.PlatformAway{Component: c.Name(), Err: text(err)})
		case err == nil && away:
			r.note(timeline.PlatformBack{Component: c.Name()})
		}
		away = err != nil
		if errors.Is(err, topology.ErrLocked) {
			r.locks.mu.Lock()
			r.locks.taken = fmt.Errorf("component %s: %w", c.Name(), err)
			r.locks.mu.Unlock()
			return
		}
	}
}

// rest ends the renewals: a lock that is not released then expires.
func (r *run) rest() {
	for _, stop := range r.locks.stop {
		stop()
	}
	r.locks.stop = nil
}

// leave releases the locks, last of all.
func (r *run) leave(ctx context.Context) (err error) {
	r.rest()
	for _, m := range slices.Backward(r.intents()) {
		if !m.undone && m.Sort == sortLock {
			err = errors.Join(err, r.reverse(ctx, m, undoer{plugins: r.o.Plugins}))
		}
	}
	return err
}

// unlock releases a platform's lock from what the journal says.
func (u undoer) unlock(ctx context.Context, i journal.Intent) error {
	var lu lockUndo
	if err := json.Unmarshal(i.Undo, &lu); err != nil {
		return fmt.Errorf("undo %s: %w", i.Name, err)
	}
	c, err := u.plugins.Topology.OpenComponent(lu.Component, nil)
	if err != nil {
		return err
	}
	p, ok := c.Adapter.(topology.Platform)
	if !ok {
		return fmt.Errorf("undo %s: component kind %s has no lock", i.Name, i.Kind)
	}
	return p.Unlock(ctx, lu.RunID)
}

// watchMembers records how members come and go, for components that can tell.
func (r *run) watchMembers(ctx context.Context) {
	for _, c := range r.d.Components() {
		w, ok := c.Adapter.(topology.Watching)
		if !ok {
			continue
		}
		r.probe.ended.Go(func() {
			err := w.Watch(ctx, func(ch topology.Change) {
				seen := timeline.MemberChanged{
					Component: c.Name(), Member: ch.Member, What: ch.What, Detail: ch.Detail, Lag: ch.Lag,
				}
				if !ch.Stamp.IsZero() {
					seen.Stamp = &ch.Stamp
				}
				r.note(seen)
			})
			if err != nil && ctx.Err() == nil {
				r.caveat("how the members of %s came and went is not known: %v", c.Name(), err)
			}
		})
	}
}
