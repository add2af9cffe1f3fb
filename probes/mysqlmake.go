package probes

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// loginWithin bounds a login: one that hangs must not hold up what comes after.
const loginWithin = 10 * time.Second

// login opens a session with a member itself, as the account that manages it.
func login(ctx context.Context, cfg mysql.Config, m *topology.Member) (*session, error) {
	d, err := newDialer(cfg, m.Address(), only(m.Name()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, loginWithin, fmt.Errorf("not connected within %s", loginWithin))
	defer cancel()
	s, err := d.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to member %s (%s): %w", m.Name(), m.Address(), err)
	}
	return s, nil
}

// onPrimary opens a session with the member that is the primary now.
func onPrimary(ctx context.Context, cfg mysql.Config, c *topology.Component) (*session, topology.State, error) {
	state, err := c.Adapter.Discover(ctx)
	if err != nil {
		return nil, state, fmt.Errorf("find the primary of %s: %w", c.Name(), err)
	}
	primaries := state.With(topology.Primary)
	if len(primaries) != 1 {
		return nil, state, fmt.Errorf("find the primary of %s: want exactly one, found %d: %s", c.Name(), len(primaries), describe(state))
	}
	m, err := c.Member(primaries[0])
	if err != nil {
		return nil, state, err
	}
	s, err := login(ctx, cfg, m)
	return s, state, err
}

func describe(s topology.State) string {
	var all []string
	for _, m := range s.Members {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%s is %s (%s)", m.Member, m.Role, m.Problem), " ()"))
	}
	return strings.Join(all, ", ")
}

// alone runs do while no other run makes or removes anything on this server: one
// must not drop the database in which the other is about to make its table. The
// lock goes with the session.
func (s *session) alone(ctx context.Context, do func() error) error {
	got, err := s.has(ctx, "SELECT GET_LOCK('firedrill', 10)")
	if err != nil {
		return fmt.Errorf("lock out other runs: %w", err)
	}
	if !got {
		return errors.New("another run holds the server's lock 'firedrill' for more than 10s")
	}
	return errors.Join(do(), s.exec(ctx, "DO RELEASE_LOCK('firedrill')"))
}

// has tells whether a query's only value is a number other than 0.
func (s *session) has(ctx context.Context, q string) (bool, error) {
	row, err := s.row(ctx, q)
	return err == nil && row[0] != "0" && row[0] != "", err
}

func (s *session) execAll(ctx context.Context, statements ...string) error {
	for _, q := range statements {
		if err := s.exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// make makes the table, and before it the database if it is not there; then the
// marker says so.
func (p place) make(ctx context.Context, s *session, payload int) error {
	there, err := s.has(ctx, "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '"+p.Database+"'")
	if err != nil {
		return err
	}
	if !there {
		if err := s.execAll(ctx,
			"CREATE DATABASE IF NOT EXISTS "+quote(p.Database),
			"CREATE TABLE IF NOT EXISTS "+quote(p.Database, p.Marker)+" (id INT NOT NULL PRIMARY KEY) ENGINE=InnoDB",
		); err != nil {
			return err
		}
	}
	return s.exec(ctx, p.create(payload))
}

// remove undoes make, after any part of it.
func (p place) remove(ctx context.Context, s *session) error {
	if there, err := s.has(ctx, p.exists(p.Table)); err != nil {
		return err
	} else if there {
		if err := s.exec(ctx, "DROP TABLE IF EXISTS "+p.name()); err != nil {
			return err
		}
	}
	if err := p.removeDatabase(ctx, s); err != nil {
		return err
	}
	if there, err := s.has(ctx, p.exists(p.Table)); err != nil || there {
		return errors.Join(err, fmt.Errorf("read back: table %s is there: %t", p.Table, there))
	}
	return nil
}

// removeDatabase drops the database if this run made it and nothing of others is
// in it. The marker goes last, and with the database in one statement, so that an
// interruption leaves nothing that cannot be recognised.
func (p place) removeDatabase(ctx context.Context, s *session) error {
	made, err := s.has(ctx, p.exists(p.Marker))
	if err != nil || !made {
		return err
	}
	others, err := s.has(ctx, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '"+p.Database+
		"' AND table_name <> '"+p.Marker+"'")
	if err != nil {
		return err
	}
	if others {
		return s.exec(ctx, "DROP TABLE IF EXISTS "+quote(p.Database, p.Marker))
	}
	return s.exec(ctx, "DROP DATABASE IF EXISTS "+quote(p.Database))
}

// confirmAbsent makes sure that a member that says "no such table" does not have
// it: a table that is listed and cannot be read is damaged, not absent.
func (p place) confirmAbsent(ctx context.Context, s *session, said error) error {
	listed, err := s.has(ctx, p.exists(p.Table))
	if err != nil {
		return errors.Join(said, err)
	}
	if listed {
		return fmt.Errorf("table %s is listed and cannot be read: %w", p.Table, said)
	}
	return nil
}
