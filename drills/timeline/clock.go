// Package timeline is the run record: events, samples and the plan they belong
// to. It is append-only and hash-chained, and it is all that a verdict is
// computed from.
package timeline

import "time"

// Offset is a moment in nanoseconds since the run's epoch, on the runner's
// monotonic clock.
type Offset int64

// Seconds returns the offset in seconds.
func (o Offset) Seconds() float64 { return time.Duration(o).Seconds() }

// Interval is a pair of bounds, Lo <= Hi, that contain the true moment.
type Interval struct {
	Lo Offset `json:"lo"`
	Hi Offset `json:"hi"`
}

// Width returns Hi-Lo.
func (i Interval) Width() time.Duration { return time.Duration(i.Hi - i.Lo) }

// Clock turns the monotonic clock into offsets. The zero Clock is not usable.
type Clock struct{ epoch time.Time }

// NewClock starts a clock now.
func NewClock() Clock { return Clock{epoch: time.Now()} }

// Now returns the offset of this moment.
func (c Clock) Now() Offset { return Offset(time.Since(c.epoch)) }

// At returns the offset of a moment; t must carry a monotonic reading.
func (c Clock) At(t time.Time) Offset { return Offset(t.Sub(c.epoch)) }

// Time returns the moment of an offset, with a monotonic reading.
func (c Clock) Time(o Offset) time.Time { return c.epoch.Add(time.Duration(o)) }

// Epoch returns the wall clock at offset 0; it labels, it never measures.
func (c Clock) Epoch() time.Time { return c.epoch.Round(0).UTC() }
