package mysql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"firedrill/drills/topology"
)

const (
	// settle is how long re-admitted members may take to replicate.
	settle = 15 * time.Second
	// drainWithin is how long the chosen primary may take to apply what it received.
	drainWithin = 60 * time.Second
	// patience is how long a component that heals itself may take before it is helped.
	patience = 10 * time.Second
)

// restoring is one Restore under way.
type restoring struct {
	*adapter
	k    *Cluster
	keep topology.State

	mu   sync.Mutex
	note func(topology.Step)
	out  topology.Restored
}

// Restore implements topology.Adapter. It works from what the servers say now:
// whatever was under way when a runner died makes no difference.
func (a *adapter) Restore(ctx context.Context, keep topology.State, note func(topology.Step)) (topology.Restored, error) {
	k, err := OpenCluster(a.c)
	if err != nil {
		return topology.Restored{}, err
	}
	defer k.Close()
	r := &restoring{adapter: a, k: k, keep: keep, note: note}
	r.out.KeptOut, r.out.Errant = map[string]string{}, map[string]string{}
	err = r.do(ctx)
	if r.out.State.Members == nil {
		r.out.State = a.describe(ctx, k, k.Look(ctx))
	}
	return r.out, err
}

func (r *restoring) do(ctx context.Context) error {
	p := r.look(ctx)
	for _, s := range p {
		if !s.Up() {
			why := "it does not answer: " + Problem(r.cfg, s.Server.Address(), s.Err)
			r.out.KeptOut[s.Name()] = why
			r.step("look", s.Node, why, nil)
		}
	}
	choice, ok := Decide(r.k.candidates(p, r.keep))
	if !ok {
		return fmt.Errorf("restore %s: no member answers: %v", r.c.Name(), r.out.KeptOut)
	}
	primary := p.Of(r.k.Node(choice.Name))
	r.step("choose primary", primary.Node, choice.Says(), nil)
	if err := r.fence(ctx, p, primary.Node); err != nil {
		return err
	}
	if err := r.open(ctx, p, primary); err != nil {
		return err
	}
	errs := Parallel(r.k.followers(p, primary.Node), func(n *Node) error { return r.admit(ctx, n, primary.Node) })
	errs[""] = Route(ctx, r.c, choice.Name, r.say)
	errs[" "] = r.verify(ctx, primary.Node)
	return joined(errs)
}

// look asks everybody, and those who take writes once more: a busy primary would
// seem to lack what its replicas received since.
func (r *restoring) look(ctx context.Context) Picture {
	p := r.k.Look(ctx)
	if r.c.Spec.Failover == "automatic" {
		p = r.wait(ctx, p)
	}
	return r.k.refresh(ctx, p)
}

func (k *Cluster) refresh(ctx context.Context, p Picture) Picture {
	var open []*Node
	for _, s := range k.Writable(p) {
		open = append(open, s.Node)
	}
	if len(open) == 0 {
		return p
	}
	again := k.Look(ctx, open...)
	for i := range p {
		if slices.Contains(open, p[i].Node) {
			p[i] = again.Of(p[i].Node)
		}
	}
	return p
}

// wait gives a component that heals itself the time to do so.
func (r *restoring) wait(ctx context.Context, p Picture) Picture {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !r.k.whole(p) && pause(ctx, 100*time.Millisecond) == nil {
		p = r.k.Look(ctx)
	}
	return p
}

// whole tells whether one member takes writes and all others follow it.
func (k *Cluster) whole(p Picture) bool {
	open := k.Writable(p)
	if len(open) != 1 {
		return false
	}
	for _, s := range p {
		if s.Node != open[0].Node && (!s.Up() || !s.State.Link.Whole() || k.Source(p, s) != open[0].Node) {
			return false
		}
	}
	return true
}

// fence closes every other member that takes writes, before the chosen one opens.
func (r *restoring) fence(ctx context.Context, p Picture, primary *Node) error {
	var open []*Node
	for _, s := range p.Up() {
		if s.Node != primary && !s.State.ReadOnly {
			open = append(open, s.Node)
		}
	}
	return joined(Parallel(open, func(n *Node) error {
		how, err := r.k.Fence(ctx, n)
		r.step("fence", n, how, err)
		return err
	}))
}

// open makes the chosen member take writes, unless it does.
func (r *restoring) open(ctx context.Context, p Picture, s Seen) error {
	follows := r.k.Source(p, s) != nil
	semiSync := r.semiSync() && !s.State.SemiSync.Source
	if !s.State.ReadOnly && !follows && !semiSync {
		return nil
	}
	if follows {
		if _, err := r.k.Freeze(ctx, s.Node); err != nil {
			r.step("freeze", s.Node, "", err)
			return err
		}
		err := r.k.Drain(ctx, s.Node, drainWithin)
		r.step("drain relay log", s.Node, "", err)
		if err != nil {
			return err
		}
	}
	err := r.k.Promote(ctx, s.Node, semiSync)
	r.step("open for writes", s.Node, "", err)
	return err
}

// semiSync tells whether the primary's commits waited for a replica before.
func (r *restoring) semiSync() bool {
	for _, m := range r.keep.Members {
		if m.Role == topology.Primary && m.Facts["semi_sync_source"] == "ON" {
			return true
		}
	}
	return false
}

// followers are the nodes that answered, without the primary.
func (k *Cluster) followers(p Picture, primary *Node) []*Node {
	var out []*Node
	for _, s := range p.Up() {
		if s.Node != primary {
			out = append(out, s.Node)
		}
	}
	return out
}

// step notes a step; err may be nil.
func (r *restoring) step(name string, n *Node, detail string, err error) {
	s := topology.Step{Name: name, Detail: detail}
	if n != nil {
		s.Member = n.Name()
	}
	if err != nil {
		s.Err = err.Error()
	}
	r.say(s)
}

func (r *restoring) say(s topology.Step) {
	if r.note == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(s)
}

// joined makes one error of several, in the order of the names.
func joined(errs map[string]error) error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		all = append(all, errs[name])
	}
	return errors.Join(all...)
}
