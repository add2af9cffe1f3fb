package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	driverpkg "github.com/go-sql-driver/mysql"
)

// spared are the commands of sessions that are not clients': replicas may still
// fetch, and the server's own threads.
var spared = []string{"Binlog Dump", "Binlog Dump GTID", "Daemon", "Slave_IO", "Slave_SQL", "Slave_worker"}

// sessions lists clients' sessions but for that of c. SHOW PROCESSLIST is what
// every version has.
func sessions(ctx context.Context, c *sql.Conn) (map[string]bool, error) {
	var own string
	if err := c.QueryRowContext(ctx, "SELECT CONNECTION_ID()").Scan(&own); err != nil {
		return nil, err
	}
	rows, err := c.QueryContext(ctx, "SHOW PROCESSLIST")
	if err != nil {
		return nil, err
	}
	list, err := named(rows)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, r := range list {
		system := r["User"] == "system user" || r["User"] == "event_scheduler"
		if r["Id"] != own && !system && !slices.Contains(spared, r["Command"]) {
			ids[r["Id"]] = true
		}
	}
	return ids, nil
}

// Errors of KILL: the session has left by itself; the session of an account with
// SYSTEM_USER (MySQL), which super_read_only binds nevertheless.
const (
	noSuchThread = 1094
	notOwner     = 1095
)

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
	old, err := sessions(ctx, c)
	if err != nil {
		return 0, s.wrap("list sessions", err)
	}
	for id := range old {
		if _, err := c.ExecContext(ctx, "KILL "+id); err != nil {
			var e *driverpkg.MySQLError
			if !errors.As(err, &e) || e.Number != noSuchThread && e.Number != notOwner {
				return 0, s.wrap("KILL a session", err)
			}
			delete(old, id)
		}
	}
	for {
		left := 0
		now, err := sessions(ctx, c)
		if err != nil {
			return 0, s.wrap("list sessions", err)
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
