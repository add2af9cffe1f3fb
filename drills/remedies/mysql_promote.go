package remedies

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/gtid"
)

// catchUp lets replicas receive the rest of a fenced primary that still answers:
// then nothing is lost. It waits for the first that has everything.
func (f *failover) catchUp(ctx context.Context, p mysql.Picture) error {
	if f.left == nil {
		return nil
	}
	return f.step("catch up", f.old.Name(), func() (string, error) {
		wait, cancel := context.WithTimeout(ctx, f.drainTimeout())
		defer cancel()
		for {
			least := gtid.Difference{}
			receiving := false
			for _, s := range f.k.Look(wait, nodes(p.Up())...) {
				if !s.Up() {
					continue
				}
				d := f.left.Subtract(s.State.Known())
				if d.None() {
					return s.Name() + " has everything that " + f.old.Name() + " has", nil
				}
				if least.None() || d.Count < least.Count {
					least = d
				}
				receiving = receiving || s.State.Link != nil && s.State.Link.Receiver
			}
			if !receiving || sleep(wait, 2*time.Millisecond) != nil {
				// Whether that is too much is for choose to say.
				return fmt.Sprintf("the replicas lack %s of %s, and do not receive it", least, f.old.Name()), ctx.Err()
			}
		}
	})
}

// freeze stops all receivers: from then on what a replica has is final. One that
// has stopped answering meanwhile is left out, as if it had been down before.
func (f *failover) freeze(ctx context.Context, p mysql.Picture) (map[*mysql.Node]mysql.State, error) {
	states := map[*mysql.Node]mysql.State{}
	err := f.step("freeze receivers", "", func() (string, error) {
		var mu sync.Mutex
		errs := mysql.Parallel(nodes(p.Up()), func(n *mysql.Node) error {
			st, err := f.k.Freeze(ctx, n)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			states[n] = st
			return nil
		})
		detail := fmt.Sprintf("%d replicas hold still", len(states))
		for name, err := range errs {
			if mysql.Answered(err) || len(states) == 0 {
				return "", joined(errs)
			}
			detail += fmt.Sprintf("; %s is left out: %v", name, err)
		}
		return detail, nil
	})
	return states, err
}

// choose takes the replica that lacks least of what anybody has, by transaction
// ids, never by lag; of equals, the one with least to apply.
func (f *failover) choose(states map[*mysql.Node]mysql.State) error {
	return f.step("choose", "", func() (string, error) {
		var fit []*mysql.Node
		var all gtid.History
		var unfit []string
		for _, n := range f.k.Nodes {
			st, ok := states[n]
			if !ok {
				continue
			}
			if why := cannotLead(st); why != "" {
				unfit = append(unfit, n.Name()+": "+why)
				continue
			}
			fit = append(fit, n)
			if all == nil {
				all = st.Known()
			}
			all = all.Union(st.Known())
		}
		if len(fit) == 0 {
			return "", fmt.Errorf("no replica can be promoted: %s", strings.Join(unfit, "; "))
		}
		if f.left != nil {
			all = all.Union(f.left)
		}
		f.best = best(fit, states, all)
		missing := all.Subtract(states[f.best].Known())
		if missing.Count > f.spec.MaxMissing {
			return "", fmt.Errorf("%s is the most advanced replica and lacks %s transactions that other members have: at most %d are allowed (maxMissing)",
				f.best.Name(), missing, f.spec.MaxMissing)
		}
		return f.says(states, all, unfit), nil
	})
}

// cannotLead says why a replica cannot be promoted; "" if it can.
func cannotLead(st mysql.State) string {
	switch {
	case !st.GTID:
		return "it does not log transactions under global ids"
	case st.Link != nil && !st.Link.AutoPosition:
		return "it replicates by file and position, which cannot be compared"
	case st.Link != nil && st.Link.ApplierError != "" && !st.Link.Applier:
		return "its applier failed: " + st.Link.ApplierError
	case !st.Stranded().None():
		return fmt.Sprintf("%s received transactions would be discarded by starting its applier", st.Stranded())
	}
	return ""
}

