package truthtest

import (
	"firedrill/drills/timeline"

	"golang.org/x/sys/unix"
)

// monotonic reads CLOCK_MONOTONIC, in nanoseconds.
func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // the clock is always there (clock_gettime(2))
	}
	return ts.Nano()
}

// relation says what a runner's offsets are on CLOCK_MONOTONIC: an offset is that
// reading minus Zero, give or take Error.
type relation struct{ Zero, Error int64 }

// relate measures it: the clock is read between two readings of CLOCK_MONOTONIC,
// and the closest pair of many counts.
func relate(c timeline.Clock) relation {
	best := relation{Error: 1 << 62}
	for range 1000 {
		before, now, after := monotonic(), int64(c.Now()), monotonic()
		if half := (after - before + 1) / 2; half < best.Error {
			best = relation{Zero: before + half - now, Error: half}
		}
	}
	return best
}

// interval returns what contains the instant on the runner's clock.
func (r relation) interval(i instant) timeline.Interval {
	return timeline.Interval{
		Lo: timeline.Offset(i.Lo - r.Zero - r.Error),
		Hi: timeline.Offset(i.Hi - r.Zero + r.Error),
	}
}
