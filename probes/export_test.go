package probes

import (
	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// WithoutLedger makes a writing probe account for nothing, for comparison.
func WithoutLedger(p drills.Probe) {
	w := p.(*writeProbe)
	for range cap(w.writers) {
		one := <-w.writers
		// Rows of the same shape: other writers, each with a sequence of its own.
		one.lane = &unrecorded{id: ledger.ID{Writer: 1000 + one.lane.Next().Writer}}
		w.writers <- one
	}
}

type unrecorded struct{ id ledger.ID }

func (u *unrecorded) Next() ledger.ID {
	u.id.Seq++
	return u.id
}

func (*unrecorded) Record(ledger.Outcome, timeline.Offset, timeline.Offset, string) error { return nil }

func (*unrecorded) Release() {}
