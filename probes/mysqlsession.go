package probes

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"

	"firedrill/drills/topology/mysql"
)

// session is one connection to a MySQL or MariaDB server. It stands directly on
// the driver's connection rather than on sql.DB, which sends a statement again
// when it holds that to be safe, replaces connections unasked, and does not tell
// whether a statement was ever sent: here each of these is the measurement.
type session struct {
	conn driver.Conn
	// by is the member that the connection leads to, "" if unknown.
	by string
}

// dialer makes sessions.
type dialer struct {
	connector driver.Connector
	who       *directory
}

// newDialer makes sessions with the server behind address, as the account that
// cfg names. The context of each call bounds it.
func newDialer(cfg mysql.Config, address string, who *directory) (*dialer, error) {
	c, err := mysql.Connector(cfg, address, 0)
	if err != nil {
		return nil, err
	}
	return &dialer{connector: c, who: who}, nil
}

// dial logs in and asks, in one statement, who answers and whether statements
// commit by themselves; where they do not, it makes them.
func (d *dialer) dial(ctx context.Context) (s *session, err error) {
	defer survive(&err)
	c, err := d.connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	s = &session{conn: c}
	if err := s.greet(ctx, d.who); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("ask who answers: %w", err)
	}
	return s, nil
}

// admitted logs in once and returns an error only if the server says that this
// account may not: no waiting makes that better. Whether the server answers at all
// is for the samples to say.
func (d *dialer) admitted(ctx context.Context, cfg mysql.Config, address string) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	s, err := d.dial(ctx)
	if err == nil {
		return s.Close()
	}
	if n, answered := serverError(err); answered && meaningOf(n) == denied {
		return errors.New(mysql.Problem(cfg, address, err))
	}
	return nil
}

func (s *session) greet(ctx context.Context, who *directory) error {
	row, err := s.row(ctx, greeting)
	if err != nil {
		return err
	}
	id, autocommit := identityOf(row)
	s.by = who.name(id)
	if autocommit {
		return nil
	}
	return s.exec(ctx, "SET autocommit=1")
}

// exec runs one statement. errNotSent marks an error before any of it was sent.
func (s *session) exec(ctx context.Context, q string) (err error) {
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", errNotSent, ctx.Err())
	}
	defer survive(&err)
	_, err = s.conn.(driver.ExecerContext).ExecContext(ctx, q, nil)
	// The driver keeps ErrBadConn for writes of which not one byte left, and for
	// connections that were closed before (mysqlConn.markBadConn).
	if errors.Is(err, driver.ErrBadConn) {
		return fmt.Errorf("%w: %w", errNotSent, err)
	}
	return err
}

// errNotSent marks a statement that the server cannot have seen.
var errNotSent = errors.New("not sent")

// query runs one statement and hands each row to each, as it arrives; the row is
// only valid during the call.
func (s *session) query(ctx context.Context, q string, each func(row []driver.Value) error) (err error) {
	defer survive(&err)
	rows, err := s.conn.(driver.QueryerContext).QueryContext(ctx, q, nil)
	if err != nil {
		return err
	}
	// Closing reads what is left: nothing after io.EOF, and after an error nothing
	// more is wanted from this connection.
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(row); err != nil {
			_ = s.conn.Close()
			return err
		}
	}
}

// row returns the only row of a query as text; NULL is "".
func (s *session) row(ctx context.Context, q string) ([]string, error) {
	var got []string
	err := s.query(ctx, q, func(row []driver.Value) error {
		got = slices.Collect(texts(row))
		return nil
	})
	if err == nil && got == nil {
		err = errors.New("no row came back")
	}
	return got, err
}

// usable is what database/sql asks before it hands out a kept connection: is it
// closed, or has the server closed it or left something unread. It sends nothing.
func (s *session) usable() bool {
	r, v := s.conn.(driver.SessionResetter), s.conn.(driver.Validator)
	return v.IsValid() && r.ResetSession(context.Background()) == nil
}

// valid tells whether the connection survived what was done with it.
func (s *session) valid() bool { return s.conn.(driver.Validator).IsValid() }

// Close says goodbye to the server and closes the connection.
func (s *session) Close() error { return s.conn.Close() }

// survive turns a panic into an error: the driver indexes into a server's packets
// unchecked, and garbage must not end the drill.
func survive(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("answer is not of the MySQL protocol: %v", p)
	}
}
