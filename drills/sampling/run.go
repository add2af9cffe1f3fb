package sampling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"firedrill/drills/timeline"
)

// tooLate is the least lateness at which a sample is given up: a runner that was
// away for long must not fire at once all that it missed.
const tooLate = 20 * time.Millisecond

// Run samples until ctx ends, and returns when every sample that was due until
// then was handed to sink: those under way at the end may go on for Grace.
// It returns an error, at once, only if the series cannot run at all.
func (s Series) Run(ctx context.Context, clock timeline.Clock, sink Sink) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.Concurrency <= 0 {
		s.Concurrency = Lanes(s.Every, s.Timeout)
	}
	// Samples under way outlive ctx by the grace, so they do not descend from it.
	looks, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	r := &run{Series: s, clock: clock, sink: sink, looks: looks}
	r.schedule(ctx)
	if s.Grace > 0 {
		defer time.AfterFunc(s.Grace, cutOff).Stop()
	}
	r.open.Wait()
	return nil
}

// run is a series under way.
type run struct {
	Series
	clock timeline.Clock
	sink  Sink
	// looks is the parent of every sample's context.
	looks context.Context
	// open counts the samples that were not handed to sink yet.
	open sync.WaitGroup
	// lanes counts the calls of Observe that have not returned.
	lanes atomic.Int64
}

// schedule fires samples until ctx ends.
func (r *run) schedule(ctx context.Context) {
	t0 := r.clock.Now() + timeline.Offset(r.Phase)
	timer := time.NewTimer(r.Phase)
	defer timer.Stop()
	for n := int64(0); ; n++ {
		due := t0 + timeline.Offset(n)*timeline.Offset(r.Every)
		if wait := time.Duration(due - r.clock.Now()); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() != nil {
			r.sink(r.blind(n, due, "stopped before it could start"))
			continue
		}
		r.fire(n, due)
	}
}

// fire starts sample n, or records why it cannot. It does not block.
func (r *run) fire(n int64, due timeline.Offset) {
	late := time.Duration(r.clock.Now() - due)
	if late > max(r.Every, tooLate) {
		r.sink(r.blind(n, due, fmt.Sprintf("the runner was %v late", late.Round(time.Millisecond))))
		return
	}
	if r.lanes.Add(1) > int64(r.Concurrency) {
		r.lanes.Add(-1)
		r.sink(r.blind(n, due, fmt.Sprintf("%d samples were under way already", r.Concurrency)))
		return
	}
	r.open.Add(1)
	go r.look(n, due)
}

// blind is a sample that says nothing.
func (r *run) blind(n int64, due timeline.Offset, why string) timeline.Sample {
	return timeline.Sample{
		Series: r.Index, N: n, Due: due, Start: due, End: due,
		Class: timeline.NoData, Detail: cut(why),
	}
}

// look makes sample n. Two may want to report it: the probe, and a timer for the
// probe that overruns its deadline; the first one does.
func (r *run) look(n int64, due timeline.Offset) {
	defer r.lanes.Add(-1)
	start := r.clock.Now()
	ctx, cancel := context.WithDeadline(r.looks, r.clock.Time(start+timeline.Offset(r.Timeout)))
	defer cancel()
	var once sync.Once
	report := func(o Observation) {
		once.Do(func() {
			defer r.open.Done()
			r.sink(r.sample(n, due, start, o))
		})
	}
	// A probe that keeps to its deadline says more about the failure than the
	// timer can; so it gets a moment to do so.
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(overrun, func() { report(r.unanswered(ctx)) })
	})
	o := r.Observer.Observe(ctx)
	stop()
	if r.cutOff(ctx) && o.Class != timeline.OK {
		o = r.unanswered(ctx) // the failure may be of our own making
	}
	report(o)
}

// cutOff tells whether the grace ended before the sample's own deadline.
func (r *run) cutOff(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled)
}

// overrun is how long after its deadline a probe may still report by itself.
const overrun = 5 * time.Millisecond

// unanswered is the observation of a probe that did not return in time.
func (r *run) unanswered(ctx context.Context) Observation {
	if r.cutOff(ctx) {
		return Observation{Class: timeline.NoData, Detail: "stopped before there was an answer"}
	}
	return Observation{Class: timeline.Timeout, Detail: fmt.Sprintf("no answer within %v", r.Timeout)}
}

// sample is the record of an observation that was just made.
func (r *run) sample(n int64, due, start timeline.Offset, o Observation) timeline.Sample {
	if o.Class == timeline.NoData || o.Class == "" {
		return r.blind(n, due, o.Detail)
	}
	return timeline.Sample{
		Series: r.Index, N: n, Due: due, Start: start, End: r.clock.Now(),
		Class: o.Class, By: o.By, Detail: cut(o.Detail), Stale: timeline.Offset(o.Stale), Request: o.Request,
	}
}
