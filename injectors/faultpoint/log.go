package faultpoint

import (
	"sync"

	"firedrill/drills/timeline"
)

// logSize is how many exchanges are kept.
const logSize = 200_000

// Logged is an exchange with its number in the log.
type Logged struct {
	Seq uint64 `json:"seq"`
	timeline.Exchange
}

// ring keeps the newest exchanges, numbered from 0.
type ring struct {
	mu   sync.Mutex
	size int
	all  []timeline.Exchange
	// next is the number of the next exchange.
	next uint64
}

// put appends an exchange and returns its number.
func (r *ring) put(x timeline.Exchange) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) < r.size {
		r.all = append(r.all, x)
	} else {
		r.all[r.next%uint64(r.size)] = x
	}
	r.next++
	return r.next - 1
}

// amend changes an exchange, if it is still kept.
func (r *ring) amend(seq uint64, change func(*timeline.Exchange)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < r.next && seq >= r.first() {
		change(&r.all[seq%uint64(r.size)])
	}
}

// first is the number of the oldest one that is kept.
func (r *ring) first() uint64 { return r.next - uint64(len(r.all)) }

// end is the number of the next exchange.
func (r *ring) end() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// page returns at most n exchanges from a number on, and how many that came before
// them are no longer kept.
func (r *ring) page(from uint64, n int) (page []Logged, dropped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.first(); from < f {
		dropped, from = f-from, f
	}
	for ; from < r.next && len(page) < n; from++ {
		page = append(page, Logged{Seq: from, Exchange: r.all[from%uint64(r.size)]})
	}
	return page, dropped
}
