package drills

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/si"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// lookEvery is how often a wait looks when no sample comes in.
const lookEvery = 20 * time.Millisecond

// until waits until done, the deadline, a fault that has lapsed, or the end of ctx (an
// error). It looks whenever a sample comes in, and undoes faults whose own time is up.
func (r *run) until(ctx context.Context, deadline timeline.Offset, done func() bool) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for !done() && r.clock.Now() < deadline && r.lapsed() == nil {
		wait := time.NewTimer(time.Duration(deadline - r.clock.Now()))
		select {
		case <-ctx.Done():
			wait.Stop()
			return context.Cause(ctx)
		case <-r.board.changed:
		case <-tick.C:
		case <-wait.C:
		}
		wait.Stop()
		if err := r.dueReverts(ctx); err != nil {
			return err
		}
	}
	return nil
}

// heal waits for the topology to heal itself; past healAfter, if a judged series
// is failing, the runner applies the remedies. It ends when every judged series
// is stable, when the drill's longest time is over, or when a fault has lapsed.
func (r *run) heal(ctx context.Context) error {
	defer r.attend(ctx)()
	giveUp := r.effective + timeline.Offset(r.d.Plan.Longest)
	act := r.effective + timeline.Offset(r.d.Plan.HealAfter)
	failing := ""
	err := r.until(ctx, giveUp, func() bool {
		if len(r.d.Remedies) > 0 && r.clock.Now() >= act {
			failing = r.board.failing(r.effective)
		}
		return failing != "" || r.board.stable(r.effective)
	})
	if err != nil {
		return err
	}
	by := "topology"
	if failing != "" {
		by = "runner"
		r.note(timeline.Detected{Series: failing})
		r.phase(timeline.PhaseRemedy)
		within, cancel := context.WithTimeoutCause(ctx, time.Duration(giveUp-r.clock.Now()),
			fmt.Errorf("not done when the drill's longest time (%s) was over", r.d.Plan.Longest))
		defer cancel()
		switch err := r.alongside(ctx, func() error { return r.remedy(within) }); {
		case errors.Is(err, ErrAborted):
			return err // the runner's own trouble, not the remedy's
		case err != nil:
			return r.unremedied(ctx, giveUp, err)
		}
		r.phase(timeline.PhaseStabilise)
		if err := r.until(ctx, giveUp, func() bool { return r.board.stable(r.effective) }); err != nil {
			return err
		}
	}
	if !r.board.stable(r.effective) {
		by = "none"
	}
	if err := r.lapsed(); err != nil {
		r.caveat("the drill did not wait any longer, as nothing can be concluded: %s", text(err))
	}
	r.note(timeline.Healed{By: by})
	return nil
}

// unremedied waits, after a remediation that failed, for what is left of the answer:
// either it heals all the same, or the recovery time objectives are surely missed.
func (r *run) unremedied(ctx context.Context, giveUp timeline.Offset, why error) error {
	healed := func() bool { return r.board.stable(r.effective) }
	if target := r.board.awaited(r.effective); target > 0 {
		until := "the objective of " + si.Duration(target.Seconds()) + " is surely missed"
		if giveUp <= r.effective+timeline.Offset(target) {
			until = "limits.duration (" + si.Duration(r.d.Plan.Longest.Seconds()) + ") is over"
		}
		r.caveat("the remediation did not succeed; waiting until %s, Ctrl-C puts everything back now: %s", until, text(why))
		r.board.expect("put everything back once " + until + ": the remediation did not succeed (Ctrl-C: now)")
		if err := r.until(ctx, min(giveUp, r.hopeless()), func() bool { return healed() || r.board.awaited(r.effective) == 0 }); err != nil {
			return err
		}
	} else {
		r.caveat("the remediation did not succeed: %s", text(why))
	}
	by := "none"
	if healed() {
		by = "topology"
	}
	r.note(timeline.Healed{By: by})
	return nil
}

// hopeless is when every recovery time objective is decided at the latest: what was
// not stable for long enough by then has failed after its target. A sample that hangs
// tells so when it ends.
func (r *run) hopeless() timeline.Offset {
	at := r.clock.Now()
	for _, o := range r.d.Plan.Objectives {
		if o.Name == "rto" {
			at = max(at, r.effective+timeline.Offset(o.Target+r.d.Plan.Stable.For+r.longestTimeout(o.Component)))
		}
	}
	return at
}

// longestTimeout is that of the series of a component.
func (r *run) longestTimeout(component string) (longest time.Duration) {
	for _, s := range r.d.Plan.Series {
		if s.Component == component && s.Judged {
			longest = max(longest, s.Timeout)
		}
	}
	return longest
}

// alongside does something while faults whose own time is up are undone.
func (r *run) alongside(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("%w: panic: %v\n%s", ErrAborted, p, debug.Stack())
			}
		}()
		done <- do()
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var due error
	for {
		select {
		case err := <-done:
			return errors.Join(err, due)
		case <-tick.C:
			due = errors.Join(due, r.dueReverts(ctx))
		}
	}
}

// remedy applies the remedies in order; the first that fails ends it.
func (r *run) remedy(ctx context.Context) error {
	for i, step := range r.d.Remedies {
		p := r.d.Plan.Remedies[i]
		c := step.Target.Component
		log := &remedyLog{r: r, name: p.Name, step: step, from: r.note(timeline.RemedyBegan{Remedy: p.Name, Kind: p.Kind, Target: p.Target})}
		err := step.Remedy.Apply(ctx, Target{Component: c, Members: c.Members, State: r.keep[c.Name()]}, log)
		outcome := "done"
		if err != nil {
			outcome = "failed"
		}
		r.note(timeline.RemedyEnded{Remedy: p.Name, Outcome: outcome, Err: text(err)})
		if err != nil {
			return fmt.Errorf("remedy %s: %w", p.Name, err)
		}
	}
	r.lookAround(ctx)
	return nil
}

// lookAround records who is who after the remedies; it decides nothing.
func (r *run) lookAround(ctx context.Context) {
	seen := map[*topology.Component]bool{}
	for _, step := range r.d.Remedies {
		if c := step.Target.Component; !seen[c] {
			seen[c] = true
			if _, err := r.discover(ctx, c); err != nil {
				r.caveat("roles after the remedies are not known: %v", err)
			}
		}
	}
}

// remedyLog records a remedy's steps; it is used by one goroutine at a time.
type remedyLog struct {
	r    *run
	name string
	step RemedyStep
	from timeline.Offset
}

// Scope names the run and the remedy: what is sent twice can be told to be the same.
func (l *remedyLog) Scope() string { return l.r.o.RunID + "/" + l.name }

// Intend implements RemedyLog.
func (l *remedyLog) Intend(step string, u *Undo) error {
	if u == nil {
		if err := l.r.jr.Step(l.name + ": " + step); err != nil {
			return fmt.Errorf("%w: %w", ErrAborted, err)
		}
		return nil
	}
	_, err := l.r.intend(journal.Intent{
		Sort: sortRemedy, Name: l.name + ": " + step, Kind: l.step.Kind, With: l.step.With, Says: u.Says, Undo: u.Data,
	})
	return err
}

// Step implements RemedyLog.
func (l *remedyLog) Step(s topology.Step) {
	l.from = l.r.note(timeline.RemedyStep{
		Remedy: l.name, Step: s.Name, Member: s.Member, From: l.from, Detail: s.Detail, Err: s.Err,
	})
}
