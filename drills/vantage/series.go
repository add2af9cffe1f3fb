package vantage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// Series is a series that an agent samples. It runs like sampling.Series.
type Series struct {
	Job
	agent *Agent
	// last is closed when the agent has handed over the last sample.
	last chan struct{}

	mu   sync.Mutex
	sink sampling.Sink
	// first is when sample 0 was due, on the runner's clock; known tells that a
	// sample has said so.
	first timeline.Offset
	known bool
	// low is the number up to which (exclusive) every sample was handed on; above are
	// those beyond it.
	low   int64
	above map[int64]bool
}

func newSeries(a *Agent, j Job) *Series {
	return &Series{Job: j, agent: a, last: make(chan struct{}), above: map[int64]bool{}}
}

// spare is how much longer than their timeout the last samples may take to be here.
const spare = 5 * time.Second

// Run hands what the agent samples to sink until ctx ends and every sample that was
// due until then was handed on. Those that the agent does not tell of, because it is
// lost, are there without data.
func (s *Series) Run(ctx context.Context, clock timeline.Clock, sink sampling.Sink) error {
	s.begin(clock.Now(), sink)
	select {
	case <-ctx.Done():
	case <-s.agent.gone:
		s.blind(ctx, clock)
		return nil
	}
	until := clock.Now()
	s.agent.want(doStop)
	late := time.NewTimer(s.Timeout + spare)
	defer late.Stop()
	why := "the agent did not tell"
	select {
	case <-s.last:
	case <-s.agent.gone:
		why = s.lost()
	case <-late.C:
	}
	s.fill(until, why)
	return nil
}

// Look tells the agent whether the series is to look for now.
func (s *Series) Look(on bool) {
	a := s.agent
	a.mu.Lock()
	changed := slices.Contains(a.off, s.Index) == on
	switch {
	case changed && on:
		a.off = slices.DeleteFunc(a.off, func(i int) bool { return i == s.Index })
	case changed:
		a.off = append(a.off, s.Index)
	}
	a.mu.Unlock()
	if changed {
		a.hurry()
	}
}

// begin makes the agent sample once all of its series have begun.
func (s *Series) begin(now timeline.Offset, sink sampling.Sink) {
	s.mu.Lock()
	s.sink, s.first = sink, now+timeline.Offset(s.Phase)
	s.mu.Unlock()
	for _, other := range s.agent.series {
		other.mu.Lock()
		begun := other.sink != nil
		other.mu.Unlock()
		if !begun {
			return
		}
	}
	s.agent.want(doSample)
}

// add hands a sample on.
func (s *Series) add(x timeline.Sample) {
	s.mu.Lock()
	if !s.known {
		s.first, s.known = x.Due-timeline.Offset(x.N)*timeline.Offset(s.Every), true
	}
	fresh := s.mark(x.N)
	sink := s.sink
	s.mu.Unlock()
	if fresh {
		sink(x)
	}
}

// mark notes that a sample is handed on, and tells whether it was not before.
func (s *Series) mark(n int64) bool {
	if n < s.low || s.above[n] {
		return false
	}
	s.above[n] = true
	for s.above[s.low] {
		delete(s.above, s.low)
		s.low++
	}
	return true
}

func (s *Series) end() {
	if !s.isDone() {
		close(s.last)
	}
}

func (s *Series) isDone() bool {
	select {
	case <-s.last:
		return true
	default:
		return false
	}
}

func (s *Series) lost() string { return fmt.Sprintf("the agent is lost: %v", s.agent.Lost()) }

// blind goes on without the agent until ctx ends: there is no data.
func (s *Series) blind(ctx context.Context, clock timeline.Clock) {
	tick := time.NewTicker(max(s.Every, 10*time.Millisecond))
	defer tick.Stop()
	for {
		s.fill(clock.Now(), s.lost())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// fill hands on, as having no data, every sample that was due until a moment and is
// not here.
func (s *Series) fill(until timeline.Offset, why string) {
	s.mu.Lock()
	sink := s.sink
	var missing []timeline.Sample
	for n := s.low; ; n++ {
		due := s.first + timeline.Offset(n)*timeline.Offset(s.Every)
		if due > until {
			break
		}
		if s.above[n] {
			continue
		}
		missing = append(missing, timeline.Sample{
			Series: s.Index, N: n, Due: due, Start: due, End: due, Class: timeline.NoData, Detail: why,
		})
	}
	for _, x := range missing {
		s.mark(x.N)
	}
	s.mu.Unlock()
	for _, x := range missing {
		sink(x)
	}
}
