package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"
)

// Reclone makes a member's data anew, as it was when the lab began: empty, with
// the accounts; then the member follows the primary until it has what that has
// now. A lab's servers keep their whole history in their binary logs, so that this
// is everything. In production the same place takes a physical copy.
func Reclone(ctx context.Context, home, name, member string) error {
	opened, err := open(home, name, nil)
	if err != nil {
		return err
	}
	l, ok := opened.make.(*databases)
	if !ok {
		return fmt.Errorf("lab %s has no databases", name)
	}
	if err := l.readSecrets(); err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	for _, s := range l.servers {
		if s.Name != member {
			continue
		}
		if err := s.Kill(ctx); err != nil {
			return fmt.Errorf("lab %s: end %s: %w", name, member, err)
		}
		if err := os.RemoveAll(s.file("data")); err != nil {
			return fmt.Errorf("lab %s: remove the data of %s: %w", name, member, err)
		}
		// A server skips what carries its own id (--replicate-same-server-id), which
		// is all that it wrote as a primary: it needs a new one.
		s.ID = int(time.Now().Unix())
		if err := s.Start(ctx); err != nil {
			return err
		}
		return l.fill(ctx, s)
	}
	return fmt.Errorf("lab %s has no member %q: it has %v", name, member, names(l.servers))
}

// fill makes a new member follow the primary, and waits until it has what that has
// now. It need not survive a crash of the machine meanwhile, but may be killed:
// that makes it many times as fast.
func (l *databases) fill(ctx context.Context, s *Server) error {
	var primary *Server
	var has string
	for _, o := range l.servers {
		if st, err := o.standing(ctx); o != s && err == nil && !st.readOnly {
			primary, has = o, st.executed
		}
	}
	if primary == nil {
		return fmt.Errorf("lab %s: fill %s: no other member takes writes", l.Name, s.Name)
	}
	hasty := []string{"SET GLOBAL sync_binlog=0", "SET GLOBAL innodb_flush_log_at_trx_commit=2"}
	if err := s.exec(ctx, append(hasty, s.engine.follow(primary)...)...); err != nil {
		return fmt.Errorf("lab %s: make %s follow %s: %w", l.Name, s.Name, primary.Name, err)
	}
	err := s.reach(ctx, has)
	err = errors.Join(err, s.exec(ctx, "SET GLOBAL sync_binlog=1", "SET GLOBAL innodb_flush_log_at_trx_commit=1"))
	if err != nil {
		return fmt.Errorf("lab %s: fill %s from %s: %w", l.Name, s.Name, primary.Name, err)
	}
	return nil
}

// reachWithin is how long a new member may take to replay a lab's history.
const reachWithin = 4 * time.Minute

// reach waits until the server has applied a position of its primary.
func (s *Server) reach(ctx context.Context, executed string) error {
	db, err := s.Root()
	if err != nil {
		return err
	}
	defer db.Close()
	var late sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT "+s.engine.reached()+"(?, ?)", executed, reachWithin.Seconds()).Scan(&late)
	if err == nil && (!late.Valid || late.Int64 != 0) {
		err = fmt.Errorf("it has not applied %s within %s", executed, reachWithin)
	}
	return err
}

// recloneCommand is how a drill calls Reclone: through this program, as it would
// call a script.
func (l *databases) recloneCommand() ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	return []string{"env", "FIREDRILL_HOME=" + l.home, exe, "lab", "reclone", l.Name, "{member}"}, nil
}
