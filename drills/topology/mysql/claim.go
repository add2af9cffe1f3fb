package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	driverpkg "github.com/go-sql-driver/mysql"
)

// Claiming returns the server, of which each statement that changes something is
// executed while its session holds the lock of that name (GET_LOCK). A server
// works on a statement to its end even if the client that sent it is gone: the
// lock is how somebody else tells, see EndClaim. It shares the connections; do
// not close it.
func (s *Server) Claiming(name string) *Server {
	return &Server{cfg: s.cfg, address: s.address, db: s.db, claim: name}
}

// runClaimed sends the statement only after the server has said that the session
// has the lock: as long as nobody has it, nothing is under way.
func (s *Server) runClaimed(ctx context.Context, label, query string, args ...any) error {
	c, err := s.db.Conn(ctx)
	if err != nil {
		return s.wrap("log in", err)
	}
	defer c.Close()
	var got sql.NullInt64
	if err := c.QueryRowContext(ctx, "SELECT GET_LOCK(?, 0)", s.claim).Scan(&got); err != nil {
		return s.wrap("get lock "+s.claim, err)
	}
	if got.Int64 != 1 {
		return fmt.Errorf("%s: %s: another session holds the lock %q: what it does must end, or be reverted, first", s.address, label, s.claim)
	}
	_, err = c.ExecContext(ctx, query, args...)
	// A session that cannot do this any more loses the lock as it ends.
	_, _ = c.ExecContext(ctx, "DO RELEASE_LOCK(?)", s.claim)
	if err != nil {
		return s.wrap(label, err)
	}
	return nil
}

// EndClaim kills the session that holds the lock, if there is one, and returns
// nil once there is none: what was done by then is done, and what was not will
// not be. It needs no privilege for sessions of the same account. A server that
// does not answer within 1.5 seconds is an error.
func (s *Server) EndClaim(ctx context.Context, name string) error {
	for {
		id, err := s.endClaim(ctx, name)
		if err != nil || id == 0 {
			return err
		}
		if pause(ctx, poll) != nil {
			return fmt.Errorf("%s: session %d still holds lock %q after KILL", s.address, id, name)
		}
	}
}

// endClaim returns whom it has killed, 0 for nobody.
func (s *Server) endClaim(ctx context.Context, name string) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	var id sql.NullInt64
	if err := s.db.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?)", name).Scan(&id); err != nil {
		return 0, s.wrap("look for lock "+name, err)
	}
	if !id.Valid {
		return 0, nil
	}
	var e *driverpkg.MySQLError
	err := s.run(ctx, "", fmt.Sprintf("KILL %d", id.Int64))
	if errors.As(err, &e) && e.Number == noSuchThread {
		err = nil
	}
	return id.Int64, err
}
