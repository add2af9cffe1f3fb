package verdict_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

const ms = timeline.Offset(time.Millisecond)

// How a simulated service is down.
const (
	refuses   = "refuses"        // fails at once
	swallows  = "swallows"       // never answers
	holds     = "holds"          // cuts the connection when it is back
	unfreezes = "unfreezes"      // answers when it is back
	crashes   = "crashes"        // fails at once, and so do requests being served
	stretch   = 12 * time.Second // how long a simulation lasts
)

// down is one true outage.
type down struct {
	from, to timeline.Offset
	mode     string
}

// world is a simulated service, and a runner that looks at it and pauses.
type world struct {
	*rand.Rand
	every, timeout, trip timeline.Offset
	downs                []down
	pauses               []timeline.Gap
}

func newWorld(seed uint64) *world {
	w := &world{Rand: rand.New(rand.NewPCG(seed, 7))}
	w.every = []timeline.Offset{10 * ms, 20 * ms, 50 * ms}[w.IntN(3)]
	w.timeout = []timeline.Offset{200 * ms, 500 * ms, 1000 * ms}[w.IntN(3)]
	w.trip = []timeline.Offset{w.every / 8, w.every / 2, w.every * 3}[w.IntN(3)]
	modes := []string{refuses, swallows, holds, unfreezes, crashes}
	at := 60*w.every + w.upTo(500*ms)
	for at < timeline.Offset(stretch) {
		to := at + w.every/2 + w.upTo([]timeline.Offset{100 * ms, 500 * ms, 3000 * ms}[w.IntN(3)])
		w.downs = append(w.downs, down{at, to, modes[w.IntN(len(modes))]})
		at = to + w.every/2 + w.upTo([]timeline.Offset{100 * ms, 1000 * ms, 3000 * ms}[w.IntN(3)])
	}
	for at := 60 * w.every; w.IntN(2) == 0 && at < timeline.Offset(stretch); {
		at += w.upTo(4000 * ms)
		to := at + 25*ms + w.upTo(1500*ms)
		w.pauses = append(w.pauses, timeline.Gap{From: at, To: to})
		at = to + 50*ms
	}
	return w
}

func (w *world) upTo(o timeline.Offset) timeline.Offset {
	return timeline.Offset(w.Int64N(int64(o) + 1))
}

// awake returns when the runner gets round to what happens at a moment.
func (w *world) awake(at timeline.Offset) timeline.Offset {
	for _, p := range w.pauses {
		if at >= p.From && at < p.To {
			return p.To
		}
	}
	return at
}

// state returns how the service is down at a moment, nil if it is up.
func (w *world) state(at timeline.Offset) *down {
	for i := range w.downs {
		if d := &w.downs[i]; at >= d.from && at < d.to {
			return d
		}
	}
	return nil
}

// gaps are the pauses as a heartbeat sees them: a little longer.
func (w *world) gaps() (out []timeline.Gap) {
	for _, p := range w.pauses {
		out = append(out, timeline.Gap{From: p.From - w.upTo(5*ms), To: p.To + w.upTo(ms)})
	}
	return out
}

func (w *world) samples() (out []timeline.Sample) {
	for n := int64(0); timeline.Offset(n)*w.every < timeline.Offset(stretch); n++ {
		out = append(out, w.sample(n, timeline.Offset(n)*w.every))
	}
	slices.SortFunc(out, verdict.ByStart)
	return out
}

func (w *world) sample(n int64, due timeline.Offset) timeline.Sample {
	s := timeline.Sample{N: n, Due: due, Start: w.awake(due + w.upTo(ms)), Class: timeline.OK}
	if s.Start-due > max(w.every, 20*ms) {
		s.Start, s.End, s.Class = due, due, timeline.NoData
		return s
	}
	parts := [4]timeline.Offset{} // to leave the runner, to arrive, to be served, to be read
	for i := range parts {
		parts[i] = w.upTo(w.trip / 4)
		if n%400 == 30 {
			parts[i] = w.trip / 4 // the longest round trip is seen now and then
		}
	}
	arrives := w.awake(s.Start+parts[0]) + parts[1]
	leaves, class := w.serve(arrives, arrives+parts[2])
	s.Class = class
	s.End = w.awake(leaves + parts[3])
	if deadline := w.awake(s.Start + w.timeout); s.End > deadline || (s.End == deadline && w.IntN(2) == 0) {
		s.End, s.Class = deadline, timeline.Timeout
	}
	return s
}

