package vantage

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// asAgent tells the test binary, executed again, to be an agent.
const asAgent = "FIREDRILL_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) == "" {
		os.Exit(m.Run())
	}
	err := Serve(context.Background(), os.Stdin, os.Stdout, Ready{Version: "test"}, func(context.Context, Order, Job, timeline.Clock) (sampling.Observer, error) {
		return witness{}, nil
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// monotonic reads CLOCK_MONOTONIC, which all processes of a machine share, in
// nanoseconds: the test's truth, of which neither end of the stream knows anything.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the clock is always there (clock_gettime(2))
	}
	return ts.Nano()
}

// zero is what CLOCK_MONOTONIC showed at offset 0 of a clock, give or take an error.
func zero(c timeline.Clock) (zero, err int64) {
	err = 1 << 62
	for range 1000 {
		before, now, after := monotonic(), int64(c.Now()), monotonic()
		if half := (after - before + 1) / 2; half < err {
			zero, err = before+half-now, half
		}
	}
	return zero, err
}

// witness takes up to 2 ms, and says from when to when.
type witness struct{}

func (witness) Observe(ctx context.Context) sampling.Observation {
	from := monotonic()
	pass(ctx, time.Duration(rand.Int64N(2e6)))
	return sampling.Observation{Class: timeline.OK, Detail: fmt.Sprint(from, " ", monotonic())}
}

// slow is a link that delays what goes either way, each for itself.
type slow struct {
	*Process
	there, back func() time.Duration
}

func (l slow) Connect(ctx context.Context) (io.ReadWriteCloser, error) {
	c, err := l.Process.Connect(ctx)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	type due struct {
		at   time.Time
		text []byte
	}
	queue := make(chan due, 10_000)
	go func() {
		defer close(queue)
		for s := bufio.NewScanner(c); s.Scan(); {
			queue <- due{time.Now().Add(l.back()), append(slices.Clone(s.Bytes()), '\n')}
		}
	}()
	go func() {
		defer w.Close()
		for d := range queue {
			pass(ctx, time.Until(d.at))
			if _, err := w.Write(d.text); err != nil {
				return
			}
		}
	}()
	return &delayed{ReadWriteCloser: c, in: r, there: l.there}, nil
}

type delayed struct {
	io.ReadWriteCloser
	in    *io.PipeReader
	there func() time.Duration
}

func (d *delayed) Read(b []byte) (int, error) { return d.in.Read(b) }

func (d *delayed) Write(b []byte) (int, error) {
	pass(context.Background(), d.there())
	return d.ReadWriteCloser.Write(b)
}

func (d *delayed) Close() error {
	d.in.Close()
	return d.ReadWriteCloser.Close()
}

func agentProcess(t *testing.T) *Process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	return &Process{Argv: []string{exe}, Env: []string{asAgent + "=1"}, Stderr: os.Stderr}
}

// The agent is another process, whose clock has another epoch; what it saw, it saw
// within what the runner makes of it. The middle of a round trip would often be wrong:
// the way back takes longer than the way there.
func TestTruthOfAnotherProcess(t *testing.T) {
	between := func(lo, hi time.Duration) func() time.Duration {
		return func() time.Duration { return lo + time.Duration(rand.Int64N(int64(hi-lo+1))) }
	}
	for name, c := range map[string]struct {
		link  func(*Process) Link
		worst time.Duration
	}{
		"pipes":         {func(p *Process) Link { return p }, 10 * time.Millisecond},
		"slow way back": {func(p *Process) Link { return slow{p, between(0, 3e6), between(8e6, 25e6)} }, 30 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			clock := timeline.NewClock()
			own, give := zero(clock)
			var s seen
			jobs := []Job{aJob(0), aJob(1)}
			a, err := Start(t.Context(), "elsewhere", c.link(agentProcess(t)), "r1", jobs, clock, s.events())
			require.NoError(t, err)
			runFor(t, a, clock, 3*time.Second, &s, 0, 1)
			a.Close()
			require.NoError(t, a.Lost())
			errors := make([]time.Duration, 0, len(s.samples))
			for _, x := range s.samples {
				if x.Class == timeline.NoData {
					continue // the machine was too busy
				}
				var from, to int64
				_, err := fmt.Sscan(x.Detail, &from, &to)
				require.NoError(t, err)
				require.LessOrEqual(t, int64(x.Start), from-own+give, "sample %d began later than it did", x.N)
				require.GreaterOrEqual(t, int64(x.End), to-own-give, "sample %d ended earlier than it did", x.N)
				errors = append(errors, time.Duration(x.Error))
			}
			assert.Greater(t, s.numbers(t, 0)+s.numbers(t, 1), 400)
			slices.Sort(errors)
			t.Logf("%d samples contain the truth; clock known to ±%v (median), ±%v (worst), at first ±%v; 99 %% came within %v",
				len(errors), errors[len(errors)/2], errors[len(errors)-1], s.clocks[0].Error, a.Clock().Late)
			assert.Less(t, errors[len(errors)/2], c.worst)
		})
	}
}

// An agent that does not run says so, and when, on the runner's clock.
func TestAgentThatIsStopped(t *testing.T) {
	clock := timeline.NewClock()
	own, give := zero(clock)
	p := &caught{Process: agentProcess(t)}
	var s seen
	a, err := Start(t.Context(), "elsewhere", p, "r1", []Job{aJob(0)}, clock, s.events())
	require.NoError(t, err)
	var from, to int64
	var stopping sync.WaitGroup
	stopping.Go(func() {
		pass(t.Context(), 500*time.Millisecond)
		assert.NoError(t, p.signal(syscall.SIGSTOP))
		from = monotonic()
		pass(t.Context(), 400*time.Millisecond)
		to = monotonic()
		assert.NoError(t, p.signal(syscall.SIGCONT))
	})
	runFor(t, a, clock, 2*time.Second, &s, 0)
	stopping.Wait()
	a.Close()
	require.NotEmpty(t, s.gaps)
	assert.True(t, slices.ContainsFunc(s.gaps, func(g timeline.Gap) bool {
		return g.Of == "elsewhere" && int64(g.From) <= from-own+give && int64(g.To) >= to-own-give
	}), "gaps %v, stopped from %v to %v", s.gaps, from-own, to-own)
	s.numbers(t, 0)
}

// caught is a process that signals can be sent to.
type caught struct {
	*Process
	conn *process
}

func (c *caught) Connect(ctx context.Context) (io.ReadWriteCloser, error) {
	conn, err := c.Process.Connect(ctx)
	if err == nil {
		c.conn = conn.(*process)
	}
	return conn, err
}

func (c *caught) signal(s os.Signal) error { return c.conn.cmd.Process.Signal(s) }

func TestOutboxDropsTheOldestAndSaysSo(t *testing.T) {
	o := newOutbox()
	for range kept + 10 {
		o.add(line{Done: new(int)})
	}
	assert.Equal(t, int64(11), o.oldest())
	assert.Equal(t, kept, o.left())
	first := string(o.next())
	assert.Contains(t, first[:20], `"n":11,`)
	o.has(kept+10, false)
	assert.Zero(t, o.left())
	assert.Empty(t, o.next())
}
