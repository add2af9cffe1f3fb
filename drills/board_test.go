package drills

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"firedrill/drills/timeline"
)

// A pause of the runner at the end of the baseline is no data: it does not undo
// the good samples before it, and none at all is still told.
func TestAGapIsNotABadBaseline(t *testing.T) {
	b := newBoard(timeline.Plan{Series: []timeline.Series{{
		Probe: "write", Client: "fresh", Via: "rw", Mode: "Continuous", Judged: true, Every: 10 * time.Millisecond,
	}}}, timeline.NewClock())
	defer b.stop()
	began := timeline.Offset(time.Second)
	at := func(d time.Duration, c timeline.Class) {
		b.sample(timeline.Sample{Start: began + timeline.Offset(d), End: began + timeline.Offset(d), Class: c})
	}
	assert.Contains(t, b.badSince(began), "has no good sample")
	at(10*time.Millisecond, timeline.OK)
	at(20*time.Millisecond, timeline.NoData)
	assert.Empty(t, b.badSince(began))
	at(30*time.Millisecond, timeline.Refused)
	assert.Contains(t, b.badSince(began), "refused")
}
