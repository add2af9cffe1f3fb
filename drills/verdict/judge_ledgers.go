package verdict

import (
	"errors"
	"fmt"
	"iter"
	"os"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// ackPoint is one acknowledged write, for drawing.
type ackPoint struct {
	at   timeline.Offset
	lost bool
}

// judgeLedgers accounts for every write of every ledger.
func (j *judge) judgeLedgers() error {
	done := map[string]bool{}
	for _, s := range j.plan.Series {
		if !s.Writes || done[s.Ledger] {
			continue
		}
		done[s.Ledger] = true
		r, err := j.account(s)
		if err != nil {
			return err
		}
		if r != nil {
			j.res.Ledgers = append(j.res.Ledgers, *r)
		}
	}
	return nil
}

// account audits one ledger; nil if it was never begun.
func (j *judge) account(s timeline.Series) (*LedgerResult, error) {
	path := ledger.Path(j.rec.Dir, s.Ledger)
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, nil // stopped before it began
	}
	reads, err := ledger.ReadBacks(ledger.ReadBackPath(j.rec.Dir, s.Ledger))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	losses := j.newLosses(s.Component)
	acc, err := ledger.Audit(func() iter.Seq2[ledger.Entry, error] { return ledger.Read(path) }, reads, ledger.Options{
		Acknowledged: func(e ledger.Entry, lost bool) {
			j.points = append(j.points, ackPoint{e.End, lost})
			losses.add(e, lost)
		},
	})
	if err != nil {
		return nil, err
	}
	r := &LedgerResult{
		Name: s.Ledger, Component: s.Component, Attempted: acc.Attempted, Acknowledged: acc.Acknowledged, Rejected: acc.Rejected,
		AcknowledgedBefore: losses.before,
		IDs:                map[string][]string{}, ReadBack: []ReadBackResult{},
	}
	j.classes(r, acc)
	j.stale(r)
	j.readBacks(r)
	j.recoveryPoint(r, acc, losses)
	if acc.Torn {
		j.invalid = append(j.invalid, fmt.Sprintf("the file of ledger %s broke off", s.Ledger))
	}
	return r, nil
}

// classes copies the accounting's classes. A class that is unknown stays 0 here,
// and the recovery point stays nil: such a ledger can meet no objective.
func (j *judge) classes(r *LedgerResult, acc ledger.Accounting) {
	for _, c := range []struct {
		name  string
		class ledger.Class
		to    *uint64
	}{
		{"indeterminate", acc.Indeterminate, &r.Indeterminate},
		{"rejected_but_present", acc.RejectedButPresent, &r.RejectedButPresent},
		{"duplicated", acc.Duplicated, &r.Duplicated},
		{"phantom", acc.Phantom, &r.Phantom},
		{"diverged", acc.Diverged, &r.Diverged},
		{"resurrected", acc.Resurrected, &r.Resurrected},
		{"vanished", acc.Vanished, &r.Vanished},
		{"dual_write", acc.DualWrite, &r.DualWrite},
	} {
		*c.to, _ = c.class.Count()
		if ids := c.class.IDs(); len(ids) > 0 {
			r.IDs[c.name] = ids
		}
	}
	r.Lost, _ = acc.Lost.Count()
	r.LostIDs = acc.Lost.IDs()
	r.LostUnlisted = acc.Lost.More()
	for _, w := range acc.Windows {
		r.DualWriteWindow = max(r.DualWriteWindow, w.Window.Width().Seconds())
	}
	if acc.FirstLost != nil {
		r.FirstLostAt = j.wallPtr(&acc.FirstLost.Lo)
		r.LastLostAt = j.wallPtr(&acc.LastLost.Hi)
	}
}

// stale counts the reads that did not see what was acknowledged before them.
func (j *judge) stale(r *LedgerResult) {
	for _, sj := range j.series {
		s := j.plan.Series[sj.index]
		if s.Ledger != r.Name || s.Writes {
			continue
		}
		for _, sm := range sj.readings.Samples {
			if sm.Stale > 0 {
				r.Stale++
				r.StaleLongest = max(r.StaleLongest, sm.Stale.Seconds())
			}
		}
	}
}

func (j *judge) readBacks(r *LedgerResult) {
	for _, rb := range j.reads {
		if rb.Ledger == r.Name {
			r.ReadBack = append(r.ReadBack, ReadBackResult{
				Member: rb.Member, When: rb.When, Primary: rb.Primary, Rows: rb.Rows, Took: (rb.at - rb.From).Seconds(), Error: rb.Err,
			})
		}
	}
}

// recoveryPoint is nil where losses cannot be told.
func (j *judge) recoveryPoint(r *LedgerResult, acc ledger.Accounting, losses *writesLost) {
	if acc.Unknown != "" && j.healedBy == "none" {
		// That it did not recover is proven all the same, and is the result.
		j.res.Caveats = append(j.res.Caveats, fmt.Sprintf("ledger %s: nothing recovered, so losses cannot be told", r.Name))
		return
	}
	if acc.Unknown != "" {
		j.invalid = append(j.invalid, fmt.Sprintf("ledger %s: losses cannot be told: %s", r.Name, acc.Unknown))
		return
	}
	if acc.Unjudged > 0 {
		j.res.Caveats = append(j.res.Caveats, fmt.Sprintf("ledger %s: %d writes were acknowledged after the last reading and are not accounted for", r.Name, acc.Unjudged))
	}
	r.RecoveryPoint = losses.recoveryPoint()
}
