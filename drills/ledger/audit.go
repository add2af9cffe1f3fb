package ledger

import (
	"errors"
	"fmt"
	"iter"
	"slices"
)

// maxReads is how many readings an audit compares at once.
const maxReads = 64

// Audit compares what was attempted with what was read back. It is pure. entries
// returns a fresh reading of the ledger's file each time it is called, see Read;
// it is called a second time only if two primaries seem to overlap. Entries that
// end in ErrTorn are audited as far as they go; any other error is returned.
//
// The entries pass through: what takes memory are the reads alone, see ReadBack,
// and the listed ranges.
func Audit(entries func() iter.Seq2[Entry, error], reads []ReadBack, opts Options) (Accounting, error) {
	if len(reads) > maxReads {
		return Accounting{}, fmt.Errorf("audit ledger: %d readings, at most %d can be compared", len(reads), maxReads)
	}
	a := newAudit(reads, opts)
	err := eachEntry(entries(), a.entry)
	if errors.Is(err, ErrTorn) {
		a.out.Torn, err = true, nil
	}
	if err != nil {
		return Accounting{}, fmt.Errorf("audit ledger: %w", err)
	}
	a.beyond()
	a.duplicates()
	if !opts.ManyPrimaries {
		if err := a.dualWrites(entries()); err != nil && !errors.Is(err, ErrTorn) {
			return Accounting{}, fmt.Errorf("audit ledger, second reading: %w", err)
		}
	}
	return a.result(), nil
}

// mask is a set of readings, by index.
type mask uint64

func (m mask) has(i int) bool { return i >= 0 && m>>i&1 == 1 }

// auditLane is what is known of one writer.
type auditLane struct {
	last    uint64 // its last sequence recorded
	cursors []cursor
}

// present returns the readings that have the writer's sequence.
func (l *auditLane) present(seq uint64) mask {
	var m mask
	for i := range l.cursors {
		if l.cursors[i].has(seq) {
			m |= 1 << i
		}
	}
	return m
}

// audit is one audit under way.
type audit struct {
	opts  Options
	reads []ReadBack
	all   mask
	// recovered and rejoined are the readings of the primary then, -1 for none;
	// against is for each reading the one it is compared with.
	recovered, rejoined int
	against             []int
	rejoinedAny         mask

	lanes  []auditLane // by writer
	reigns *reigns
	out    Accounting

	lost, indeterminate, rejectedPresent, duplicated, phantom tally
	diverged, resurrected, vanished, dual                     tally
	missing, extra                                            []tally // by reading
}

func newAudit(reads []ReadBack, opts Options) *audit {
	if opts.Ranges == 0 {
		opts.Ranges = 1000
	}
	a := &audit{
		opts: opts, reads: reads, all: mask(1)<<len(reads) - 1, reigns: newReigns(),
		missing: make([]tally, len(reads)), extra: make([]tally, len(reads)),
	}
	a.recovered, a.rejoined = primaries(reads)
	for i, r := range reads {
		ref := a.recovered
		if r.When == Rejoined {
			a.rejoinedAny |= 1 << i
			if a.rejoined >= 0 {
				ref = a.rejoined
			}
		}
		if ref == i {
			ref = -1
		}
		a.against = append(a.against, ref)
		a.missing[i].limit, a.extra[i].limit = opts.Ranges, opts.Ranges
	}
	for _, t := range []*tally{
		&a.lost, &a.indeterminate, &a.rejectedPresent, &a.duplicated, &a.phantom,
		&a.diverged, &a.resurrected, &a.vanished, &a.dual,
	} {
		t.limit = opts.Ranges
	}
	return a
}

// primaries returns the readings of the primary at Recovered and at Rejoined, -1
// for none. If several members were primary at Recovered, the one that still is at
// Rejoined has survived.
func primaries(reads []ReadBack) (recovered, rejoined int) {
	at := func(when, member string) int {
		return slices.IndexFunc(reads, func(r ReadBack) bool {
			return r.Primary && r.When == when && (member == "" || r.Member == member)
		})
	}
	recovered, rejoined = at(Recovered, ""), at(Rejoined, "")
	if rejoined >= 0 {
		if same := at(Recovered, reads[rejoined].Member); same >= 0 {
			recovered = same
		}
	}
	return recovered, rejoined
}

// lane returns the state of a writer.
func (a *audit) lane(writer uint16) *auditLane {
	for int(writer) >= len(a.lanes) {
		w := uint16(len(a.lanes))
		cursors := make([]cursor, len(a.reads))
		for i, r := range a.reads {
			cursors[i] = newCursor(r.setOf(w))
		}
		a.lanes = append(a.lanes, auditLane{cursors: cursors})
	}
	return &a.lanes[writer]
}
