package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/vantage"
)

// Sampler runs a series until ctx ends, and returns when every sample that was due
// until then was handed to sink: the runner itself does, or an agent elsewhere.
type Sampler interface {
	Run(ctx context.Context, clock timeline.Clock, sink sampling.Sink) error
}

// Vantage is where an agent looks from.
type Vantage struct {
	// Component is the one whose adapter is a vantage.Host.
	Component *topology.Component
	Place     vantage.Place
}

// Portable is implemented by kinds of probes that can look from elsewhere: all that
// they need is what they look at. An error says why these parameters do not allow it.
type Portable interface {
	Portable() error
}

// agentSpare is how much longer than the drill itself an agent may be there: the way
// back takes its time.
const agentSpare = time.Hour

// agentUndo is all that another process needs to remove an agent.
type agentUndo struct {
	Component topology.ComponentSpec `json:"component"`
	Made      json.RawMessage        `json:"made"`
}

// agent is a probe agent that is about to be started.
type agent struct {
	name string
	host vantage.Host
	made json.RawMessage
	jobs []vantage.Job
}

// startAgents starts a probe agent at every place that a series looks from. Each is
// journaled before.
func (r *run) startAgents(ctx context.Context) error {
	planned, err := r.planAgents()
	if err != nil || len(planned) == 0 {
		return err
	}
	r.probe.agents = map[string]*vantage.Agent{}
	var mu sync.Mutex
	var starting sync.WaitGroup
	var errs []error
	for _, p := range planned {
		starting.Go(func() {
			a, err := r.startAgent(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
				return
			}
			r.probe.agents[p.name] = a
		})
	}
	starting.Wait()
	if len(errs) > 0 {
		return errors.New(text(errors.Join(errs...)))
	}
	return nil
}

// planAgents says which agents there are to be, and what each has to look at.
func (r *run) planAgents() (planned []*agent, err error) {
	by := map[string]*agent{}
	for i, s := range r.d.Series {
		if s.From == nil {
			continue
		}
		name := r.d.Plan.Series[i].From
		if by[name] == nil {
			if by[name], err = r.planAgent(name, len(by)+1, s.From); err != nil {
				return nil, err
			}
			planned = append(planned, by[name])
		}
		j, err := r.job(i, s)
		if err != nil {
			return nil, err
		}
		by[name].jobs = append(by[name].jobs, j)
	}
	return planned, nil
}

// planAgent journals how an agent will be removed again.
func (r *run) planAgent(name string, number int, from *Vantage) (*agent, error) {
	c := from.Component
	host, ok := c.Adapter.(vantage.Host)
	if !ok {
		return nil, fmt.Errorf("probe agent in %s: nothing can be started on component %s, a %s", name, c.Name(), c.Spec.Kind)
	}
	made, says, err := host.PlanAgent(r.o.RunID, number, from.Place, r.d.Plan.Baseline+r.d.Plan.Longest+agentSpare)
	if err != nil {
		return nil, fmt.Errorf("probe agent in %s: %w", name, err)
	}
	data, err := json.Marshal(agentUndo{Component: c.Spec, Made: made})
	if err != nil {
		return nil, err
	}
	_, err = r.intend(journal.Intent{Sort: sortAgent, Name: "agent in " + name, Kind: c.Spec.Kind, Undo: data, Says: says})
	return &agent{name: name, host: host, made: made}, err
}

// job is what an agent is told of a series.
func (r *run) job(i int, s SeriesStep) (vantage.Job, error) {
	p := r.d.Plan.Series[i]
	sub, err := r.subject(i, s)
	if err != nil {
		return vantage.Job{}, fmt.Errorf("open probe %s: %w", p.Name(), err)
	}
	return vantage.Job{
		Index: i, Name: p.Name(), Kind: p.Kind, With: s.With, Address: sub.Address, Client: p.Client, Every: p.Every,
		Timeout: p.Timeout, Concurrency: p.Concurrency, Phase: sampling.Spread(r.o.Seed, i, p.Every),
	}, nil
}

