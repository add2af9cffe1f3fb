package mysql

import (
	"context"
	"fmt"
	"time"

	"firedrill/drills/topology/mysql/gtid"
)

// poll is how often a server is asked again while something is awaited.
const poll = 2 * time.Millisecond

// SetReadOnly sets read_only, with MySQL super_read_only too, and reads it back.
// Setting it waits for commits under way and for table locks (MariaDB and MySQL
// manuals, "read_only"): bound it by ctx.
func (s *Server) SetReadOnly(ctx context.Context, on bool) error {
	d, err := s.dialect(ctx)
	if err != nil {
		return err
	}
	query := "SET GLOBAL read_only=ON"
	switch {
	case on && !d.maria():
		query = "SET GLOBAL super_read_only=ON" // sets read_only too
	case !on:
		query = "SET GLOBAL read_only=OFF" // clears super_read_only too
	}
	if err := s.run(ctx, "", query); err != nil {
		return err
	}
	is, err := s.ReadOnly(ctx)
	if err == nil && is != on {
		err = fmt.Errorf("%s: read_only reads back %t after %s", s.address, is, query)
	}
	return err
}

// ReadOnly reads read_only.
func (s *Server) ReadOnly(ctx context.Context) (bool, error) {
	var v string
	if err := s.db.QueryRowContext(ctx, "SELECT @@global.read_only").Scan(&v); err != nil {
		return false, s.wrap("read read_only", err)
	}
	return !off(v), nil
}

// StopReceiver stops the thread that fetches from the source; what is fetched is
// still applied.
func (s *Server) StopReceiver(ctx context.Context) error { return s.thread(ctx, "STOP", "IO_THREAD") }

// StartReceiver starts it.
func (s *Server) StartReceiver(ctx context.Context) error { return s.thread(ctx, "START", "IO_THREAD") }

// StartApplier starts the thread that applies. On MariaDB the receiver must run:
// a start from a standstill throws the relay log away (see State.Known).
func (s *Server) StartApplier(ctx context.Context) error { return s.thread(ctx, "START", "SQL_THREAD") }

// StopReplica stops both threads.
func (s *Server) StopReplica(ctx context.Context) error { return s.thread(ctx, "STOP", "") }

// StartReplica starts both threads.
func (s *Server) StartReplica(ctx context.Context) error { return s.thread(ctx, "START", "") }

func (s *Server) thread(ctx context.Context, verb, thread string) error {
	d, err := s.dialect(ctx)
	if err != nil {
		return err
	}
	query := verb + " " + d.replica
	if thread != "" {
		query += " " + thread
	}
	return s.run(ctx, "", query)
}

// Detach stops replication and forgets the source. A server without one is left
// as it is.
func (s *Server) Detach(ctx context.Context) error {
	d, err := s.dialect(ctx)
	if err != nil {
		return err
	}
	l, err := s.link(ctx, d)
	if err != nil || l == nil {
		return err
	}
	if err := s.run(ctx, "", "STOP "+d.replica); err != nil {
		return err
	}
	return s.run(ctx, "", "RESET "+d.replica+" ALL")
}

// WaitApplied waits until the server has executed all of h. It returns early
// when the applier stops, with its error.
func (s *Server) WaitApplied(ctx context.Context, h gtid.History, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		st, err := s.State(ctx)
		if err != nil {
			return err
		}
		left := h.Subtract(st.Executed)
		if left.None() {
			return nil
		}
		if st.Link == nil || !st.Link.Applier {
			why := "the applier does not run"
			if st.Link != nil && st.Link.ApplierError != "" {
				why = st.Link.ApplierError
			}
			return fmt.Errorf("%s: %s transactions are received and not applied: %s", s.address, left, why)
		}
		if err := s.await(ctx, h); err != nil {
			return fmt.Errorf("%s: %s transactions are received and not applied after %s: %w", s.address, left, timeout, err)
		}
	}
}

// await waits in the server for at most a tenth of a second.
func (s *Server) await(ctx context.Context, h gtid.History) error {
	d, err := s.dialect(ctx)
	if err != nil {
		return err
	}
	query, at := "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, 0.1)", h.String()
	if d.maria() {
		query, at = "SELECT MASTER_GTID_WAIT(?, 0.1)", h.(gtid.Positions).Last().String()
	}
	var timedOut int
	if err := s.db.QueryRowContext(ctx, query, at).Scan(&timedOut); err != nil {
		return s.wrap("wait until applied", err)
	}
	return ctx.Err()
}

// SetSemiSync enables or disables the source or the replica side of
// semi-synchronous replication. The replica side takes effect when its receiver
// starts.
func (s *Server) SetSemiSync(ctx context.Context, side string, on bool) error {
	d, err := s.dialect(ctx)
	if err != nil {
		return err
	}
	names := map[string][]string{
		"source":  {"rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"},
		"replica": {"rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled"},
	}[side]
	name := names[1]
	if !d.maria() {
		vars, err := s.pairs(ctx, "SHOW GLOBAL VARIABLES LIKE 'rpl\\_semi\\_sync\\_%\\_enabled'")
		if err != nil {
			return err
		}
		if _, ok := vars[names[0]]; ok {
			name = names[0]
		}
	}
	value := "OFF"
	if on {
		value = "ON"
	}
	return s.run(ctx, "", "SET GLOBAL "+name+"="+value)
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Exec executes one statement. The server's own error is wrapped.
func (s *Server) Exec(ctx context.Context, query string) error { return s.run(ctx, "", query) }
