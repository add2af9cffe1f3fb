// Package sampling is the open-loop sampler. It owns the clock; probes do not:
// sample n is due at t0 + n·Every whatever happened to the samples before, and
// what could not be looked at is recorded as no data, never left out.
package sampling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"firedrill/drills/timeline"
)

// Observation is what one look at the service came to. A failure is data.
type Observation struct {
	Class timeline.Class
	// By names the member that answered, if that can be told.
	By string
	// Detail is the first line of what was said; the sampler cuts it.
	Detail string
	// Stale is for how long an acknowledged write was not seen by a read.
	Stale time.Duration
	// Request is set by probes that ask a model; Class follows from its outcome.
	Request *timeline.Request
}

// Observer looks at a service, once per call. Calls overlap. Observe returns by
// the deadline of ctx; the sampler does not wait for one that does not.
type Observer interface {
	Observe(ctx context.Context) Observation
}

// Sink takes samples. It is called from many goroutines at once, in the order in
// which samples end, not in which they start; it must not block for long.
type Sink func(timeline.Sample)

// Series is one probe, looked at by one class of client.
type Series struct {
	// Index is what Sample.Series is set to.
	Index int
	// Every is the time from one sample's due time to the next; above 0.
	Every time.Duration
	// Timeout is how long after its start a sample without an answer has failed; above 0.
	Timeout time.Duration
	// Concurrency is how many samples may be under way at once; a sample that is
	// due while so many are is recorded as no data. 0 means Lanes(Every, Timeout).
	Concurrency int
	// Phase is how long after the call of Run the first sample is due; see Spread.
	Phase time.Duration
	// Grace is how long samples under way may go on once the series is stopped,
	// after which they are recorded as no data; 0 means until their deadline.
	Grace    time.Duration
	Observer Observer
}

// Lanes returns how many samples are under way at once when every one of them
// hangs until its deadline, with a tenth to spare: with that concurrency, a
// target that hangs costs no sample.
func Lanes(every, timeout time.Duration) int {
	n := int((timeout + every - 1) / every)
	return n + n/10 + 8
}

// Spread returns the phase of a series: between 0 and every, chosen by the seed,
// so that the series of a run do not all fire at the same moment.
func Spread(seed uint64, index int, every time.Duration) time.Duration {
	r := rand.New(rand.NewPCG(seed, uint64(index)))
	return time.Duration(r.Int64N(int64(max(every, 1))))
}

// check reports what keeps the series from running.
func (s Series) check() error {
	switch {
	case s.Every <= 0:
		return fmt.Errorf("run series %d: every is %v; it must be above 0", s.Index, s.Every)
	case s.Timeout <= 0:
		return fmt.Errorf("run series %d: timeout is %v; it must be above 0", s.Index, s.Timeout)
	case s.Observer == nil:
		return fmt.Errorf("run series %d: it has no probe", s.Index)
	}
	return nil
}

// longest is the longest detail that is recorded, in bytes.
const longest = 200

// cut returns the first line of text, at most longest bytes, whole runes only.
func cut(text string) string {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		text = text[:i]
	}
	if len(text) <= longest {
		return text
	}
	end := longest
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
