package drills

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"firedrill/drills/journal"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// The sorts of intents.
const (
	sortLock   = "lock"   // a platform's lock to be released
	sortLedger = "ledger" // a table to be dropped
	sortRoles  = "roles"  // a component whose roles must be whole again
	sortFault  = "fault"
	sortRemedy = "remedy" // a remediation step that is to be taken back
	sortAgent  = "agent"  // a probe agent to be removed
)

// made is an intent of this run.
type made struct {
	journal.Intent
	undone bool
	// outcome is how undoing ended; "" before.
	outcome string
	// until is when a fault's own time is up; 0 = it stays until reverted.
	until timeline.Offset
}

// rolesUndo is all that another process needs to make a component whole.
type rolesUndo struct {
	Component topology.ComponentSpec `json:"component"`
	Routes    []topology.RouteSpec   `json:"routes"`
	Keep      topology.State         `json:"keep"`
}

// intend makes durable what is about to be done; the deed comes after.
func (r *run) intend(i journal.Intent) (*made, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i.ID = fmt.Sprintf("%s-%d", r.o.RunID, len(r.made)+1)
	if err := r.jr.Intend(i); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	m := &made{Intent: i}
	r.made = append(r.made, m)
	r.note(timeline.Journaled{Intent: i.ID, Kind: i.Sort, For: i.Name})
	return m, nil
}

// intents are this run's intents so far, oldest first.
func (r *run) intents() []*made {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.made)
}

// revertOutcome names how an undo ended.
func revertOutcome(err error) string {
	switch {
	case err == nil:
		return timeline.RevertClean
	case errors.Is(err, ErrGone):
		return timeline.RevertGone
	}
	return timeline.RevertFailed
}

// undoer undoes intents from what the journal says alone. The run itself and
// every later process use the same code.
type undoer struct {
	plugins Catalogues
	// restored, if not nil, is told how a component came back.
	restored func(component string, began time.Time, res topology.Restored, err error)
}

// undoWithin is undo for who has no limit of its own: what cannot be undone must not
// keep the topology locked, or nobody could try again. Only making a component whole
// may take as long as it takes: a large database is copied.
func (u undoer) undoWithin(ctx context.Context, i journal.Intent) error {
	if i.Sort != sortRoles {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, undoWithin, fmt.Errorf("not undone within %s", undoWithin))
		defer cancel()
	}
	return u.undo(ctx, i)
}

// undo undoes one intent.
func (u undoer) undo(ctx context.Context, i journal.Intent) error {
	how := Undo{Says: i.Says, Data: i.Undo}
	switch i.Sort {
	case sortFault:
		inj, err := u.plugins.Injectors.Build(i.Kind, i.With)
		if err != nil {
			return err
		}
		return inj.Revert(ctx, how)
	case sortLedger:
		p, err := u.plugins.Probes.Build(i.Kind, i.With)
		if err != nil {
			return err
		}
		k, ok := p.(LedgerKind)
		if !ok {
			return fmt.Errorf("undo %s: probe kind %s keeps no ledger", i.Name, i.Kind)
		}
		return k.Remove(ctx, how)
	case sortRemedy:
		rem, err := u.plugins.Remedies.Build(i.Kind, i.With)
		if err != nil {
			return err
		}
		v, ok := rem.(Reverter)
		if !ok {
			return fmt.Errorf("undo %s: remedy kind %s cannot be reverted", i.Name, i.Kind)
		}
		return v.Revert(ctx, how)
	case sortRoles:
		return u.restore(ctx, i)
	case sortLock:
		return u.unlock(ctx, i)
	case sortAgent:
		return u.removeAgent(ctx, i)
	}
	return fmt.Errorf("undo %s: unknown sort of intent %q", i.Name, i.Sort)
}

// restore makes a component whole again.
func (u undoer) restore(ctx context.Context, i journal.Intent) error {
	var ru rolesUndo
	if err := json.Unmarshal(i.Undo, &ru); err != nil {
		return fmt.Errorf("undo %s: %w", i.Name, err)
	}
	c, err := u.plugins.Topology.OpenComponent(ru.Component, ru.Routes)
	if err != nil {
		return err
	}
	began := time.Now()
	res, err := c.Adapter.Restore(ctx, ru.Keep, func(topology.Step) {})
	if u.restored != nil {
		u.restored(c.Name(), began, res, err)
	}
	return err
}

// reverse undoes one of the run's own intents, once.
func (r *run) reverse(ctx context.Context, m *made, u undoer) error {
	if m.undone {
		return nil
	}
	err := u.undo(ctx, m.Intent)
	m.outcome = revertOutcome(err)
	m.undone = m.outcome != timeline.RevertFailed
	if jerr := r.jr.Done(m.ID, m.outcome, "runner"); jerr != nil {
		r.caveat("%v", jerr) // it is undone all the same; doing that once more would do no harm
	}
	if m.undone {
		return nil
	}
	return fmt.Errorf("undo %s (%s): %w", m.Name, m.Says, err)
}
