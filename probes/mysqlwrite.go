package probes

import (
	"context"
	"errors"
	"fmt"

	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// MySQLWriteSpec is where a mysql-write probe writes, and how much.
type MySQLWriteSpec struct {
	// Table begins the name of the table, which ends with the run's id. Two
	// mysql-write probes on one component need different ones.
	Table string `json:"table,omitempty" jsonschema:"pattern=^[a-zA-Z0-9_]+$"`
	// Payload is how many bytes each write carries beside its id.
	Payload int `json:"payload,omitempty" jsonschema:"minimum=0,maximum=60000"`
	// Keep leaves the table on the servers for an auditor, who drops it.
	Keep bool `json:"keep,omitempty"`
}

// mysqlWrite inserts one row per observation, each its own transaction, and
// accounts for it in a ledger.
type mysqlWrite struct{ spec MySQLWriteSpec }

func newMySQLWrite(s MySQLWriteSpec) (drills.ProbeKind, error) {
	if !identifier().MatchString(s.Table) {
		return nil, fmt.Errorf("table: %q: want letters, digits and _", s.Table)
	}
	if s.Payload < 0 || s.Payload > 60000 {
		return nil, fmt.Errorf("payload: %d: want 0 to 60000 bytes", s.Payload)
	}
	return &mysqlWrite{spec: s}, nil
}

// Clients returns fresh and pooled.
func (*mysqlWrite) Clients() []drills.Client { return []drills.Client{drills.Fresh, drills.Pooled} }

// Open takes its lanes of the ledger and asks the component's members who they
// are, so that it can be told who acknowledged. It writes nothing.
func (k *mysqlWrite) Open(ctx context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open mysql-write probe: %w", err)
	}
	if s.Ledger == nil {
		return nil, errors.New("open mysql-write probe: no ledger to account in")
	}
	d, cfg, err := dialerOf(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open mysql-write probe: %w", err)
	}
	at, err := placeOf(cfg, k.spec.Table, s.RunID)
	if err != nil {
		return nil, fmt.Errorf("open mysql-write probe: %w", err)
	}
	p := &writeProbe{
		at: at, payload: k.spec.Payload, clock: s.Clock, dialer: d,
		keep: s.Client == drills.Pooled, writers: make(chan *writer, max(s.Lanes, 1)),
	}
	for range cap(p.writers) {
		l, ok := s.Ledger.Lane()
		if !ok {
			p.release()
			return nil, fmt.Errorf("open mysql-write probe: the ledger has fewer than %d free lanes", s.Lanes)
		}
		p.writers <- &writer{lane: l}
	}
	return p, nil
}

// writeProbe keeps its writers in a queue: each gets its turn. A lane whose last
// writes were lost is soon written again, and each kept connection is used, as
// in the pool of a busy application.
type writeProbe struct {
	at      place
	payload int
	clock   timeline.Clock
	dialer  *dialer
	keep    bool
	writers chan *writer
}

// writer is a lane of the ledger with its connection, if it has one. A broken
// connection is replaced when the writer has its next turn, never earlier.
type writer struct {
	lane    account
	session *session
}

// account is what a lane of the ledger does for a writer.
type account interface {
	Next() ledger.ID
	Record(o ledger.Outcome, start, end timeline.Offset, member string) error
	Release()
}

// Observe writes one id and accounts for it.
func (p *writeProbe) Observe(ctx context.Context) drills.Observation {
	select {
	case w := <-p.writers:
		defer func() { p.writers <- w }()
		return p.write(ctx, w)
	case <-ctx.Done():
		// Nothing was tried: that says nothing about the service.
		return drills.Observation{Class: timeline.NoData, Detail: fmt.Sprintf("all %d lanes are taken", cap(p.writers))}
	}
}

func (p *writeProbe) write(ctx context.Context, w *writer) drills.Observation {
	id, start := w.lane.Next(), p.clock.Now()
	err := w.ready(ctx, p.dialer)
	outcome, by := ledger.Rejected, "" // without a connection nothing can have been sent
	if err == nil {
		start, by = p.clock.Now(), w.session.by
		err = w.session.exec(ctx, p.at.insert(id, p.payload))
		outcome = outcomeOf(err)
	}
	end := p.clock.Now()
	if err := w.lane.Record(outcome, start, end, by); err != nil {
		return drills.Observation{Class: timeline.NoData, Detail: firstLine(err.Error())}
	}
	if !p.keep || w.session != nil && !w.session.valid() {
		w.hangUp()
	}
	if err != nil {
		o := mysqlFailed(ctx, err)
		o.By = by
		return o
	}
	return drills.Observation{Class: timeline.OK, By: by}
}

// ready makes sure that there is a connection.
func (w *writer) ready(ctx context.Context, d *dialer) (err error) {
	if w.session != nil && !w.session.usable() {
		w.hangUp()
	}
	if w.session == nil {
		w.session, err = d.dial(ctx)
	}
	return err
}

// hangUp closes the connection; what a broken one says then does not matter.
func (w *writer) hangUp() {
	if w.session != nil {
		_ = w.session.Close()
		w.session = nil
	}
}

// Close closes the kept connections and hands the lanes back; it waits for
// observations under way, which end by their deadlines.
func (p *writeProbe) Close() error {
	for range cap(p.writers) {
		w := <-p.writers
		w.hangUp()
		w.lane.Release()
	}
	return nil
}

// release hands back the lanes of a probe that was never opened.
func (p *writeProbe) release() {
	close(p.writers)
	for w := range p.writers {
		w.lane.Release()
	}
}
