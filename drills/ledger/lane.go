package ledger

import (
	"errors"
	"fmt"
	"sync"

	"firedrill/drills/timeline"
)

// Lane is one writer: a row of attempts of which at most one is under way. It is
// used by one goroutine at a time: Next, the attempt, Record, and so on, then
// Release.
type Lane struct {
	file   *File
	writer uint16
	taken  bool // guarded by file.lanesMu

	mu      sync.Mutex
	seq     uint64
	pending bool
	end     timeline.Offset

	acks acks
}

// Writer returns the lane's number, from 1. A lane that is handed out again
// keeps its number and its sequence goes on.
func (l *Lane) Writer() uint16 { return l.writer }

// Next returns the id of the next attempt. An attempt before it that was not
// recorded is written as indeterminate, with the lane's last end for both of its
// times: an id may have been sent, and is never given out twice.
func (l *Lane) Next() ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle()
	l.seq++
	l.pending = true
	return ID{Writer: l.writer, Seq: l.seq}
}

// Record writes what became of the attempt that Next gave the id of; member may
// be "" and has at most 255 bytes. When it returns nil, the entry outlives the
// runner; see File. On an error the entry may be missing: the drill must stop.
func (l *Lane) Record(outcome Outcome, start, end timeline.Offset, member string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := ID{Writer: l.writer, Seq: l.seq}
	switch {
	case !l.pending:
		return fmt.Errorf("record attempt %v: %w", id, errors.New("it is recorded already, or Next was not called"))
	case outcome > Rejected:
		return fmt.Errorf("record attempt %v: unknown outcome %d", id, outcome)
	case end < start:
		return fmt.Errorf("record attempt %v: it ends %d ns before it starts", id, start-end)
	case len(member) > maxMemberName:
		return fmt.Errorf("record attempt %v: member name has %d bytes, at most %d are possible", id, len(member), maxMemberName)
	}
	return l.record(Entry{ID: id, Outcome: outcome, Start: start, End: end, Member: member})
}

// record writes the pending entry; l.mu is held.
func (l *Lane) record(e Entry) error {
	if err := l.file.append(e, int64(l.end)); err != nil {
		return fmt.Errorf("record attempt %v: %w", e.ID, err)
	}
	l.pending = false
	l.end = e.End
	if e.Outcome == Acknowledged {
		l.acks.add(Ack{ID: e.ID, End: e.End})
	}
	return nil
}

// settle writes a pending attempt as indeterminate; l.mu is held. If that fails,
// the file has failed for good, and says so in Err.
func (l *Lane) settle() {
	if l.pending {
		id := ID{Writer: l.writer, Seq: l.seq}
		_ = l.record(Entry{ID: id, Outcome: Indeterminate, Start: l.end, End: l.end})
	}
}

func (l *Lane) settleLocked() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settle()
}

// Release hands the lane back; an attempt that was not recorded is written as
// indeterminate. A second Release has no effect.
func (l *Lane) Release() {
	l.settleLocked()
	l.file.lanesMu.Lock()
	defer l.file.lanesMu.Unlock()
	if l.taken {
		l.taken = false
		l.file.free = append(l.file.free, l)
	}
}
