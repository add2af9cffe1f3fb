package sampling

import (
	"context"
	"time"

	"firedrill/drills/timeline"
)

// The rhythm at which a drill watches itself.
const (
	// Beat is how often Watch looks at the clock.
	Beat = 5 * time.Millisecond
	// Pause is the shortest pause that Watch reports.
	Pause = 20 * time.Millisecond
)

// Watch looks at the clock every so often until ctx ends, and reports each
// stretch of more than threshold between two looks: in it, the runner itself did
// not run (garbage collection, a stolen CPU, SIGSTOP). The stretch contains the
// pause; it is longer by less than every on the near side. Calls of onGap do not
// overlap. Threshold should be twice every or more.
func Watch(ctx context.Context, clock timeline.Clock, every, threshold time.Duration, onGap func(from, to timeline.Offset)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	last := clock.Now()
	for on := true; on; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			on = false // with one last look
		}
		now := clock.Now()
		if time.Duration(now-last) > threshold {
			onGap(last, now)
		}
		last = now
	}
}
