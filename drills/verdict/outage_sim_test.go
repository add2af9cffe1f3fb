package verdict_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

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
