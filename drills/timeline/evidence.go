package timeline

import "time"

// Silent tells whether a runner that is away can bring the class about by itself:
// it did not read the answer in time, or did not speak before the server gave up
// on it. The other classes are statements of the server or of the network.
func (c Class) Silent() bool {
	return c == Timeout || c == Reset || c == TLS || c == DNS
}

// Within returns how much of the gap lies between from and to.
func (g Gap) Within(from, to Offset) time.Duration {
	return time.Duration(max(0, min(g.To, to)-max(g.From, from)))
}

// Away tells whether a bad sample must be read as no data, because the runner was
// away (for the given time) while it was under way: what is Silent proves
// something only if the runner listened for nine tenths of the timeout.
func (s Sample) Away(away, timeout time.Duration) bool {
	return s.Class.Silent() && away > timeout/10
}

// Hole returns how far apart the starts of two consecutive good samples may be
// for a series to count as good throughout: one sample more than the rhythm, and
// 100 ms at least, so that a fast series does not start over at every hiccup of
// the runner.
func Hole(every time.Duration) time.Duration {
	return every + max(every, 100*time.Millisecond)
}
