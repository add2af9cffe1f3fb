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
	for i, s := range d.Series {
		if k, ok := s.Kind.(LedgerKind); ok && d.Plan.Series[i].Writes && d.Plan.Series[i].Client == string(Fresh) {
			u, err := k.PlanUndo(s.Component, "preview")
			if err != nil {
				return p, err
			}
			p.Steps = append(p.Steps, PreviewStep{What: "make ledger " + d.Plan.Series[i].Ledger, On: s.Component.Name(), Undo: u.Says})
		}
	}
	agents, err := d.previewAgents()
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	p.Steps = append(p.Steps, agents...)
	for i, f := range d.Faults {
		step, err := previewFault(ctx, d, i, f, states, seed)
		if err != nil {
			return p, fmt.Errorf("%w: fault %s: %w", ErrAborted, d.Plan.Faults[i].Name, err)
		}
		p.Steps = append(p.Steps, step)
	}
	for i, m := range d.Plan.Remedies {
		p.Steps = append(p.Steps, PreviewStep{
			What: fmt.Sprintf("remedy %s (%s), if it has not healed after %s", m.Name, m.Kind, d.Plan.HealAfter),
			On:   d.Remedies[i].Target.String(), Undo: "the roles are made whole after the drill",
		})
	}
	return p, nil
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

func previewFault(ctx context.Context, d *Drill, i int, f FaultStep, states map[string]topology.State, seed uint64) (PreviewStep, error) {
	plan := d.Plan.Faults[i]
	state := states[f.Target.Component.Name()]
	ms, err := f.Target.Choose(state, chance(seed, i))
	if err != nil {
		return PreviewStep{}, err
	}
	if err := d.Limits.allow(ms, f.Target.Component); err != nil {
		return PreviewStep{}, err
	}
	u, err := f.Injector.Prepare(ctx, Target{Component: f.Target.Component, Members: ms, State: state})
	if err != nil {
		return PreviewStep{}, err
	}
	return PreviewStep{
		What: fmt.Sprintf("fault %s (%s)", plan.Name, plan.Kind), On: strings.Join(memberNames(ms), ", "),
		At: plan.At, Undo: u.Says,
	}, nil
}
