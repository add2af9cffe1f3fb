package verdict_test

import (
	"math/rand/v2"
	"slices"
	"time"

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