// serve returns when the service answers a request, and how.
func (w *world) serve(arrives, done timeline.Offset) (timeline.Offset, timeline.Class) {
	d := w.state(arrives)
	if d == nil {
		if d = w.state(done); d == nil || d.mode != crashes {
			return done, timeline.OK
		}
	}
	switch d.mode {
	case swallows:
		return done + 1e15, timeline.Timeout
	case holds:
		return max(done, d.to), timeline.Reset
	case unfreezes:
		return max(done, d.to), timeline.OK
	default:
		return done, timeline.Refused
	}
}

// The bounds contain the truth whatever the service does and whenever the runner
// pauses; nothing is made up; what is missed or merged could not be told apart.
func TestOutagesContainTheTruth(t *testing.T) {
	found, merged, missed := 0, 0, 0
	for seed := range uint64(3000) {
		w := newWorld(seed)
		r := verdict.Readings{
			Samples: w.samples(), Gaps: w.gaps(),
			Every: time.Duration(w.every), Timeout: time.Duration(w.timeout),
		}
		left := w.downs
		for _, got := range r.Outages() {
			what := fmt.Sprintf("seed %d: %+v; truth %v; pauses %v", seed, got, w.downs, w.pauses)
			for len(left) > 0 && left[0].to < got.Start.Lo {
				require.True(t, w.missable(left[0]), "missed %v; %s", left[0], what)
				left, missed = left[1:], missed+1
			}
			require.NotEmpty(t, left, "false outage; %s", what)
			for !contains(got.Start, left[0].from) && w.missable(left[0]) && len(left) > 1 {
				left, missed = left[1:], missed+1
			}
			require.True(t, contains(got.Start, left[0].from), "start of %v; %s", left[0], what)
			if !got.Ended {
				require.LessOrEqual(t, got.End.Lo, w.downs[len(w.downs)-1].to, what)
				found++
				break
			}
			for !contains(got.End, left[0].to) {
				require.Greater(t, len(left), 1, "end; %s", what)
				require.True(t, w.mergeable(left[0], left[1]), "merged %v; %s", left[:2], what)
				left, merged = left[1:], merged+1
			}
			left, found = left[1:], found+1
		}
	}
	t.Logf("%d outages found, %d merged, %d missed", found, merged, missed)
	require.Greater(t, found, 10000)
}

func contains(i timeline.Interval, o timeline.Offset) bool { return i.Lo <= o && o <= i.Hi }

// paused tells whether the runner paused near a stretch.
func (w *world) paused(from, to timeline.Offset) bool {
	return slices.ContainsFunc(w.pauses, func(p timeline.Gap) bool {
		return p.To > from-w.every-w.timeout && p.From < to+w.every+w.timeout
	})
}

// missable tells whether the samples may say nothing of an outage.
func (w *world) missable(d down) bool {
	need := 2*w.every + w.trip
	if d.mode == unfreezes {
		need += w.timeout
	}
	return d.to-d.from <= need || w.paused(d.from, d.to)
}

// mergeable tells whether no good sample need lie certainly between two outages.
// Answers that waited for a short freeze count as good, and make all that comes
// after them less certain.
func (w *world) mergeable(a, b down) bool {
	trip := w.trip
	if slices.ContainsFunc(w.downs, func(d down) bool { return d.mode == unfreezes && d.from < b.to }) {
		trip = w.timeout
	}
	return b.from-a.to <= 3*w.every+4*trip || w.paused(a.to, b.from) || w.missable(a) || w.missable(b)
}

// Recovery is the end of the last outage of the window, and contains the truth.
func TestRecoveryContainsTheTruth(t *testing.T) {
	stable := timeline.Stable{For: 500 * time.Millisecond, Samples: 5, Share: 0.5}
	seen := 0
	for seed := range uint64(500) {
		w := newWorld(seed)
		w.pauses = nil
		at := w.downs[0].from
		r := verdict.Readings{Samples: w.samples(), Every: time.Duration(w.every), Timeout: time.Duration(w.timeout)}
		got := r.Recovery(verdict.Window{Disruption: timeline.Interval{Lo: at - ms, Hi: at + ms}}, stable, 0)
		if !got.Recovered {
			continue
		}
		seen++
		i, ok := slices.BinarySearchFunc(w.downs, got.End, func(d down, end timeline.Interval) int {
			if contains(end, d.to) {
				return 0
			}
			return cmp.Compare(d.to, end.Lo)
		})
		require.True(t, ok, "seed %d: %+v, truth %v", seed, got, w.downs)
		truth := time.Duration(w.downs[i].to - at)
		require.LessOrEqual(t, got.Lo, truth)
		require.GreaterOrEqual(t, got.Hi, truth)
		for _, d := range w.downs[i+1:] {
			require.True(t, w.missable(d) || d.from > got.StableAt, "seed %d: %v after %v", seed, d, got)
		}
	}
	require.Greater(t, seen, 100)
}
