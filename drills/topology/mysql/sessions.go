package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	driverpkg "github.com/go-sql-driver/mysql"
)

// sessions lists clients' sessions: not this one, not those of replication
// (replicas may still fetch), not the server's own.
const sessions = "SELECT ID, USER FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()" +
	" AND COMMAND NOT IN ('Binlog Dump','Binlog Dump GTID','Daemon','Slave_IO','Slave_SQL','Slave_worker')" +
	" AND USER NOT IN ('system user','event_scheduler','mysql.session')"

// KillSessions cuts the sessions of all clients that are there now and returns
// how many, once the server no longer lists them. It needs to see and kill other
// accounts' sessions.
func (s *Server) KillSessions(ctx context.Context) (int, error) {
	// One connection throughout: the pool's others are cut as well.
	c, err := s.db.Conn(ctx)
	if err != nil {
		return 0, s.wrap("log in", err)
	}
	defer c.Close()
	list := func() (map[int64]bool, error) {
		rows, err := c.QueryContext(ctx, sessions)
		if err != nil {
			return nil, s.wrap("list sessions", err)
		}
		defer rows.Close()
		ids := map[int64]bool{}
		for rows.Next() {
			var id int64
			var user string
			if err := rows.Scan(&id, &user); err != nil {
				return nil, s.wrap("list sessions", err)
			}
			ids[id] = true
		}
		return ids, rows.Err()
	}
	old, err := list()
	if err != nil {
		return 0, err
	}
	for id := range old {
		// 1094 (no such thread): it has left by itself.
		var e *driverpkg.MySQLError
		if _, err := c.ExecContext(ctx, "KILL "+strconv.FormatInt(id, 10)); err != nil && !(errors.As(err, &e) && e.Number == 1094) {
			return 0, s.wrap("KILL a session", err)
		}
	}
	for {
		left := 0
		now, err := list()
		if err != nil {
			return 0, err
		}
		for id := range now {
			if old[id] {
				left++
			}
		}
		if left == 0 {
			return len(old), nil
		}
		if err := pause(ctx, poll); err != nil {
			return 0, fmt.Errorf("%s: %d sessions are still there after KILL: %w", s.address, left, err)
		}
	}
}
