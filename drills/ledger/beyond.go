package ledger

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// beyond accounts for what is there and was never recorded: sequences after a
// lane's last, and 0.
func (a *audit) beyond() {
	writers := map[uint16]bool{}
	for _, r := range a.reads {
		for w := range r.writers {
			writers[w] = true
		}
	}
	for _, w := range slices.Sorted(maps.Keys(writers)) {
		l := a.lane(w)
		for i, r := range a.reads {
			for seq := range unrecorded(r.setOf(w), l.last) {
				if present := l.present(seq); present&(1<<i-1) == 0 { // not met before
					a.unrecorded(ID{Writer: w, Seq: seq}, l.last, present)
				}
			}
		}
	}
}

// unrecorded yields the sequences of s that are 0 or greater than last.
func unrecorded(s *set, last uint64) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		zero := newCursor(s)
		if s == nil || zero.has(0) && !yield(0) {
			return
		}
		for from, to := range s.stretches(last + 1) {
			for seq := from; ; seq++ {
				if !yield(seq) {
					return
				}
				if seq == to {
					break
				}
			}
		}
	}
}

// unrecorded accounts for one such id.
func (a *audit) unrecorded(id ID, last uint64, present mask) {
	switch {
	case a.out.Torn && id.Seq > last && id.Seq-last <= max(a.opts.InFlight, 1):
		a.out.InFlight++
	case present.has(a.recovered) || present.has(a.rejoined):
		a.phantom.add(id)
	}
	a.compare(id, present, a.all)
}

// duplicates collects what is more than once on a primary.
func (a *audit) duplicates() {
	for _, i := range []int{a.recovered, a.rejoined} {
		if i < 0 {
			continue
		}
		for _, w := range a.reads[i].Writers() {
			for _, d := range a.reads[i].Dups(w) {
				if i != a.rejoined || !a.duplicatedBefore(w, d.Seq) {
					a.duplicated.add(ID{Writer: w, Seq: d.Seq})
				}
			}
		}
	}
}

// duplicatedBefore tells whether the id was a duplicate on the primary at Recovered.
func (a *audit) duplicatedBefore(w uint16, seq uint64) bool {
	if a.recovered < 0 {
		return false
	}
	_, found := slices.BinarySearchFunc(a.reads[a.recovered].Dups(w), seq,
		func(d Dup, seq uint64) int { return cmp.Compare(d.Seq, seq) })
	return found
}

// result puts the accounting together; what could not be determined is unknown.
func (a *audit) result() Accounting {
	out := a.out
	primary := a.recovered >= 0 || a.rejoined >= 0
	both := a.recovered >= 0 && a.rejoined >= 0
	if a.recovered >= 0 {
		out.Against = a.reads[a.recovered].Member
	} else {
		out.Unknown = "no primary was read back after recovery"
	}
	diverged := false
	for i, r := range a.reads {
		compared := a.against[i] >= 0
		diverged = diverged || compared && r.When == Rejoined
		out.Members = append(out.Members, MemberAccount{
			Member: r.Member, When: r.When, Primary: r.Primary, Rows: r.Rows,
			Missing: a.missing[i].class(compared), Extra: a.extra[i].class(compared),
		})
	}
	out.Lost = a.lost.class(a.recovered >= 0)
	out.Indeterminate = a.indeterminate.class(true)
	out.RejectedButPresent = a.rejectedPresent.class(primary)
	out.Duplicated = a.duplicated.class(primary)
	out.Phantom = a.phantom.class(primary)
	out.Diverged = a.diverged.class(diverged)
	out.Resurrected = a.resurrected.class(a.recovered >= 0 && a.rejoined >= 0)
	out.Vanished = a.vanished.class(both)
	// An acknowledgement of nobody knows whom may hide a dual write.
	out.DualWrite = a.dual.class(!a.opts.ManyPrimaries && (a.reigns.unnamed == 0 || a.dual.count > 0))
	return out
}
