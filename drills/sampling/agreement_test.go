package sampling_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// moody returns the samples of a service that is now good, now bad, now slow, and
// of a runner that misses some of them.
func moody(r *rand.Rand, every, timeout timeline.Offset) (out []timeline.Sample) {
	classes := []timeline.Class{timeline.OK, timeline.OK, timeline.OK, timeline.Refused, timeline.Timeout, timeline.NoData}
	class, left, took := timeline.OK, 50, ms
	for n := range int64(1500) {
		if left--; left < 0 {
			class, left, took = classes[r.IntN(len(classes))], r.IntN(120), timeline.Offset(r.Int64N(int64(3*every)))
			if r.IntN(2) == 0 {
				left = r.IntN(5)
			}
		}
		due := timeline.Offset(n) * every
		start := due + timeline.Offset(r.Int64N(int64(ms)))
		s := timeline.Sample{N: n, Due: due, Start: start, End: start + took/2 + timeline.Offset(r.Int64N(int64(took))), Class: class}
		switch class {
		case timeline.Timeout:
			s.End = start + timeout
		case timeline.NoData:
			s.Start, s.End = due, due
		}
		out = append(out, s)
	}
	return out
}

// What the tracker calls stable, the verdict calls stable; and when the verdict
// sees the series fail for good, so does the tracker.
func TestTrackerAgreesWithTheVerdict(t *testing.T) {
	stable := timeline.Stable{For: 500 * time.Millisecond, Samples: 20, Share: 0.9}
	yes, no := 0, 0
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		every, timeout := []timeline.Offset{10 * ms, 50 * ms}[seed%2], 400*ms
		samples := moody(r, every, timeout)
		slices.SortStableFunc(samples, func(a, b timeline.Sample) int { return cmp.Compare(a.End, b.End) })
		tracker := sampling.NewTracker(time.Duration(every), time.Duration(timeout), stable, 0)
		since := timeline.Offset(r.Int64N(int64(700 * every)))
		for i, s := range samples {
			tracker.Add(s)
			if r.IntN(10) != 0 {
				continue
			}
			known := slices.Clone(samples[:i+1])
			slices.SortFunc(known, verdict.ByStart)
			readings := verdict.Readings{Samples: known, Every: time.Duration(every), Timeout: time.Duration(timeout)}
			rec := readings.Recovery(verdict.Window{Disruption: timeline.Interval{Lo: since, Hi: since}}, stable, 0)
			if tracker.Stable(since, s.End) {
				yes++
				require.True(t, rec.Recovered, "seed %d at %v: %+v", seed, s.End, rec)
				require.LessOrEqual(t, rec.StableAt, s.End)
				_, bad := tracker.Bad()
				require.False(t, bad)
			} else {
				no++
			}
		}
	}
	t.Logf("stable %d times, not stable %d times", yes, no)
	require.Greater(t, yes, 1000)
	require.Greater(t, no, 1000)
}
