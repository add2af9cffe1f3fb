package sampling_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// series feeds a tracker, one sample every 10 ms.
type series struct {
	*sampling.Tracker
	n int64
}

func newSeries() *series {
	return &series{Tracker: sampling.NewTracker(10*time.Millisecond, 200*time.Millisecond,
		timeline.Stable{For: 300 * time.Millisecond, Samples: 10, Share: 0.9}, 0)}
}

func (s *series) at(n int64, c timeline.Class, took timeline.Offset) timeline.Sample {
	due := timeline.Offset(n) * 10 * ms
	return timeline.Sample{N: n, Due: due, Start: due, End: due + took, Class: c}
}

// add adds so many samples of a class and returns the moment after them.
func (s *series) add(many int, c timeline.Class) timeline.Offset {
	for range many {
		s.Add(s.at(s.n, c, ms))
		s.n++
	}
	return timeline.Offset(s.n) * 10 * ms
}

func TestTrackerFollowsAnOutage(t *testing.T) {
	s := newSeries()
	s.add(50, timeline.OK)
	_, bad := s.Bad()
	require.False(t, bad)
	s.add(2000, timeline.Refused) // longer than samples are kept
	s.add(1, timeline.NoData)
	s.add(1, timeline.Timeout)
	got, bad := s.Bad()
	require.True(t, bad)
	require.Equal(t, sampling.Failing{Since: 500 * ms, Class: timeline.Timeout}, got)
	s.add(1, timeline.OK)
	_, bad = s.Bad()
	require.False(t, bad)
}

// A request that hangs until the service is back ends late; it does not split the outage.
func TestTrackerIsNotMisledByAnAnswerThatWaited(t *testing.T) {
	s := newSeries()
	s.add(50, timeline.OK)
	s.Add(s.at(52, timeline.Reset, ms))
	s.Add(s.at(50, timeline.Reset, ms))
	s.Add(s.at(51, timeline.OK, 500*ms))
	got, bad := s.Bad()
	require.True(t, bad)
	require.Equal(t, 500*ms, got.Since)
}

func TestTrackerStable(t *testing.T) {
	s := newSeries()
	now := s.add(50, timeline.OK)
	require.True(t, s.Stable(0, now))
	require.True(t, s.Stable(190*ms, now))
	require.False(t, s.Stable(200*ms, now), "too short since then")
	require.False(t, s.Stable(0, now+130*ms), "nothing was heard for too long")
	s.add(1, timeline.Error)
	require.False(t, s.Stable(0, s.add(30, timeline.OK)), "too short since the bad one")
	require.True(t, s.Stable(0, s.add(1, timeline.OK)))
}

func TestTrackerNoDataIsToleratedOnlyInSmallDoses(t *testing.T) {
	s := newSeries()
	s.add(30, timeline.OK)
	s.add(1, timeline.NoData)
	require.True(t, s.Stable(0, s.add(10, timeline.OK)))
	s.add(11, timeline.NoData) // a hole
	require.False(t, s.Stable(0, s.add(30, timeline.OK)))
	require.True(t, s.Stable(0, s.add(1, timeline.OK)))
	for range 40 {
		s.add(1, timeline.NoData)
		now := s.add(4, timeline.OK)
		if s.n > 300 {
			require.False(t, s.Stable(0, now), "four fifths of the rate are too few")
		}
	}
}

// Samples behind one that is still under way do not count: it may turn out bad.
func TestTrackerWaitsForSamplesUnderWay(t *testing.T) {
	s := newSeries()
	s.add(20, timeline.OK)
	s.n++ // sample 20 hangs
	now := s.add(50, timeline.OK)
	require.False(t, s.Stable(0, now))
	s.Add(s.at(20, timeline.OK, 190*ms))
	require.True(t, s.Stable(0, now))
}

func TestTrackerDoesNotTakeTheRunnersPauseForAnOutage(t *testing.T) {
	s := newSeries()
	s.add(50, timeline.OK)
	s.Gap(505*ms, 1500*ms)
	s.Add(s.at(50, timeline.Timeout, 1000*ms))
	_, bad := s.Bad()
	require.False(t, bad)
	s.Add(s.at(51, timeline.Refused, 990*ms))
	_, bad = s.Bad()
	require.True(t, bad, "refused is refused")
}
