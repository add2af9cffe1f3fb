package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// preflightWithin bounds the preflight as a whole: each question has a bound of
// its own, but there may be many members.
const preflightWithin = 2 * time.Minute

// preflight looks before anything is touched: is every component whole, does
// every target resolve, can every fault be made and undone, would somebody be
// left to take over. Then it opens the probes and prepares the ledgers.
func (r *run) preflight(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, preflightWithin,
		fmt.Errorf("%w: preflight: not done within %s: something does not answer", ErrAborted, preflightWithin))
	defer cancel()
	if err := r.pin(ctx); err != nil {
		return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
	}
	for _, c := range r.d.Components() {
		if err := startFaultPoint(ctx, c); err != nil {
			return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
		}
		if err := r.occupy(ctx, c); err != nil {
			return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
		}
		state, err := r.discover(ctx, c)
		if err == nil {
			err = r.d.whole(ctx, c, state)
		}
		if err != nil {
			return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
		}
		r.keep[c.Name()] = state
	}
	if err := enoughFiles(r.d.Plan.Series); err != nil {
		return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
	}
	if err := r.d.survivable(r.keep); err != nil {
		return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
	}
	if _, _, err := r.d.rehearse(ctx, func(i int) (Target, error) { return r.target(ctx, i) }); err != nil {
		return fmt.Errorf("%w: preflight: %w", ErrAborted, err)
	}
	// Probes first: what they cannot log in to is found before anything is touched.
	if err := r.openProbes(ctx); err != nil {
		return err
	}
	return r.prepareLedgers(ctx)
}

// startFaultPoint starts a component's fault point, unless it runs. It stays when
// the drill is over: what asks the members goes through it, and it passes
// everything on.
func startFaultPoint(ctx context.Context, c *topology.Component) error {
	if c.FaultPoint == nil || c.FaultPoint.Control == nil {
		return nil
	}
	if err := c.FaultPoint.Control.Start(ctx); err != nil {
		return fmt.Errorf("fault point of component %s: %w", c.Name(), err)
	}
	return nil
}

// Components are those that the drill's faults, probes and remedies name, in the
// order of the file.
func (d *Drill) Components() []*topology.Component {
	var used []*topology.Component
	for _, s := range d.Series {
		used = append(used, s.Component)
		if s.From != nil {
			used = append(used, s.From.Component)
		}
	}
	for _, f := range d.Faults {
		used = append(used, f.Target.Component)
	}
	for _, m := range d.Remedies {
		used = append(used, m.Target.Component)
	}
	return slices.DeleteFunc(slices.Clone(d.Topology.Components), func(c *topology.Component) bool {
		return !slices.Contains(used, c)
	})
}

// intendRoles journals how a component's roles are made whole again by whoever
// comes after, once, before the first fault on it. Before that nobody may touch
// them: a primary that dies by itself in the baseline is not for a drill to replace.
func (r *run) intendRoles(c *topology.Component) error {
	for _, m := range r.intents() {
		if m.Sort == sortRoles && m.Name == c.Name() {
			return nil
		}
	}
	data, err := json.Marshal(rolesUndo{Component: c.Spec, Routes: routeSpecs(c), Keep: r.keep[c.Name()]})
	if err != nil {
		return fmt.Errorf("%w: journal roles of %s: %w", ErrAborted, c.Name(), err)
	}
	_, err = r.intend(journal.Intent{
		Sort: sortRoles, Name: c.Name(), Kind: c.Spec.Kind, Undo: data,
		Says: wholeWords(c),
	})
	return err
}

// wholeWords says what a component's roles intent is about.
func wholeWords(c *topology.Component) string {
	if c.Found() {
		return "wait until " + c.Name() + " has as many members that are well as before"
	}
	return "make " + c.Name() + " whole: one primary, every member following it, routes leading there"
}

// eachLedger calls do for the first series of every ledger.
func (d *Drill) eachLedger(do func(i int, k LedgerKind) error) error {
	done := map[string]bool{}
	for i, s := range d.Series {
		plan := d.Plan.Series[i]
		k, ok := s.Kind.(LedgerKind)
		if !ok || !plan.Writes || done[plan.Ledger] {
			continue
		}
		done[plan.Ledger] = true
		if err := do(i, k); err != nil {
			return err
		}
	}
	return nil
}

// prepareLedgers makes the places that the ledgers' writes go to; each is
// journaled before.
func (r *run) prepareLedgers(ctx context.Context) error {
	return r.d.eachLedger(func(i int, k LedgerKind) error {
		s, plan := r.d.Series[i], r.d.Plan.Series[i]
		u, err := k.PlanUndo(s.Component, r.o.RunID)
		if err != nil {
			return fmt.Errorf("%w: ledger %s: %w", ErrAborted, plan.Ledger, err)
		}
		if _, err := r.intend(journal.Intent{
			Sort: sortLedger, Name: plan.Ledger, Kind: plan.Kind, With: s.With, Says: u.Says, Undo: u.Data,
		}); err != nil {
			return err
		}
		if err := k.Prepare(ctx, s.Component, r.o.RunID); err != nil {
			return fmt.Errorf("%w: ledger %s: prepare: %w", ErrAborted, plan.Ledger, err)
		}
		return nil
	})
}

// baseline is the A/A stretch: nothing is injected, and everything must hold.
func (r *run) baseline(ctx context.Context) error {
	r.startSampling(ctx)
	began := r.clock.Now()
	if err := r.until(ctx, began+timeline.Offset(r.d.Plan.Baseline), func() bool { return false }); err != nil {
		return err
	}
	if err := r.agentsLost(); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	if what := r.board.badSince(began); what != "" {
		return fmt.Errorf("%w: the baseline did not hold before any fault: %s%s", ErrAborted, what, r.board.advice(began))
	}
	return nil
}

func routeSpecs(c *topology.Component) []topology.RouteSpec {
	specs := make([]topology.RouteSpec, len(c.Routes))
	for i, rt := range c.Routes {
		specs[i] = rt.Spec
	}
	return specs
}
