package probes

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/drills/topology/mysql"
)

// MySQLReadSpec is what a mysql-read probe asks.
type MySQLReadSpec struct {
	// Query is one statement that reads (default SELECT 1). A probe that names a
	// ledger reads that ledger's table instead.
	Query string `json:"query,omitempty"`
	// Table is the table of the mysql-write probe whose ledger is read.
	Table string `json:"table,omitempty" jsonschema:"pattern=^[a-zA-Z0-9_]+$"`
	// MaxStale is how old an acknowledged write may be and still not be visible;
	// a read that misses an older one is lagging. Without it, staleness is measured
	// and never a failure.
	MaxStale *spec.Duration `json:"maxStale,omitempty"`
}

type mysqlRead struct{ spec MySQLReadSpec }

func newMySQLRead(s MySQLReadSpec) (drills.ProbeKind, error) {
	if !identifier().MatchString(s.Table) {
		return nil, fmt.Errorf("table: %q: want letters, digits and _", s.Table)
	}
	return &mysqlRead{spec: s}, nil
}

// Clients returns fresh and pooled.
func (*mysqlRead) Clients() []drills.Client { return []drills.Client{drills.Fresh, drills.Pooled} }

// Open asks the component's members who they are, so that answers can be told
// apart. Members that do not answer are no error.
func (k *mysqlRead) Open(ctx context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open mysql-read probe: %w", err)
	}
	d, cfg, err := dialerOf(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("open mysql-read probe: %w", err)
	}
	p := &readProbe{kind: k, query: k.spec.Query, ledger: s.Ledger, clock: s.Clock, dial: d.dial}
	if s.Ledger != nil {
		if p.query != "" {
			return nil, errors.New("open mysql-read probe: query: cannot be asked by a probe that reads a ledger")
		}
		at, err := placeOf(cfg, k.spec.Table, s.RunID)
		if err != nil {
			return nil, fmt.Errorf("open mysql-read probe: %w", err)
		}
		p.query = at.newest()
	} else if p.query == "" {
		p.query = "SELECT 1"
	}
	if s.Client == drills.Pooled {
		p.pool = newPool(s.Lanes, d.dial, (*session).usable)
	}
	return p, nil
}

// dialerOf makes the connections of a probe: as the application's account, to
// the subject's address.
func dialerOf(ctx context.Context, s drills.Subject) (*dialer, mysql.Config, error) {
	cfg, err := mysql.ConfigOf(s.Component)
	if err != nil {
		return nil, cfg, fmt.Errorf("target: %w", err)
	}
	app := cfg.AsApplication()
	who := (*directory)(nil)
	if s.Member != nil {
		who = only(s.Member.Name())
	} else {
		who = newDirectory(ctx, app, s.Component)
	}
	d, err := newDialer(app, s.Address, who)
	if err != nil {
		return nil, cfg, err
	}
	return d, cfg, d.admitted(ctx, app, s.Address)
}

type readProbe struct {
	kind   *mysqlRead
	query  string
	ledger *ledger.File
	clock  timeline.Clock
	dial   func(context.Context) (*session, error)
	pool   *pool[*session]
}

// Observe reads on a new or a kept connection.
func (p *readProbe) Observe(ctx context.Context) (o drills.Observation) {
	if p.pool != nil {
		err := p.pool.with(ctx, func(s *session) bool {
			o = p.read(ctx, s)
			return s.valid()
		})
		if err != nil {
			return mysqlFailed(ctx, err)
		}
		return o
	}
	s, err := p.dial(ctx)
	if err != nil {
		return mysqlFailed(ctx, err)
	}
	defer s.Close()
	return p.read(ctx, s)
}

// Close closes the kept connections.
func (p *readProbe) Close() error {
	if p.pool == nil {
		return nil
	}
	return p.pool.Close()
}

func (p *readProbe) read(ctx context.Context, s *session) (o drills.Observation) {
	defer func() { o.By = s.by }()
	start := p.clock.Now()
	seen := map[uint16]uint64{}
	err := s.query(ctx, p.query, func(row []driver.Value) error {
		if p.ledger == nil {
			return nil
		}
		id, err := idOf(row)
		seen[id.Writer] = id.Seq
		return err
	})
	switch {
	case p.ledger != nil && isAbsent(err): // a member that never got the table shows nothing
	case err != nil:
		return mysqlFailed(ctx, err)
	case p.ledger == nil:
		return drills.Observation{Class: timeline.OK}
	}
	return p.kind.stale(p.ledger, seen, start)
}

// stale compares what a read that began at start saw with what had been
// acknowledged by then.
func (k *mysqlRead) stale(f *ledger.File, seen map[uint16]uint64, start timeline.Offset) drills.Observation {
	o := drills.Observation{Class: timeline.OK}
	for _, must := range f.MustSee(start) {
		newest := seen[must.ID.Writer]
		if newest >= must.ID.Seq {
			continue
		}
		missed, ok := f.Unseen(ledger.ID{Writer: must.ID.Writer, Seq: newest}, start)
		if !ok {
			continue
		}
		if since := time.Duration(start - missed.End); since > o.Stale {
			o.Stale = since
			o.Detail = fmt.Sprintf("write %v, acknowledged %v before the read, was not visible", missed.ID, since.Round(time.Microsecond))
		}
	}
	if k.spec.MaxStale != nil && o.Stale > k.spec.MaxStale.Std() {
		o.Class = timeline.Lagging
	}
	return o
}

// idOf reads an id from a row of writer and sequence.
func idOf(row []driver.Value) (ledger.ID, error) {
	cols := slices.Collect(texts(row))
	if len(cols) != 2 {
		return ledger.ID{}, fmt.Errorf("read ledger: want 2 columns, got %d", len(cols))
	}
	w, err1 := strconv.ParseUint(cols[0], 10, 16)
	seq, err2 := strconv.ParseUint(cols[1], 10, 64)
	return ledger.ID{Writer: uint16(w), Seq: seq}, errors.Join(err1, err2)
}

var _ io.Closer = (*readProbe)(nil)
