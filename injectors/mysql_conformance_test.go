package injectors_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/topology/mysql/mysqltest"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
	"firedrill/lab"
)

// Clients hold table locks all the time, which is what setting read_only waits
// for: so an inject is cut short while the server works on it.
func TestMySQLReadOnlyConforms(t *testing.T) {
	w := newSQLWorld(t, "db-1")
	w.locks("db-1")
	injectortest.Run(t, w.conforms("mysql-read-only", func(ctx context.Context) error {
		if err := w.write(ctx); !refused(err) {
			return fmt.Errorf("a write to db-1: want error 1290, got %w", err)
		}
		return w.says(ctx, "db-1", "SELECT @@global.read_only", "1")
	}))
}

func TestMySQLReplicationStopConforms(t *testing.T) {
	w := newSQLWorld(t, "db-2", "db-3")
	injectortest.Run(t, w.conforms("mysql-replication-stop", func(ctx context.Context) error {
		if err := w.write(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		return errors.Join(w.has(ctx, w.last-1, "db-2", "db-3"), w.says(ctx, "db-1", newest, fmt.Sprint(w.last)))
	}))
}

// newest is the last row that a server has.
const newest = "SELECT MAX(i) FROM firedrill.conform"

// sqlWorld is a cluster as its clients and its administrators see it: not through
// what injectors use.
type sqlWorld struct {
	*mysqltest.Rig
	targets []string
	app     *sql.DB
	roots   map[string]*sql.DB
	last    int // the last row that was acknowledged
}

func newSQLWorld(t *testing.T, targets ...string) *sqlWorld {
	t.Helper()
	r := mysqltest.New(t, "MariaDB", 3)
	w := &sqlWorld{Rig: r, targets: targets, roots: map[string]*sql.DB{}}
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = lab.AppUser, r.Servers[0].Accounts.App, "tcp", r.Servers[0].Address
	c.Timeout, c.ReadTimeout, c.Logger = time.Second, 5*time.Second, &mysql.NopLogger{}
	conn, err := mysql.NewConnector(c)
	require.NoError(t, err)
	w.app = sql.OpenDB(conn)
	t.Cleanup(func() { w.app.Close() })
	for _, s := range r.Servers {
		w.roots[s.Name], err = s.Root()
		require.NoError(t, err)
		t.Cleanup(func() { w.roots[s.Name].Close() })
	}
	r.Do("db-1", "CREATE TABLE firedrill.conform (i INT PRIMARY KEY)", "INSERT INTO firedrill.conform VALUES (0)")
	return w
}

func (w *sqlWorld) conforms(kind string, faulted func(context.Context) error) injectortest.Case {
	return injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: kind, With: `{}`,
		Target: func() (drills.Target, error) {
			return injectortest.OpenPart(kinds, w.C.Spec, w.targets)
		},
		Worker:  &injectortest.Job{Component: &w.C.Spec, Parts: w.targets},
		Healthy: w.healthy, Faulted: faulted, Leftovers: w.leftovers, Die: w.die, Heal: w.heal,
	}
}

// write writes the next row, as an application.
func (w *sqlWorld) write(ctx context.Context) error {
	_, err := w.app.ExecContext(ctx, "INSERT INTO firedrill.conform VALUES (?)", w.last+1)
	if err == nil {
		w.last++
	}
	return err
}

func refused(err error) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Number == 1290
}

func (w *sqlWorld) says(ctx context.Context, server, query, want string) error {
	var got string
	if err := w.roots[server].QueryRowContext(ctx, query).Scan(&got); err != nil {
		return fmt.Errorf("%s: %s: %w", server, query, err)
	}
	if got != want {
		return fmt.Errorf("%s: %s: want %s, got %s", server, query, want, got)
	}
	return nil
}

func (w *sqlWorld) has(ctx context.Context, row int, servers ...string) error {
	var all []error
	for _, s := range servers {
		all = append(all, w.says(ctx, s, newest, fmt.Sprint(row)))
	}
	return errors.Join(all...)
}

// healthy returns nil once a row that an application writes is on every server,
// and the replicas are read-only.
func (w *sqlWorld) healthy(ctx context.Context) error {
	if err := w.write(ctx); err != nil {
		return fmt.Errorf("a write to db-1: %w", err)
	}
	return eventually(ctx, func(ctx context.Context) error {
		return errors.Join(w.has(ctx, w.last, "db-1", "db-2", "db-3"),
			w.says(ctx, "db-1", "SELECT @@global.read_only", "0"),
			w.says(ctx, "db-2", "SELECT @@global.read_only", "1"), w.says(ctx, "db-3", "SELECT @@global.read_only", "1"))
	})
}

// leftovers are statements of the injector's account. Sessions without any end on
// their own.
func (w *sqlWorld) leftovers() (left []string, err error) {
	for name, root := range w.roots {
		rows, err := root.Query("SELECT info FROM information_schema.processlist WHERE user = ? AND info IS NOT NULL", lab.AdminUser)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var info string
			if err := rows.Scan(&info); err != nil {
				return nil, err
			}
			left = append(left, name+" works on: "+strings.TrimSpace(info))
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// die crashes the first target, which comes back as servers do: read-only, and
// not replicating.
func (w *sqlWorld) die(ctx context.Context) error {
	s := w.Server(w.targets[0])
	return errors.Join(s.Kill(ctx), s.Start(ctx))
}

// heal has it replicate again. Taking writes again is for Revert to see to.
func (w *sqlWorld) heal(ctx context.Context) error {
	if w.targets[0] == "db-1" {
		return nil
	}
	_, err := w.roots[w.targets[0]].ExecContext(ctx, "START SLAVE")
	return err
}

// locks locks a table again and again, until the test ends.
func (w *sqlWorld) locks(server string) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.T.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			w.lock(ctx, server)
		}
	}()
}

func (w *sqlWorld) lock(ctx context.Context, server string) {
	pause, cancel := context.WithTimeout(ctx, 15*time.Millisecond)
	defer cancel()
	defer func() { <-pause.Done() }()
	c, err := w.roots[server].Conn(ctx)
	if err != nil {
		return // it is down
	}
	defer c.Close()
	if _, err := c.ExecContext(ctx, "LOCK TABLES firedrill.t WRITE"); err != nil {
		return
	}
	held, end := context.WithTimeout(ctx, 40*time.Millisecond)
	defer end()
	<-held.Done()
	_, _ = c.ExecContext(ctx, "UNLOCK TABLES")
}