// startAgent starts an agent, and notes what becomes of it.
func (r *run) startAgent(ctx context.Context, p *agent) (*vantage.Agent, error) {
	link, err := p.host.StartAgent(ctx, p.made)
	if err != nil {
		return nil, err
	}
	a, err := vantage.Start(ctx, p.name, link, r.o.RunID, p.jobs, r.clock, vantage.Events{
		Gap: func(g timeline.Gap) {
			r.board.gap(g.Of, g.From, g.To)
			r.note(g)
		},
		Clock: func(c timeline.ClockRelated) {
			r.note(c)
			if c.Strayed > 0 {
				r.caveat("the clock of the agent in %s, or the runner's, was off by %s for a moment: samples just before may be that far from where they are recorded", c.From, c.Strayed)
			}
		},
		Lost: func(why error) {
			r.note(timeline.AgentLost{From: p.name, Why: text(why)})
			r.caveat("the agent in %s is lost, so that there is no data of %s any more: %v", p.name, names(p.jobs), why)
			r.board.blind(p.name)
		},
	})
	if err == nil && a.Ready.Version != r.o.Version {
		r.caveat("the agent in %s is firedrill %s, the runner %s", p.name, a.Ready.Version, r.o.Version)
	}
	return a, err
}

func names(jobs []vantage.Job) string {
	var all []string
	for _, j := range jobs {
		all = append(all, j.Name)
	}
	return strings.Join(all, ", ")
}

// agentsLost returns an error if an agent is lost.
func (r *run) agentsLost() error {
	for name, a := range r.probe.agents {
		if err := a.Lost(); err != nil {
			return fmt.Errorf("the agent in %s is lost: %w", name, err)
		}
	}
	return nil
}

// switchEvery is how often it is looked whether a series is to look.
const switchEvery = 20 * time.Millisecond

// switchSeries keeps a series of an agent's from looking in the phases that its mode
// leaves out.
func (r *run) switchSeries(ctx context.Context, s *vantage.Series, mode string) {
	if mode == "Continuous" {
		return
	}
	s.Look(r.board.in(looksIn[mode]))
	r.probe.ended.Go(func() {
		tick := time.NewTicker(switchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			s.Look(r.board.in(looksIn[mode]))
		}
	})
}

// closeAgents lets go of the agents, and notes how well their clocks were known.
func (r *run) closeAgents() {
	for _, name := range slices.Sorted(maps.Keys(r.probe.agents)) {
		c := r.probe.agents[name].Clock()
		r.note(c)
		r.caveat("the clock of the agent in %s is known to ± %s; its samples are wider by as much", name, c.Error.Round(10*time.Microsecond))
		r.probe.agents[name].Close()
	}
	r.probe.agents = nil
}

// removeAgent removes an agent from what the journal says.
func (u undoer) removeAgent(ctx context.Context, i journal.Intent) error {
	var au agentUndo
	if err := json.Unmarshal(i.Undo, &au); err != nil {
		return fmt.Errorf("undo %s: %w", i.Name, err)
	}
	c, err := u.plugins.Topology.OpenComponent(au.Component, nil)
	if err != nil {
		return err
	}
	host, ok := c.Adapter.(vantage.Host)
	if !ok {
		return fmt.Errorf("undo %s: component kind %s has no agents", i.Name, i.Kind)
	}
	return host.RemoveAgent(ctx, au.Made)
}

// blind makes the series of an agent that is lost decide nothing any more: nobody can
// tell what they would have seen.
func (b *board) blind(of string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.series {
		if l.From == of {
			l.Judged, l.bad = false, 0
		}
	}
}

// agentPrivileges are what an agent on a component needs; twice the same is harmless.
func agentPrivileges(c *topology.Component) []topology.Privilege {
	if h, ok := c.Adapter.(vantage.Host); ok {
		return h.AgentPrivileges()
	}
	return nil
}

// previewAgents says which agents there will be.
func (d *Drill) previewAgents() (steps []PreviewStep, err error) {
	for i, s := range d.Series {
		name := d.Plan.Series[i].From
		if s.From == nil || slices.ContainsFunc(d.Plan.Series[:i], func(before timeline.Series) bool { return before.From == name }) {
			continue
		}
		h, ok := s.From.Component.Adapter.(vantage.Host)
		if !ok {
			continue // the start will say so
		}
		_, says, err := h.PlanAgent("preview", len(steps)+1, s.From.Place, d.Plan.Longest)
		if err != nil {
			return nil, fmt.Errorf("probe agent in %s: %w", name, err)
		}
		steps = append(steps, PreviewStep{What: "start a probe agent", On: name, Undo: says})
	}
	return steps, nil
}
