package drills

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// rejoin makes every faulted component whole again: the reverted members come
// back in the role that is right now.
func (r *run) rejoin(ctx context.Context) error {
	for _, m := range slices.Backward(r.intents()) {
		if m.Sort != sortRoles {
			continue
		}
		err := r.reverse(ctx, m, undoer{plugins: r.o.Plugins, restored: func(component string, began time.Time, res topology.Restored, err error) {
			r.note(timeline.Rejoined{
				Component: component, Members: seen(res.State), KeptOut: res.KeptOut, Errant: res.Errant,
				From: r.clock.At(began), Err: text(err),
			})
		}})
		if err != nil {
			r.leftover(err)
		}
	}
	return nil
}

// steady waits until every probe is stable once more, with everything put back.
func (r *run) steady(ctx context.Context) error {
	if len(r.leftovers) > 0 {
		r.caveat("the steady state was not waited for: not everything is put back")
		return nil
	}
	since := r.clock.Now()
	r.board.awaitHome()
	err := r.until(ctx, since+timeline.Offset(steadyWithin), func() bool {
		return r.board.stable(since) || r.hurried() || r.unrecorded() != nil
	})
	if err != nil {
		return fmt.Errorf("wait for the steady state: %w", err)
	}
	if !r.board.stable(since) && !r.hurried() && r.unrecorded() == nil {
		return fmt.Errorf("the steady state did not come back within %s: %s", steadyWithin, r.board.badSince(since))
	}
	if err := r.holds(ctx, since); err != nil {
		return err
	}
	return r.failBack(ctx, since)
}

// holds waits until the probes that look at the end only have held. That they do not
// is no undo that failed: it is for the verdict.
func (r *run) holds(ctx context.Context, since timeline.Offset) error {
	err := r.until(ctx, r.clock.Now()+timeline.Offset(steadyWithin), func() bool {
		return r.board.held(since) || r.hurried() || r.unrecorded() != nil
	})
	if err != nil {
		return fmt.Errorf("wait for the probes that look at the end: %w", err)
	}
	return nil
}

// failBack waits, where the time for it is judged, until requests are answered by
// those who answered them before the fault. That it does not come about is no
// undo that failed: it is for the verdict.
func (r *run) failBack(ctx context.Context, since timeline.Offset) error {
	for _, o := range r.d.Plan.Objectives {
		if o.Name != "fail-back" {
			continue
		}
		giveUp := since + timeline.Offset(o.Target+r.d.Plan.Stable.For+failBackSpare)
		if err := r.until(ctx, giveUp, func() bool {
			return r.board.home(o.Component) || r.hurried() || r.unrecorded() != nil
		}); err != nil {
			return fmt.Errorf("wait for the fail-back of %s: %w", o.Component, err)
		}
	}
	return nil
}

// failBackSpare is how much longer than its target a fail-back is waited for, so
// that one that is late is seen to be.
const failBackSpare = 2 * time.Second

// auditRecovered reads the ledgers back from every survivor, while the faulted
// members are still out.
func (r *run) auditRecovered(ctx context.Context) error {
	return r.audit(ctx, reading{when: ledger.Recovered, amid: true, decides: true}, func(m *topology.Member, _ topology.State) bool {
		r.survived[m] = true
		return true
	})
}

// auditReturned reads the ledgers back from the members that were out and are
// back, before anything is done to them: what only they have is the divergence.
// One that still takes writes, as a server that hung does when it goes on, is not
// the primary for that. If it went on before the service had recovered, it is one
// of two that take writes: both are read.
func (r *run) auditReturned(ctx context.Context) error {
	return r.audit(ctx, reading{when: ledger.Rejoined, amid: true, calm: true}, func(m *topology.Member, s topology.State) bool {
		open := s.With(topology.Primary)
		return !r.survived[m] || len(open) > 1 && slices.Contains(open, m.Name())
	})
}

// auditRejoined reads them back once more from every member, after the last
// write.
func (r *run) auditRejoined(ctx context.Context) error {
	r.stopSampling()
	if err := r.ledgers.close(); err != nil {
		return err
	}
	return r.audit(ctx, reading{when: ledger.Rejoined, decides: true}, func(*topology.Member, topology.State) bool { return true })
}

// reading is when and how ledgers are read back.
type reading struct {
	when string
	// amid tells that writers go on: what they write later need not be there.
	amid bool
	// decides tells that a member that takes writes counts as the primary.
	decides bool
	// calm tells to read until two readings are the same: a server that hung may still
	// be at what it had been sent before.
	calm bool
}

