package probes

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/ledger"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// placeUndo is all that another process needs to remove a place. Credentials are
// references.
type placeUndo struct {
	Component topology.ComponentSpec `json:"component"`
	Place     place                  `json:"place"`
	// Keep leaves the table where it is.
	Keep bool `json:"keep,omitempty"`
}

// Prepare makes the table on the component's primary, and its database if it is
// not there, and waits until the replicas have it: at most 10 s, or until ctx
// ends.
func (k *mysqlWrite) Prepare(ctx context.Context, c *topology.Component, runID string) error {
	at, cfg, err := k.place(c, runID)
	if err != nil {
		return err
	}
	s, state, err := onPrimary(ctx, cfg, c)
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.alone(ctx, func() error { return at.make(ctx, s, k.spec.Payload) })
	if n, answered := serverError(err); answered && meaningOf(n) == denied {
		return fmt.Errorf("make table %s: %s", at.Table, mysql.Problem(cfg, s.by, err))
	}
	if err != nil {
		return fmt.Errorf("make table %s on %s: %w", at.Table, s.by, err)
	}
	return at.await(ctx, cfg, c, state)
}

func (k *mysqlWrite) place(c *topology.Component, runID string) (place, mysql.Config, error) {
	cfg, err := mysql.ConfigOf(c)
	if err != nil {
		return place{}, cfg, err
	}
	at, err := placeOf(cfg, k.spec.Table, runID)
	return at, cfg, err
}

// PlanUndo says that the table is dropped, and the database if this run made it
// and nobody else uses it; or that the table is left, where the file asks for it.
func (k *mysqlWrite) PlanUndo(c *topology.Component, runID string) (drills.Undo, error) {
	at, _, err := k.place(c, runID)
	if err != nil {
		return drills.Undo{}, err
	}
	data, err := json.Marshal(placeUndo{Component: bare(c.Spec), Place: at, Keep: k.spec.Keep})
	if err != nil {
		return drills.Undo{}, fmt.Errorf("describe table %s: %w", at.Table, err)
	}
	says := fmt.Sprintf("drop table %s.%s on the primary of %s, and database %s if this run made it and it is empty",
		at.Database, at.Table, c.Name(), at.Database)
	if k.spec.Keep {
		says = fmt.Sprintf("leave table %s.%s for an auditor (keep)", at.Database, at.Table)
	}
	return drills.Undo{Says: says, Data: data}, nil
}

// Remove drops what Prepare made, on whoever is the primary now; the replicas
// follow by replication. It returns nil only after the primary says that the
// table is not there. A table that is kept stays, and its database with it: only
// the note that this run made the database goes.
func (k *mysqlWrite) Remove(ctx context.Context, u drills.Undo) error {
	var what placeUndo
	if err := json.Unmarshal(u.Data, &what); err != nil {
		return fmt.Errorf("read what to remove: %w", err)
	}
	kinds := topology.Kinds{Components: kind.Of("component", mysql.Kind())}
	c, err := kinds.OpenComponent(what.Component, nil)
	if err != nil {
		return fmt.Errorf("remove table %s: %w", what.Place.Table, err)
	}
	cfg, err := mysql.ConfigOf(c)
	if err != nil {
		return fmt.Errorf("remove table %s: %w", what.Place.Table, err)
	}
	s, _, err := onPrimary(ctx, cfg, c)
	if err != nil {
		return fmt.Errorf("remove table %s: %w", what.Place.Table, err)
	}
	defer s.Close()
	remove := what.Place.remove
	if what.Keep {
		remove = what.Place.removeDatabase
	}
	if err := s.alone(ctx, func() error { return remove(ctx, s) }); err != nil {
		return fmt.Errorf("remove table %s on %s: %w", what.Place.Table, s.by, err)
	}
	return nil
}

// ReadBack reads one member directly, as the account that manages it, without
// holding the answer in memory. It needs the member neither to take writes nor to
// replicate. A member that says that the table is not there has no ids at all:
// that is no error.
func (k *mysqlWrite) ReadBack(ctx context.Context, c *topology.Component, runID string, from *topology.Member) iter.Seq2[ledger.ID, error] {
	return func(yield func(ledger.ID, error) bool) {
		stopped, err := k.readBack(ctx, c, runID, from, func(id ledger.ID) bool { return yield(id, nil) })
		if err != nil && !stopped {
			yield(ledger.ID{}, fmt.Errorf("read back member %s (%s): %w", from.Name(), from.Address(), err))
		}
	}
}

// errStop ends a reading whose reader has seen enough.
var errStop = errors.New("the reader stopped")

func (k *mysqlWrite) readBack(ctx context.Context, c *topology.Component, runID string, from *topology.Member, yield func(ledger.ID) bool) (stopped bool, err error) {
	at, cfg, err := k.place(c, runID)
	if err != nil {
		return false, err
	}
	s, err := login(ctx, cfg, from)
	if err != nil {
		return false, err
	}
	defer s.Close()
	err = s.query(ctx, at.all(), func(row []driver.Value) error {
		id, err := idOf(row)
		if err == nil && !yield(id) {
			stopped, err = true, errStop
		}
		return err
	})
	if isAbsent(err) {
		err = at.confirmAbsent(ctx, s, err)
	}
	return stopped, err
}

// await waits until every replica has the table.
func (p place) await(ctx context.Context, cfg mysql.Config, c *topology.Component, state topology.State) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, name := range state.With(topology.Replica) {
		m, err := c.Member(name)
		if err != nil {
			return err
		}
		if err := p.awaitOn(ctx, cfg, m); err != nil {
			return fmt.Errorf("wait until replica %s (%s) has table %s: does it replicate? %w", name, m.Address(), p.Table, err)
		}
	}
	return nil
}

func (p place) awaitOn(ctx context.Context, cfg mysql.Config, m *topology.Member) error {
	s, err := login(ctx, cfg, m)
	if err != nil {
		return err
	}
	defer s.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		there, err := s.has(ctx, p.exists(p.Table))
		if there || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
