package vantage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// OpenFunc makes the probe of a job. A probe that is an io.Closer is closed at the end.
type OpenFunc func(ctx context.Context, o Order, j Job, c timeline.Clock) (sampling.Observer, error)

// orderWithin is for how long an agent waits for its order.
const orderWithin = 3 * time.Minute

var (
	errSilence = errors.New("nothing was heard of the runner")
	errNoInput = errors.New("the runner has closed its end")
)

// Serve is the agent's end: it takes one order from in, samples, and writes what it
// sees to out. It returns nil when the runner has all of that, and an error when ctx
// or in ends before, or when nothing is heard of the runner for too long.
func Serve(ctx context.Context, in io.Reader, out io.Writer, self Ready, open OpenFunc) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	a := &agent{clock: timeline.NewClock(), box: newOutbox(), open: open, self: self, end: end}
	a.leash = time.AfterFunc(orderWithin, func() { end(errSilence) })
	defer a.leash.Stop()
	defer a.close()
	go a.listen(ctx, in) // it may hang in a read until the process ends
	go func() { end(a.talk(ctx, out)) }()
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, errServed) {
		return err
	}
	return nil
}

// errServed is how an agent ends that has done its work.
var errServed = errors.New("done")

// agent is an agent at work.
type agent struct {
	clock timeline.Clock
	box   *outbox
	open  OpenFunc
	self  Ready
	end   context.CancelCauseFunc
	leash *time.Timer

	order *Order
	mu    sync.Mutex // guards what is appended to jobs
	jobs  []*job
	// sampling ends the sampling, once it has begun.
	sampling context.CancelFunc
	running  sync.WaitGroup
	// over is set when every line is in the box.
	over atomic.Bool
}

// job is one series of the agent's.
type job struct {
	Job
	sampling.Observer
	off atomic.Bool
}

// Observe looks, unless the runner does not want it to.
func (j *job) Observe(ctx context.Context) sampling.Observation {
	if j.off.Load() {
		return sampling.Observation{Class: timeline.NoData, Detail: NotNow}
	}
	return j.Observer.Observe(ctx)
}

// listen takes beats until in ends. What is no beat is passed over: a connection that
// broke may have left half a line.
func (a *agent) listen(ctx context.Context, in io.Reader) {
	s := lines(in)
	for s.Scan() {
		heard := a.clock.Now()
		var b beat
		if json.Unmarshal(s.Bytes(), &b) != nil {
			continue
		}
		a.hear(ctx, b, heard)
	}
	if a.over.Load() {
		a.end(errServed)
	}
	a.end(errNoInput)
}

func (a *agent) hear(ctx context.Context, b beat, heard timeline.Offset) {
	if a.order == nil && b.Order != nil {
		a.order = b.Order
		if err := a.take(ctx); err != nil {
			why := err.Error()
			a.box.add(line{Failed: &why})
		}
	}
	if a.order == nil {
		return
	}
	a.leash.Reset(a.order.Leash)
	a.box.has(b.Have, b.Again)
	if b.N > 0 {
		a.box.answer(func() line {
			return line{Pong: &pong{N: b.N, Heard: heard, First: a.box.oldest(), Said: a.clock.Now()}}
		})
	}
	for _, j := range a.jobs {
		j.off.Store(slices.Contains(b.Off, j.Index))
	}
	switch {
	case b.Do == doSample && a.sampling == nil:
		a.sample(ctx)
	case b.Do == doStop && a.sampling != nil:
		a.sampling()
	case b.Do == doStop:
		a.over.Store(true)
	}
	if a.over.Load() && a.box.left() == 0 {
		a.end(errServed)
	}
}

// take opens the probes of the order.
func (a *agent) take(ctx context.Context) (err error) {
	if a.order.Protocol != protocol {
		return fmt.Errorf("the agent (version %s) speaks protocol %d, the runner %d: use an image of the runner's version",
			a.self.Version, protocol, a.order.Protocol)
	}
	for _, j := range a.order.Jobs {
		o, err := a.open(ctx, *a.order, j, a.clock)
		if err != nil {
			return fmt.Errorf("probe %s: %w", j.Name, err)
		}
		a.mu.Lock()
		a.jobs = append(a.jobs, &job{Job: j, Observer: o})
		a.mu.Unlock()
	}
	a.box.add(line{Ready: &a.self})
	return nil
}

// sample begins to sample every series, and to watch the agent itself.
func (a *agent) sample(ctx context.Context) {
	ctx, a.sampling = context.WithCancel(ctx)
	var watching sync.WaitGroup
	watched, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	watching.Go(func() {
		sampling.Watch(watched, a.clock, sampling.Beat, sampling.Pause, func(from, to timeline.Offset) {
			a.box.add(line{Gap: &timeline.Gap{From: from, To: to}})
		})
	})
	for _, j := range a.jobs {
		s := sampling.Series{
			Index: j.Index, Every: j.Every, Timeout: j.Timeout, Concurrency: j.Concurrency, Phase: j.Phase, Observer: j,
		}
		a.running.Go(func() {
			if err := s.Run(ctx, a.clock, a.say); err != nil {
				why := err.Error()
				a.box.add(line{Failed: &why})
			}
			a.box.add(line{Done: &j.Index})
		})
	}
	go func() {
		a.running.Wait()
		unwatch()
		watching.Wait()
		a.over.Store(true)
	}()
}

// say hands a sample over.
func (a *agent) say(s timeline.Sample) {
	if s.Class == timeline.NoData {
		s.Detail = strings.Replace(s.Detail, "the runner", "the agent", 1) // the sampler does not know
	}
	a.box.add(line{Sample: &s})
}

// talk sends what is in the box until ctx ends. The stream may block: nothing but
// this waits for it.
func (a *agent) talk(ctx context.Context, out io.Writer) error {
	for {
		select {
		case <-a.box.more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		for b := a.box.next(); len(b) > 0; b = a.box.next() {
			if _, err := out.Write(b); err != nil {
				return fmt.Errorf("write to the runner: %w", err)
			}
		}
	}
}

func (a *agent) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, j := range a.jobs {
		if c, ok := j.Observer.(io.Closer); ok {
			_ = c.Close() // what it leaves open ends with the process
		}
	}
}
