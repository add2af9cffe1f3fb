package vantage

import "sync"

// kept is how many lines an agent keeps for a runner that does not answer: those of a
// hundred samples a second for half an hour.
const kept = 200_000

// outbox is what an agent has to say. Lines with a number stay until the runner has
// them. Its methods may be called concurrently, and none of them waits.
type outbox struct {
	mu sync.Mutex
	// lines are those numbered from first on; sent is the last that was handed to the
	// stream.
	lines       [][]byte
	first, sent int64
	// urgent is the answer to the latest beat: an older one is of no use.
	urgent func() line
	// more is signalled when there is something to send.
	more chan struct{}
}

func newOutbox() *outbox { return &outbox{first: 1, more: make(chan struct{}, 1)} }

func (o *outbox) wake() {
	select {
	case o.more <- struct{}{}:
	default:
	}
}

// add numbers a line. The oldest is dropped when there are too many.
func (o *outbox) add(l line) {
	o.mu.Lock()
	l.N = o.first + int64(len(o.lines))
	if o.lines = append(o.lines, encode(l)); len(o.lines) > kept {
		o.lines, o.first = o.lines[1:], o.first+1
	}
	o.mu.Unlock()
	o.wake()
}

// answer sends a line before all others. It is made when it is sent.
func (o *outbox) answer(make func() line) {
	o.mu.Lock()
	o.urgent = make
	o.mu.Unlock()
	o.wake()
}

// has takes what the runner has, and what it wants once more.
func (o *outbox) has(number int64, again bool) {
	o.mu.Lock()
	if n := number + 1 - o.first; n > 0 && n <= int64(len(o.lines)) {
		o.lines, o.first = o.lines[n:], o.first+n
	}
	if again {
		o.sent = min(o.sent, max(number, o.first-1))
	}
	o.mu.Unlock()
	o.wake()
}

// oldest is the number of the oldest line that is kept.
func (o *outbox) oldest() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.first
}

// left is how many lines the runner has not got yet.
func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lines)
}

// atOnce is how many lines are handed to the stream in one write.
const atOnce = 500

// next returns what is to be sent now, if anything.
func (o *outbox) next() []byte {
	o.mu.Lock()
	urgent := o.urgent
	o.urgent = nil
	o.mu.Unlock()
	if urgent != nil {
		return encode(urgent())
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = max(o.sent, o.first-1)
	var out []byte
	for i := o.sent + 1 - o.first; i < int64(len(o.lines)) && i < o.sent+1-o.first+atOnce; i++ {
		out = append(out, o.lines[i]...)
	}
	o.sent = min(o.sent+atOnce, o.first+int64(len(o.lines))-1)
	return out
}
