package drills

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"firedrill/drills/ledger"
	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/vantage"
)

// probing is everything that looks at the system while the drill runs.
type probing struct {
	probes []Probe                   // by series; nil where an agent looks
	agents map[string]*vantage.Agent // by timeline.Series.From
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// openProbes opens the ledger files and every series' probe.
func (r *run) openProbes(ctx context.Context) error {
	for _, p := range r.d.Plan.Series {
		if !p.Writes || r.ledgers.get(p.Ledger) != nil {
			continue
		}
		f, err := ledger.Create(ledger.Path(r.o.Dir, p.Ledger), p.Ledger,
			ledger.WithEpoch(r.clock.Epoch()), ledger.WithLanes(r.lanes(p.Ledger)))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrAborted, err)
		}
		r.ledgers.add(p.Ledger, f)
	}
	if err := r.startAgents(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrAborted, err)
	}
	for i, s := range r.d.Series {
		if s.From != nil {
			r.probe.probes = append(r.probe.probes, nil) // an agent has it
			continue
		}
		p, err := r.openProbe(ctx, i, s)
		if err != nil {
			return fmt.Errorf("%w: open probe %s: %w", ErrAborted, r.d.Plan.Series[i].Name(), err)
		}
		r.probe.probes = append(r.probe.probes, p)
	}
	return nil
}

// lanes is how many lanes the writers of a ledger need between them.
func (r *run) lanes(ledger string) int {
	n := 0
	for _, p := range r.d.Plan.Series {
		if p.Writes && p.Ledger == ledger {
			n += p.Concurrency
		}
	}
	return n
}

func (r *run) openProbe(ctx context.Context, i int, s SeriesStep) (Probe, error) {
	sub, err := r.subject(i, s)
	if err != nil {
		return nil, err
	}
	return s.Kind.Open(ctx, sub)
}

// subject is what a series looks at; its member is chosen now.
func (r *run) subject(i int, s SeriesStep) (Subject, error) {
	p := r.d.Plan.Series[i]
	sub := Subject{
		Component: s.Component, Address: p.Address, Client: Client(p.Client), Timeout: p.Timeout,
		Lanes: p.Concurrency, Clock: r.clock, Ledger: r.ledgers.get(p.Ledger), RunID: r.o.RunID,
	}
	if s.Select != nil {
		ms, err := s.Select.Choose(r.keep[s.Component.Name()], chance(r.o.Seed, len(r.d.Faults)+i))
		if err != nil {
			return sub, err
		}
		sub.Member, sub.Address = ms[0], ms[0].Address()
	}
	return sub, nil
}

// startSampling starts every series that samples from the start, and the watch
// over the runner itself. It goes on until stopSampling, whatever ctx does:
// the undoing is observed too.
func (r *run) startSampling(ctx context.Context) {
	ctx, r.probe.stop = context.WithCancel(context.WithoutCancel(ctx))
	r.probe.ended.Go(func() {
		sampling.Watch(ctx, r.clock, sampling.Beat, sampling.Pause, func(from, to timeline.Offset) {
			r.board.gap("", from, to)
			r.note(timeline.Gap{From: from, To: to})
		})
	})
	if r.o.Watcher != nil {
		r.probe.ended.Go(func() { r.board.watch(ctx, r.o.Watcher) })
	}
	r.watchMembers(ctx)
	for i, p := range r.d.Plan.Series {
		var s Sampler = sampling.Series{
			Index: i, Every: p.Every, Timeout: p.Timeout, Concurrency: p.Concurrency,
			Phase: sampling.Spread(r.o.Seed, i, p.Every), Observer: moded{r.probe.probes[i], p.Mode, r.board},
		}
		if a := r.probe.agents[p.From]; a != nil {
			s = a.Series(i)
			r.switchSeries(ctx, a.Series(i), p.Mode)
		}
		r.probe.ended.Go(func() {
			if err := s.Run(ctx, r.clock, r.take); err != nil {
				r.caveat("%v", err)
			}
		})
	}
}

// take records a sample and shows it to whoever waits.
func (r *run) take(s timeline.Sample) {
	if s.Class == timeline.NoData && s.Detail == offMode {
		return // not looking was the plan
	}
	r.rec.Sample(s)
	r.board.sample(s)
}

// stopSampling lets samples under way end, and closes the probes.
func (r *run) stopSampling() {
	if r.probe.stop != nil {
		r.probe.stop()
		r.probe.ended.Wait()
		r.probe.stop = nil
	}
	for _, p := range r.probe.probes {
		if c, ok := p.(io.Closer); ok {
			_ = c.Close() // what a probe leaves open ends with the process
		}
	}
	r.probe.probes = nil
	r.closeAgents()
}

// moded keeps a probe from looking in the phases that its mode leaves out.
type moded struct {
	Probe
	mode  string
	board *board
}

// looksIn are the phases in which a mode looks; Continuous looks in all.
var looksIn = map[string][]string{
	"SOT":     {timeline.PhaseBaseline},
	"EOT":     {timeline.PhaseSteady},
	"Edge":    {timeline.PhaseBaseline, timeline.PhaseSteady},
	"OnChaos": {timeline.PhaseFault, timeline.PhaseHeal, timeline.PhaseRemedy, timeline.PhaseStabilise},
}

// offMode is what a probe says in a phase that its mode leaves out.
const offMode = vantage.NotNow

// Observe implements Probe.
func (m moded) Observe(ctx context.Context) Observation {
	if m.mode != "Continuous" && !m.board.in(looksIn[m.mode]) {
		return Observation{Class: timeline.NoData, Detail: offMode}
	}
	return m.Probe.Observe(ctx)
}

// survivors are the members of a component that answer now.
func survivors(c *topology.Component, s topology.State) []*topology.Member {
	var out []*topology.Member
	for _, ms := range s.Members {
		if m, err := c.Member(ms.Member); err == nil && ms.Role != topology.Down {
			out = append(out, m)
		}
	}
	return out
}

// hurried tells whether graceful waits are to be skipped.
func (r *run) hurried() bool {
	select {
	case <-r.o.Hurry:
		return true
	default:
		return false
	}
}

// steadyWithin is how long the steady state has to come back after the rejoin.
const steadyWithin = 60 * time.Second
