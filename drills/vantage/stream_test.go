package vantage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// hub keeps an agent running, as a container runtime does, whoever is connected to it:
// what it says while nobody is, is dropped.
type hub struct {
	in    *io.PipeWriter // of the agent
	ended chan error

	mu   sync.Mutex
	gone bool
	conn *end
	made int
	// said is how many bytes the agent has said since the connection was made; the
	// connection breaks at breakAt of them, if that is more than 0.
	said, breakAt int
}

// end is the runner's end of a connection.
type end struct {
	h   *hub
	out *io.PipeReader
	w   *io.PipeWriter
}

func (e *end) Read(b []byte) (int, error) { return e.out.Read(b) }

func (e *end) Write(b []byte) (int, error) {
	e.h.mu.Lock()
	current := e.h.conn == e && !e.h.gone
	e.h.mu.Unlock()
	if !current {
		return 0, io.ErrClosedPipe
	}
	return e.h.in.Write(b)
}

func (e *end) Close() error { return e.w.Close() }

func (h *hub) Connect(context.Context) (io.ReadWriteCloser, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone {
		return nil, fmt.Errorf("pod shop/agent was deleted: %w", ErrGone)
	}
	r, w := io.Pipe()
	h.conn, h.said = &end{h: h, out: r, w: w}, 0
	h.made++
	return h.conn, nil
}

// Write takes what the agent says.
func (h *hub) Write(b []byte) (int, error) {
	h.mu.Lock()
	conn := h.conn
	h.said += len(b)
	breaks := h.breakAt > 0 && h.said >= h.breakAt
	h.mu.Unlock()
	if conn == nil {
		return len(b), nil
	}
	if breaks {
		_, _ = conn.w.Write(b[:len(b)/2])
		conn.w.Close()
	}
	_, _ = conn.w.Write(b)
	return len(b), nil
}

// kill ends the agent as SIGKILL does.
func (h *hub) kill() {
	h.mu.Lock()
	h.gone = true
	conn := h.conn
	h.mu.Unlock()
	h.in.Close()
	if conn != nil {
		conn.w.Close()
	}
}

// look is a probe that takes 3 ms and says when it began.
type look struct{ clock timeline.Clock }

func (l look) Observe(ctx context.Context) sampling.Observation {
	began := l.clock.Now()
	pass(ctx, 3*time.Millisecond)
	return sampling.Observation{Class: timeline.OK, Detail: fmt.Sprint(int64(began))}
}

func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// begin starts an agent within the bubble, whose probes look at the test's own clock.
func begin(t *testing.T, self Ready, truth timeline.Clock) *hub {
	t.Helper()
	r, w := io.Pipe()
	h := &hub{in: w, ended: make(chan error, 1)}
	go func() {
		err := Serve(context.WithoutCancel(t.Context()), r, h, self, func(_ context.Context, _ Order, j Job, _ timeline.Clock) (sampling.Observer, error) {
			if j.Kind != "look" {
				return nil, errors.New("unknown probe kind " + j.Kind)
			}
			return look{truth}, nil
		})
		h.kill()
		h.ended <- err
	}()
	return h
}

func aJob(index int) Job {
	return Job{Index: index, Name: "p/fresh", Kind: "look", Client: "fresh", Every: 10 * time.Millisecond, Timeout: 100 * time.Millisecond, Concurrency: 20}
}

// seen collects what a runner gets.
type seen struct {
	mu      sync.Mutex
	samples []timeline.Sample
	gaps    []timeline.Gap
	clocks  []timeline.ClockRelated
	lost    []error
}

func (s *seen) events() Events {
	return Events{
		Gap:   func(g timeline.Gap) { s.gaps = append(s.gaps, g) },
		Clock: func(c timeline.ClockRelated) { s.clocks = append(s.clocks, c) },
		Lost:  func(why error) { s.lost = append(s.lost, why) },
	}
}

func (s *seen) take(x timeline.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples = append(s.samples, x)
}

// numbers requires every sample once, and returns how many have data.
func (s *seen) numbers(t *testing.T, index int) (data int) {
	t.Helper()
	count := map[int64]int{}
	for _, x := range s.samples {
		if x.Series == index {
			count[x.N]++
			if x.Class != timeline.NoData {
				data++
			}
		}
	}
	for n := range int64(len(count)) {
		require.Equal(t, 1, count[n], "sample %d of %d", n, len(count))
	}
	return data
}

// runFor samples for a while.
func runFor(t *testing.T, a *Agent, clock timeline.Clock, d time.Duration, s *seen, indexes ...int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	var all sync.WaitGroup
	for _, i := range indexes {
		all.Go(func() { assert.NoError(t, a.Series(i).Run(ctx, clock, s.take)) })
	}
	all.Wait()
}

func TestSamplesComeAsTheyAreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		pass(t.Context(), 70*time.Second) // the agent's clock begins later
		h := begin(t, Ready{Version: "v1", Host: "node-b"}, clock)
		var s seen
		a, err := Start(t.Context(), "zone b", h, "r1", []Job{aJob(3), aJob(5)}, clock, s.events())
		require.NoError(t, err)
		assert.Equal(t, Ready{Version: "v1", Host: "node-b"}, a.Ready)
		require.Len(t, s.clocks, 1)
		assert.Equal(t, timeline.Offset(70*time.Second), s.clocks[0].Ahead)

		began := clock.Now()
		runFor(t, a, clock, 2*time.Second, &s, 3, 5)
		a.Close()
		require.NoError(t, <-h.ended)
		for _, i := range []int{3, 5} {
			assert.InDelta(t, 200, s.numbers(t, i), 2)
		}
		for _, x := range s.samples {
			var at int64
			_, err := fmt.Sscan(x.Detail, &at)
			require.NoError(t, err)
			require.LessOrEqual(t, int64(x.Start), at)
			require.GreaterOrEqual(t, int64(x.End), at+int64(3*time.Millisecond))
			require.Equal(t, timeline.Offset(3*time.Millisecond), x.Took())
			require.GreaterOrEqual(t, x.Start, began-timeline.Offset(time.Millisecond))
		}
		assert.Empty(t, s.lost)
		assert.Empty(t, s.gaps)
	})
}

func TestBrokenConnectionLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		h := begin(t, Ready{}, clock)
		var s seen
		a, err := Start(t.Context(), "zone b", h, "r1", []Job{aJob(0)}, clock, s.events())
		require.NoError(t, err)
		h.mu.Lock()
		h.breakAt = 20_000
		h.mu.Unlock()
		runFor(t, a, clock, 10*time.Second, &s, 0)
		a.Close()
		require.NoError(t, <-h.ended)
		assert.InDelta(t, 1000, s.numbers(t, 0), 2)
		assert.Greater(t, h.made, 5, "connections")
		assert.Empty(t, s.lost)
	})
}

func TestWhatLostAgentLeavesHasNoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		h := begin(t, Ready{}, clock)
		var s seen
		a, err := Start(t.Context(), "zone b", h, "r1", []Job{aJob(0)}, clock, s.events())
		require.NoError(t, err)
		time.AfterFunc(2*time.Second, h.kill)
		runFor(t, a, clock, 5*time.Second, &s, 0)
		a.Close()
		require.ErrorIs(t, <-h.ended, errNoInput)
		assert.InDelta(t, 200, s.numbers(t, 0), 2)
		assert.InDelta(t, 500, len(s.samples), 2)
		for _, x := range s.samples {
			if x.Class == timeline.NoData {
				assert.Contains(t, x.Detail, "pod shop/agent was deleted")
				assert.GreaterOrEqual(t, x.N, int64(198))
			}
		}
		require.Len(t, s.lost, 1)
		require.ErrorIs(t, a.Lost(), ErrGone)
	})
}

// A runner that dies does not close anything: the container runtime keeps the agent's
// input open.
func TestAgentEndsWithoutRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		h := begin(t, Ready{}, clock)
		var s seen
		a, err := Start(t.Context(), "zone b", h, "r1", []Job{aJob(0)}, clock, s.events())
		require.NoError(t, err)
		a.Close()
		began := time.Now()
		require.ErrorIs(t, <-h.ended, errSilence)
		assert.LessOrEqual(t, time.Since(began), Leash)
		h.in.Close()
	})
}

func TestSeriesIsSwitchedOffAndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		h := begin(t, Ready{}, clock)
		var s seen
		a, err := Start(t.Context(), "zone b", h, "r1", []Job{aJob(0), aJob(1)}, clock, s.events())
		require.NoError(t, err)
		a.Series(0).Look(false)
		time.AfterFunc(time.Second, func() { a.Series(0).Look(true) })
		runFor(t, a, clock, 2*time.Second, &s, 0, 1)
		a.Close()
		require.NoError(t, <-h.ended)
		assert.InDelta(t, 100, s.numbers(t, 0), 5)
		assert.InDelta(t, 200, s.numbers(t, 1), 2)
		for _, x := range s.samples {
			if x.Class == timeline.NoData {
				assert.Equal(t, NotNow, x.Detail)
			}
		}
	})
}

func TestAgentThatCannotDoItsOrder(t *testing.T) {
	for name, c := range map[string]struct {
		job  Job
		want string
	}{
		"kind": {Job{Name: "p/fresh", Kind: "nonsense"}, "probe agent in zone b: the agent has failed: probe p/fresh: unknown probe kind nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := timeline.NewClock()
				h := begin(t, Ready{}, clock)
				_, err := Start(t.Context(), "zone b", h, "r1", []Job{c.job}, clock, Events{})
				require.EqualError(t, err, c.want)
				h.in.Close()
				<-h.ended
			})
		})
	}
}

func TestAgentOfAnotherProtocolRefuses(t *testing.T) {
	in := bytes.NewReader(encode(beat{Order: &Order{Protocol: protocol + 1, Leash: time.Minute}}))
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		said, ended := lines(r), make(chan error, 1)
		held, hold := io.Pipe()
		go func() {
			ended <- Serve(t.Context(), io.MultiReader(in, held), w, Ready{Version: "v1"}, nil)
		}()
		require.True(t, said.Scan())
		assert.Contains(t, said.Text(), "use an image of the runner's version")
		hold.Close()
		require.ErrorIs(t, <-ended, errNoInput)
	})
}
