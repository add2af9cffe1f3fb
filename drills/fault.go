package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

const (
	// confirmWithin is how long a witness has to see a fault act.
	confirmWithin = 15 * time.Second
	// heldWithin is how long a fault has to say whether it is still in force.
	heldWithin = 2 * time.Second
	// defaultSlack is what a fault's time to live exceeds its planned time by.
	defaultSlack = 30 * time.Second
)

// inject makes the faults, each at its time after the baseline.
func (r *run) inject(ctx context.Context) error {
	begin := r.clock.Now()
	for _, i := range r.d.due() {
		at := begin + timeline.Offset(r.d.Plan.Faults[i].At)
		if err := r.until(ctx, at, func() bool { return false }); err != nil {
			return err
		}
		if err := r.injectOne(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// injectOne resolves the target now, prepares, journals, injects, and lets a
// witness confirm.
func (r *run) injectOne(ctx context.Context, i int) error {
	p, f := r.d.Plan.Faults[i], r.d.Faults[i]
	t, err := r.target(ctx, i)
	if err == nil {
		// Who is who may have changed since the preflight.
		err = r.d.together(i, t, r.targets)
	}
	if err != nil {
		return fmt.Errorf("%w: fault %s: %w", ErrAborted, p.Name, err)
	}
	u, err := f.Injector.Prepare(ctx, t)
	if err != nil {
		return fmt.Errorf("%w: fault %s: prepare: %w", ErrAborted, p.Name, err)
	}
	if err := r.intendRoles(f.Target.Component); err != nil {
		return err
	}
	m, err := r.intend(journal.Intent{
		Sort: sortFault, Name: p.Name, Kind: f.Kind, With: f.With, Says: u.Says, Undo: u.Data,
		ExpiresAt: time.Now().Add(t.Stay).UTC(),
	})
	if err != nil {
		return err
	}
	r.note(timeline.Injecting{Fault: p.Name, Kind: p.Kind, Targets: memberNames(t.Members), Doing: doing(f, u)})
	r.targets[i] = t
	r.board.faultOn(p, memberNames(t.Members), m.ExpiresAt)
	err = f.Injector.Inject(ctx, t, u)
	r.note(timeline.Injected{Fault: p.Name, Err: text(err)})
	if err != nil {
		return fmt.Errorf("%w: fault %s: inject: %w", ErrAborted, p.Name, err)
	}
	r.confirm(ctx, p, f, t, u)
	if p.For > 0 {
		m.until = r.clock.Now() + timeline.Offset(p.For)
	}
	return nil
}

// confirm asks the fault's witness. What nobody confirms is recorded as such:
// the verdict will be inconclusive.
func (r *run) confirm(ctx context.Context, p timeline.PlannedFault, f FaultStep, t Target, u Undo) {
	seen := timeline.Confirmed{Fault: p.Name, Err: "the fault has no witness"}
	if c, ok := f.Injector.(Confirmer); ok {
		ctx, cancel := context.WithTimeout(ctx, confirmWithin)
		defer cancel()
		by, err := c.Confirm(ctx, t, u)
		if errors.Is(err, ErrOwnWord) {
			r.caveat("fault %s: %v: %s; whether it did shows in the probes alone", p.Name, err, by)
			err = nil
		}
		seen.By, seen.Err = by, text(err)
	}
	at := r.note(seen)
	if p.Measured {
		r.effective = at
		r.board.faulted(at)
	}
}

// dueReverts undoes the faults whose own time is up.
func (r *run) dueReverts(ctx context.Context) error {
	now := r.clock.Now()
	for _, m := range r.intents() {
		if m.until > 0 && now >= m.until && !m.undone {
			if err := r.revertFault(ctx, m); err != nil {
				return fmt.Errorf("%w: %w", ErrAborted, err)
			}
		}
	}
	return nil
}

// revert undoes every fault, newest first, and then every remediation that asks
// for it: a server that a fence stopped cannot be seen to start behind a partition.
func (r *run) revert(ctx context.Context) error {
	var all []*made
	for _, sort := range []string{sortFault, sortRemedy} {
		for _, m := range slices.Backward(r.intents()) {
			if m.Sort == sort {
				all = append(all, m)
			}
		}
	}
	for _, err := range undoAll(all, func(m *made) error { return r.revertFault(ctx, m) }) {
		r.leftover(err)
	}
	return nil
}

// undoAll undoes one after the other and returns the errors that remain. What
// fails is tried again as long as anything else succeeds: it may have been in the
// way.
func undoAll[T any](all []T, undo func(T) error) []error {
	for {
		var failed []T
		var errs []error
		for _, x := range all {
			if err := undo(x); err != nil {
				failed, errs = append(failed, x), append(errs, err)
			}
		}
		if len(failed) == 0 || len(failed) == len(all) {
			return errs
		}
		all = failed
	}
}

func (r *run) revertFault(ctx context.Context, m *made) error {
	if m.undone {
		return nil
	}
	if m.Sort == sortFault {
		r.held(ctx, m)
		r.note(timeline.Reverting{Fault: m.Name})
	}
	err := r.reverse(ctx, m, undoer{plugins: r.o.Plugins})
	if m.Sort == sortFault {
		r.note(timeline.Reverted{Fault: m.Name, Outcome: m.outcome, Err: text(err)})
		r.board.faultOff(m.Name)
	}
	return err
}

// held asks a fault that can tell whether it was in force until now.
func (r *run) held(ctx context.Context, m *made) {
	inj, err := r.o.Plugins.Injectors.Build(m.Kind, m.With)
	h, ok := inj.(Holder)
	if err != nil || !ok {
		return // the revert will say what is wrong
	}
	ctx, cancel := context.WithTimeout(ctx, heldWithin)
	defer cancel()
	r.note(timeline.Held{Fault: m.Name, Err: text(h.Held(ctx, Undo{Says: m.Says, Data: m.Undo}))})
}

// doing is what a fault does, for people: its kind, its parameters, its undo.
func doing(f FaultStep, u Undo) string {
	with := ""
	if len(f.With) > 0 && string(f.With) != "{}" && json.Valid(f.With) {
		with = " " + string(f.With)
	}
	return fmt.Sprintf("%s%s; undo: %s", f.Kind, with, u.Says)
}

func memberNames(ms []*topology.Member) []string {
	names := make([]string, len(ms))
	for i, m := range ms {
		names[i] = m.Name()
	}
	return names
}

// text is an error's message on one line, "" for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
