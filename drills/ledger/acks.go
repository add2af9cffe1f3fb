package ledger

import (
	"sort"
	"sync"

	"firedrill/drills/timeline"
)

// Ack is an acknowledged id and when the acknowledgement had arrived.
type Ack struct {
	ID  ID
	End timeline.Offset
}

// MustSee returns, for each lane that has one, the newest id whose
// acknowledgement had arrived before start: a read that begins at start must see
// it. The ids before it in the lane must be visible too, but for those that were
// not acknowledged: look for this one, or for the lane's highest.
//
// It costs one uncontended lock for each lane and never waits for the disk.
func (f *File) MustSee(start timeline.Offset) []Ack {
	lanes := f.allLanes()
	must := make([]Ack, 0, len(lanes))
	for _, l := range lanes {
		if a, ok := l.acks.newestBefore(start); ok {
			must = append(must, a)
		}
	}
	return must
}

// Unseen returns the oldest acknowledged id after newest in newest's lane whose
// acknowledgement had arrived before start: what a read that began at start and
// saw nothing after newest has missed, for at least start minus its End. False if
// it missed nothing. Of each lane the last 1024 acknowledgements are kept; if the
// oldest missed is older, the oldest kept is returned, and the bound stays true.
func (f *File) Unseen(newest ID, start timeline.Offset) (Ack, bool) {
	lanes := f.allLanes()
	if newest.Writer == 0 || int(newest.Writer) > len(lanes) {
		return Ack{}, false
	}
	a, ok := lanes[newest.Writer-1].acks.oldestAfter(newest.Seq)
	if !ok || a.End >= start {
		return Ack{}, false
	}
	return a, true
}

const acksKept = 1024

// acks is a ring of a lane's latest acknowledgements, in order.
type acks struct {
	mu   sync.Mutex
	ring []Ack
	head int // index of the oldest, once the ring is full
}

func (k *acks) add(a Ack) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.ring) < acksKept {
		k.ring = append(k.ring, a)
		return
	}
	k.ring[k.head] = a
	k.head = (k.head + 1) % acksKept
}

// at returns the i-th oldest; k.mu is held.
func (k *acks) at(i int) Ack { return k.ring[(k.head+i)%len(k.ring)] }

func (k *acks) newestBefore(start timeline.Offset) (Ack, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := len(k.ring) - 1; i >= 0; i-- {
		if a := k.at(i); a.End < start {
			return a, true
		}
	}
	return Ack{}, false
}

func (k *acks) oldestAfter(seq uint64) (Ack, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := sort.Search(len(k.ring), func(i int) bool { return k.at(i).ID.Seq > seq })
	if i == len(k.ring) {
		return Ack{}, false
	}
	return k.at(i), true
}