// audit reads every ledger back from those members that answer and are wanted. A
// member that cannot be read is recorded as such: the verdict knows what it may
// not say.
func (r *run) audit(ctx context.Context, how reading, want func(*topology.Member, topology.State) bool) error {
	return r.d.eachLedger(func(i int, k LedgerKind) error {
		s, p := r.d.Series[i], r.d.Plan.Series[i]
		state, err := r.discover(ctx, s.Component)
		if err != nil {
			r.caveat("ledger %s was not read back (%s): %v", p.Ledger, how.when, err)
			return nil
		}
		for _, m := range primaryFirst(survivors(s.Component, state), state) {
			if !want(m, state) {
				continue
			}
			primary := how.decides && slices.Contains(state.With(topology.Primary), m.Name())
			if err := r.readBack(ctx, p.Ledger, k, s.Component, m, how, primary); err != nil {
				return err
			}
		}
		return nil
	})
}

// readWithin bounds the reading of one ledger from one member: one that hangs must
// not keep the others from being put back. 10 million rows take seconds.
const readWithin = 2 * time.Minute

// readBack reads one ledger from one member into the record.
func (r *run) readBack(ctx context.Context, name string, k LedgerKind, c *topology.Component, m *topology.Member, how reading, primary bool) error {
	from := r.clock.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, readWithin, fmt.Errorf("not read within %s", readWithin))
	defer cancel()
	rb, err := ledger.Collect(k.ReadBack(ctx, c, r.o.RunID, m))
	// After the last write, a replica may still be catching up.
	for deadline := from + timeline.Offset(catchUpWithin); !how.amid && len(r.leftovers) == 0 && !primary && err == nil && rb.Rows < r.rows && r.clock.Now() < deadline; {
		if err := r.pause(ctx, lookEvery); err != nil {
			return err
		}
		from = r.clock.Now()
		rb, err = ledger.Collect(k.ReadBack(ctx, c, r.o.RunID, m))
	}
	for deadline := from + timeline.Offset(calmWithin); how.calm && err == nil && r.clock.Now() < deadline; {
		if err := r.pause(ctx, calmEvery); err != nil {
			return err
		}
		before := rb.Rows
		from = r.clock.Now()
		if rb, err = ledger.Collect(k.ReadBack(ctx, c, r.o.RunID, m)); rb.Rows == before {
			break
		}
	}
	if primary {
		r.rows = rb.Rows
	}
	rb.Member, rb.When, rb.Primary = m.Name(), how.when, primary
	if how.amid {
		rb.From = from
	}
	ev := timeline.ReadBack{Ledger: name, Member: m.Name(), When: how.when, Primary: primary, Rows: rb.Rows, From: from, Err: text(err)}
	if err == nil {
		if err := ledger.AppendReadBack(ledger.ReadBackPath(r.o.Dir, name), rb); err != nil {
			r.ledgers.readBack(err)
			return fmt.Errorf("%w: %w: %w", ErrAborted, errUnrecorded, err)
		}
	}
	r.note(ev)
	return nil
}

const (
	// calmEvery is the time between two readings of a member that has come back.
	calmEvery = 200 * time.Millisecond
	// calmWithin is how long they may differ: one that still takes writes never calms
	// down.
	calmWithin = 2 * time.Second
)

// catchUpWithin is how long a replica may take to apply the last writes.
const catchUpWithin = 10 * time.Second

// primaryFirst puts the members that take writes in front.
func primaryFirst(ms []*topology.Member, s topology.State) []*topology.Member {
	open := s.With(topology.Primary)
	slices.SortStableFunc(ms, func(a, b *topology.Member) int {
		return cmp.Compare(slices.Index(open, b.Name()), slices.Index(open, a.Name()))
	})
	return ms
}

// pause waits, unless ctx ends first.
func (r *run) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sweep ends the sampling, fetches what was seen on the wire, removes the probe agents
// and what the ledgers made on the servers, and lets go of the platforms.
func (r *run) sweep(ctx context.Context) error {
	r.stopSampling()
	_ = r.ledgers.close() // unrecorded says so
	r.collectExchanges(ctx)
	var err error
	for _, m := range slices.Backward(r.intents()) {
		if !m.undone && (m.Sort == sortLedger || m.Sort == sortAgent) {
			err = errors.Join(err, r.reverse(ctx, m, undoer{plugins: r.o.Plugins}))
		}
	}
	if err != nil || len(r.leftovers) > 0 {
		return err // nobody else is to drill here until it is put back
	}
	return r.leave(ctx)
}
