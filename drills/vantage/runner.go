package vantage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"firedrill/drills/timeline"
)

const (
	// Leash is for how long an agent and its runner go on without each other.
	Leash = time.Minute
	// beatEvery is how often the runner speaks; quickly is how often at first, when the
	// clocks are not related yet, for so many beats.
	beatEvery  = 200 * time.Millisecond
	quickly    = 20 * time.Millisecond
	quickBeats = 16
	// silence is how long a connection may say nothing until another one is made.
	silence = 4 * time.Second
	// againEvery is how often at most lines are asked for once more.
	againEvery = 500 * time.Millisecond
)

// Events are told what becomes of an agent. Calls do not overlap.
type Events struct {
	// Gap takes a stretch in which the agent did not run, on the runner's clock.
	Gap func(timeline.Gap)
	// Clock takes how well the agent's clock is known.
	Clock func(timeline.ClockRelated)
	// Lost is called once, if the agent is lost.
	Lost func(why error)
}

// Agent is the runner's end of the stream of one agent.
type Agent struct {
	// Ready is what the agent said of itself.
	Ready Ready

	name  string
	link  Link
	clock timeline.Clock
	order Order
	ev    Events
	stop  context.CancelFunc
	ended sync.WaitGroup
	// kick makes the next beat come at once; ready is closed when the agent stands by
	// and its clock is known; gone when it is lost, after why was set.
	kick, ready, gone chan struct{}
	why               error

	mu       sync.Mutex
	relation Relation
	// sent is when each beat was sent that has no answer yet; beats is their number.
	sent  map[int64]timeline.Offset
	beats int64
	pongs int
	// heard is when the agent was last heard of.
	heard timeline.Offset
	// have is the number up to which all lines are here; again asks for those after
	// it, which was last asked for at asked.
	have  int64
	again bool
	asked timeline.Offset
	do    string
	off   []int
	// stands tells that the agent is ready.
	stands bool
	series map[int]*Series
	// worst is the largest error of a sample's clock.
	worst timeline.Offset
	// latest is the agent's clock at the latest answer.
	latest timeline.Offset
	late   delays
}

// Start connects to an agent, hands it its jobs, and returns when it is ready and its
// clock is known. Name is what the record calls it (Series.From).
func Start(ctx context.Context, name string, link Link, runID string, jobs []Job, clock timeline.Clock, ev Events) (*Agent, error) {
	a := &Agent{
		name: name, link: link, clock: clock, ev: ev,
		order: Order{Protocol: protocol, RunID: runID, Leash: Leash, Jobs: jobs},
		kick:  make(chan struct{}, 1), ready: make(chan struct{}), gone: make(chan struct{}),
		sent: map[int64]timeline.Offset{}, heard: clock.Now(), series: map[int]*Series{},
	}
	for _, j := range jobs {
		a.series[j.Index] = newSeries(a, j)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stop = stop
	a.ended.Go(func() { a.run(running) })
	select {
	case <-a.ready:
		a.tellClock(0)
		return a, nil
	case <-a.gone:
		a.Close()
		return nil, fmt.Errorf("probe agent in %s: %w", name, a.why)
	case <-ctx.Done():
		a.Close()
		return nil, fmt.Errorf("probe agent in %s: not ready: %w", name, context.Cause(ctx))
	}
}

// Series is the series with an index in the plan.
func (a *Agent) Series(index int) *Series { return a.series[index] }

// Lost returns why the agent is lost, or nil.
func (a *Agent) Lost() error {
	select {
	case <-a.gone:
		return a.why
	default:
		return nil
	}
}

// farewell is how long an agent that has done its work may take to end.
const farewell = time.Second

// Close lets go of the agent, which ends by itself then: at once if it has done its
// work, or when it has not heard of the runner for so long.
func (a *Agent) Close() {
	if a.finished() && a.Lost() == nil {
		a.hurry() // says that everything is here
		defer time.AfterFunc(farewell, a.stop).Stop()
	} else {
		a.stop()
	}
	a.ended.Wait()
	a.stop()
}

// run keeps a connection to the agent until ctx ends or the agent does.
func (a *Agent) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for first := true; ; first = false {
		conn, err := a.link.Connect(ctx)
		if err == nil {
			err = a.session(ctx, conn, first)
		}
		switch {
		case ctx.Err() != nil || a.finished():
			return
		case errors.Is(err, ErrGone), errors.Is(err, errFailed), time.Duration(a.clock.Now()-a.lastHeard()) > Leash:
			a.lose(err)
			return
		}
		pause.Reset(beatEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
	}
}

// errFailed says that the agent gave up by itself.
var errFailed = errors.New("the agent has failed")

func (a *Agent) lose(why error) {
	a.why = why
	close(a.gone)
	if a.isReady() && a.ev.Lost != nil {
		a.ev.Lost(why)
	}
}

func (a *Agent) isReady() bool {
	select {
	case <-a.ready:
		return true
	default:
		return false
	}
}

func (a *Agent) lastHeard() timeline.Offset {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heard
}

// finished tells whether every series has handed over its last sample.
func (a *Agent) finished() bool {
	for _, s := range a.series {
		if !s.isDone() {
			return false
		}
	}
	return true
}

// session uses one connection until it breaks, says nothing, or ctx ends.
func (a *Agent) session(ctx context.Context, conn io.ReadWriteCloser, first bool) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	silent := time.AfterFunc(silence, func() { end(fmt.Errorf("nothing was heard of the agent for %s", silence)) })
	defer silent.Stop()
	var beating sync.WaitGroup
	beating.Go(func() { end(a.beat(ctx, conn, first)) })
	err := a.listen(conn, silent)
	end(err)
	conn.Close()
	beating.Wait()
	return context.Cause(ctx)
}

// tooFar is by how much a clock may contradict what was known of it: with more, what it
// showed before says nothing.
const tooFar = 50 * time.Millisecond
