package sampling_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// In a bubble the watch itself is what is held up: by its own callback.
func TestWatchReportsWhenTheRunnerDidNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var gaps []timeline.Gap
		var held sync.Once
		// The threshold is below the beat, so that the first beat is a gap.
		sampling.Watch(ctx, clock, 100*time.Millisecond, 50*time.Millisecond, func(from, to timeline.Offset) {
			gaps = append(gaps, timeline.Gap{From: from, To: to})
			held.Do(func() { <-time.After(350 * time.Millisecond) })
		})
		require.Equal(t, timeline.Gap{From: 0, To: 100 * ms}, gaps[0])
		require.Equal(t, timeline.Gap{From: 100 * ms, To: 450 * ms}, gaps[1], "the hold-up")
	})
}

func TestWatchIsQuietWhileTheRunnerRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sampling.Watch(ctx, timeline.NewClock(), sampling.Beat, sampling.Pause, func(from, to timeline.Offset) {
			t.Errorf("gap from %v to %v", from, to)
		})
	})
}
