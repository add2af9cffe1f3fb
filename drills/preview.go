package drills

import (
	"context"
	"fmt"
	"strings"
	"time"

	"firedrill/drills/topology"
)

// Preview is what a drill would do, with the targets as they are now.
type Preview struct {
	Scenario string        `json:"scenario"`
	Topology string        `json:"topology"`
	Steps    []PreviewStep `json:"steps"`
}

// PreviewStep is one step; At counts from the end of the baseline, 0 for what
// comes when it is due.
type PreviewStep struct {
	What string        `json:"what"`
	On   string        `json:"on"`
	At   time.Duration `json:"at_ns"`
	Undo string        `json:"undo"`
}

// PreviewOf resolves every step of a drill. It touches nothing: it discovers and
// prepares, as the preflight does, and fails where that would.
func PreviewOf(ctx context.Context, d *Drill, k topology.Kinds, seed uint64) (Preview, error) {
	p := Preview{Scenario: d.Plan.Scenario, Topology: d.Plan.Topology}
	states := map[string]topology.State{}
	for _, c := range d.Components() {
		s, err := d.look(ctx, k, c)
		if err == nil {
			err = d.whole(ctx, c, s)
		}
		if err != nil {
			return p, fmt.Errorf("%w: %w", ErrAborted, err)
		}
		states[c.Name()] = s
	}
	if err := d.survivable(states); err != nil {
		return p, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	steps, err := d.previewLedgers()
	if err != nil {
		return p, err
	}
	p.Steps = append(p.Steps, steps...)
	agents, err := d.previewAgents()
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	p.Steps = append(p.Steps, agents...)
	if steps, err = d.previewFaults(ctx, states, seed); err != nil {
		return p, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	p.Steps = append(p.Steps, steps...)
	for i, m := range d.Plan.Remedies {
		p.Steps = append(p.Steps, PreviewStep{
			What: fmt.Sprintf("remedy %s (%s), if it has not healed after %s", m.Name, m.Kind, d.Plan.HealAfter),
			On:   d.Remedies[i].Target.reach(),
			Undo: wayBack(d.Remedies[i].Remedy),
		})
	}
	return p, nil
}

// wayBack is how what a remedy did is undone.
func wayBack(r Remedy) string {
	if _, ok := r.(Reverter); ok {
		return "taken back after the drill, then the roles are made whole"
	}
	return "the roles are made whole after the drill"
}

// previewLedgers are the places made for the ledgers' writes.
func (d *Drill) previewLedgers() (steps []PreviewStep, err error) {
	err = d.eachLedger(func(i int, k LedgerKind) error {
		u, err := k.PlanUndo(d.Series[i].Component, "preview")
		if err == nil {
			steps = append(steps, PreviewStep{What: "make ledger " + d.Plan.Series[i].Ledger, On: d.Series[i].Component.Name(), Undo: u.Says})
		}
		return err
	})
	return steps, err
}

// look admits and discovers a component, as the preflight does.
func (d *Drill) look(ctx context.Context, k topology.Kinds, c *topology.Component) (topology.State, error) {
	if p, ok := c.Adapter.(topology.Platform); ok {
		if err := p.Admit(ctx, d.Privileges(c)); err != nil {
			return topology.State{}, fmt.Errorf("component %s: %w", c.Name(), err)
		}
	}
	s, err := c.Adapter.Discover(ctx)
	if err != nil {
		return s, err
	}
	return s, k.Enrol(c, s)
}

// previewFaults prepares every fault, in the order in which they are due.
func (d *Drill) previewFaults(ctx context.Context, states map[string]topology.State, seed uint64) ([]PreviewStep, error) {
	targets, undos, err := d.rehearse(ctx, func(i int) (Target, error) {
		t, err := d.resolve(i, seed, func(c *topology.Component) (topology.State, error) { return states[c.Name()], nil })
		t.Run, t.Stay = "preview", d.stay(i)+defaultSlack
		return t, err
	})
	if err != nil {
		return nil, err
	}
	var steps []PreviewStep
	for _, i := range d.due() {
		plan := d.Plan.Faults[i]
		steps = append(steps, PreviewStep{
			What: fmt.Sprintf("fault %s (%s)", plan.Name, plan.Kind), On: strings.Join(memberNames(targets[i].Members), ", "),
			At: plan.At, Undo: undos[i].Says,
		})
	}
	return steps, nil
}