// best compares by what is missing of everything, then by what is left to apply.
func best(fit []*mysql.Node, states map[*mysql.Node]mysql.State, all gtid.History) *mysql.Node {
	lacks := func(n *mysql.Node) (uint64, uint64) {
		st := states[n]
		return all.Subtract(st.Known()).Count, all.Subtract(st.Executed).Count
	}
	out := fit[0]
	for _, n := range fit[1:] {
		am, aa := lacks(n)
		bm, ba := lacks(out)
		if am < bm || am == bm && aa < ba {
			out = n
		}
	}
	return out
}

func (f *failover) says(states map[*mysql.Node]mysql.State, all gtid.History, unfit []string) string {
	parts := []string{f.best.Name() + " is the most advanced"}
	for _, n := range f.k.Nodes {
		st, ok := states[n]
		if !ok {
			continue
		}
		if d := all.Subtract(st.Known()); !d.None() {
			parts = append(parts, fmt.Sprintf("%s lacks %s", n.Name(), d))
		}
	}
	if f.left == nil {
		parts = append(parts, "what only "+f.old.Name()+" has is not known")
	}
	return strings.Join(append(parts, unfit...), "; ")
}

// drain lets the chosen one apply what it received. What it had received when it
// was frozen is all that there will be.
func (f *failover) drain(ctx context.Context, frozen mysql.State) error {
	return f.step("drain relay log", f.best.Name(), func() (string, error) {
		if frozen.Applied() {
			return "everything was applied already", nil
		}
		return "", f.k.Drain(ctx, f.best, f.drainTimeout())
	})
}

// promote opens the chosen one; others is how many replicas there are besides it.
func (f *failover) promote(ctx context.Context, others int) error {
	return f.step("promote", f.best.Name(), func() (string, error) {
		detail := "read_only reads back OFF"
		// With nobody to confirm, every commit would hang.
		semiSync := f.semiSync && others > 0
		switch {
		case semiSync:
			detail += ", commits wait for a replica"
		case f.semiSync:
			detail += ", commits do not wait for a replica: none is left"
		}
		return detail, f.k.Promote(ctx, f.best, semiSync)
	})
}

// repoint begins to make the other replicas follow the chosen one; the function
// it returns waits for that and records it. A replica that cannot follow is
// recorded and left to Restore: the service does not wait for it. frozen are the
// states in which the members hold still, if they do.
func (f *failover) repoint(ctx context.Context, p mysql.Picture, frozen map[*mysql.Node]mysql.State) (func() error, error) {
	const name = "point others"
	if err := f.log.Intend(name, nil); err != nil {
		return nil, fmt.Errorf("journal step %s: %w", name, err)
	}
	others := slices.DeleteFunc(nodes(p.Up()), func(n *mysql.Node) bool { return n == f.best })
	done := make(chan map[string]error, 1)
	go func() {
		done <- mysql.Parallel(others, func(n *mysql.Node) error {
			return f.follow(ctx, n, frozen)
		})
	}()
	return func() error {
		errs := <-done
		s := topology.Step{Name: name, Member: f.best.Name(), Detail: fmt.Sprintf("%d replicas follow", len(others)-len(errs))}
		if len(errs) > 0 {
			s.Detail += "; left for later: " + joined(errs).Error()
		}
		if ctx.Err() != nil {
			s.Err = ctx.Err().Error()
		}
		f.log.Step(s)
		return ctx.Err()
	}, nil
}

// follow makes one replica follow the chosen one.
func (f *failover) follow(ctx context.Context, n *mysql.Node, frozen map[*mysql.Node]mysql.State) (err error) {
	st, known := frozen[n]
	if of := frozen[f.best]; known && st.Still() && of.Still() {
		_, err = f.k.FollowFrozen(ctx, n, f.best, st, of)
		return err
	}
	_, err = f.k.Follow(ctx, n, f.best, false)
	return err
}

func nodes(p mysql.Picture) []*mysql.Node {
	var out []*mysql.Node
	for _, s := range p {
		out = append(out, s.Node)
	}
	return out
}

func joined(errs map[string]error) error {
	var all []error
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		all = append(all, fmt.Errorf("%s: %w", name, errs[name]))
	}
	return errors.Join(all...)
}

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
