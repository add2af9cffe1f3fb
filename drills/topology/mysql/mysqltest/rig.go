// Package mysqltest is a component of real servers for the tests of everything
// that speaks their replication.
package mysqltest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/gtid"
	"firedrill/lab"
	"firedrill/lab/labtest"
)

// limit is how long anything may take on a busy machine.
const limit = time.Minute

// Flavours are the products to test with.
var Flavours = []string{mysql.MariaDB, mysql.MySQL}

// Rig is a component of real servers: db-1 is the primary at first.
type Rig struct {
	T       testing.TB
	Flavour string
	Servers []*lab.Server
	C       *topology.Component
	K       *mysql.Cluster

	// Proxy leads clients to the primary, if there is one.
	Proxy *lab.HAProxy

	roots map[string]*sql.DB
}

// New starts n servers.
func New(t testing.TB, flavour string, n int) *Rig {
	t.Helper()
	labtest.Real(t)
	if flavour == mysql.MySQL {
		return rig(t, flavour, labtest.MySQLCluster(t, n))
	}
	return rig(t, flavour, labtest.Cluster(t, n))
}

// NewSemiSync starts n MariaDB servers whose commits wait for a replica.
func NewSemiSync(t testing.TB, n int) *Rig {
	t.Helper()
	labtest.Real(t)
	dir, accounts := labtest.Dir(t), lab.NewAccounts()
	var servers []*lab.Server
	for id := 1; id <= n; id++ {
		s, err := lab.NewMariaDB(filepath.Join(dir, fmt.Sprintf("db-%d", id)), fmt.Sprintf("127.0.0.%d:3306", 10+id), id)
		require.NoError(t, err)
		s.Accounts, s.SemiSync = accounts, true
		servers = append(servers, labtest.Start(t, s))
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	require.NoError(t, lab.Replicate(ctx, servers[0], servers[1:]...))
	return rig(t, mysql.MariaDB, servers)
}

func rig(t testing.TB, flavour string, servers []*lab.Server) *Rig {
	t.Helper()
	r := &Rig{T: t, Flavour: flavour, Servers: servers, roots: map[string]*sql.DB{}}
	for _, s := range r.Servers {
		db, err := s.Root()
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		r.roots[s.Name] = db
	}
	r.Open(nil)
	r.Do("db-1", "CREATE DATABASE firedrill", "CREATE TABLE firedrill.t (i BIGINT PRIMARY KEY AUTO_INCREMENT, w TEXT)")
	r.CaughtUp()
	return r
}

// Open opens the component anew; change may edit its specification.
func (r *Rig) Open(change func(*topology.ComponentSpec, *mysql.Config)) {
	r.T.Helper()
	t, acc := r.T, r.Servers[0].Accounts
	t.Setenv("RIG_ADMIN", acc.Admin)
	t.Setenv("RIG_REPL", acc.Repl)
	t.Setenv("RIG_APP", acc.App)
	cfg := mysql.Config{
		User: lab.AdminUser, Password: "env:RIG_ADMIN", Replication: mysql.Replication{User: lab.ReplUser, Password: "env:RIG_REPL"},
		Application: mysql.Account{User: lab.AppUser, Password: "env:RIG_APP"},
	}
	cs := topology.ComponentSpec{Name: "orders-db", Kind: "mysql", Failover: "runner"}
	for _, s := range r.Servers {
		m, err := s.Spec()
		require.NoError(t, err)
		cs.Members = append(cs.Members, m)
	}
	if change != nil {
		change(&cs, &cfg)
	}
	var err error
	cs.With, err = json.Marshal(cfg)
	require.NoError(t, err)
	r.C, err = builtin.Kinds().OpenComponent(cs, r.routes())
	require.NoError(t, err)
	r.K, err = mysql.OpenCluster(r.C)
	require.NoError(t, err)
	t.Cleanup(r.K.Close)
}

// Route starts a proxy that leads to db-1, and opens the component with it.
func (r *Rig) Route() {
	r.T.Helper()
	r.Proxy = lab.NewHAProxy(filepath.Join(labtest.Dir(r.T), "proxy"), "127.0.0.10:3306", r.Servers...)
	r.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := r.Proxy.Kill(ctx); err != nil {
			r.T.Errorf("end proxy: %v", err)
		}
	})
	require.NoError(r.T, r.Proxy.Start(r.T.Context(), "db-1"))
	r.Open(nil)
}

func (r *Rig) routes() []topology.RouteSpec {
	if r.Proxy == nil {
		return nil
	}
	return []topology.RouteSpec{{
		Name: "orders-rw", Component: "orders-db", Kind: "haproxy", Address: r.Proxy.Address, Serves: "primary",
		With: fmt.Appendf(nil, `{"socket":%q,"backend":%q}`, r.Proxy.Socket(), lab.Backend),
	}}
}

// Server finds a server by name.
func (r *Rig) Server(name string) *lab.Server {
	for _, s := range r.Servers {
		if s.Name == name {
			return s
		}
	}
	r.T.Fatalf("no server %s", name)
	return nil
}

// Do executes statements as root, through the socket.
func (r *Rig) Do(name string, statements ...string) {
	r.T.Helper()
	for _, q := range statements {
		_, err := r.roots[name].ExecContext(r.T.Context(), q)
		require.NoError(r.T, err, "%s: %s", name, q)
	}
}

// Ask returns one value, as root.
func (r *Rig) Ask(name, query string, args ...any) string {
	r.T.Helper()
	var v sql.NullString
	require.NoError(r.T, r.roots[name].QueryRowContext(r.T.Context(), query, args...).Scan(&v), "%s: %s", name, query)
	return v.String
}

// Insert writes n rows, one transaction each.
func (r *Rig) Insert(name string, n int) {
	r.T.Helper()
	for range n {
		r.Do(name, "INSERT INTO firedrill.t (w) VALUES ('"+name+"')")
	}
}

// Rows counts what is there.
func (r *Rig) Rows(name string) string { return r.Ask(name, "SELECT COUNT(*) FROM firedrill.t") }

// Word is SLAVE or REPLICA.
func (r *Rig) Word() string {
	if r.Flavour == mysql.MariaDB {
		return "SLAVE"
	}
	return "REPLICA"
}

// CaughtUp waits until every follower shows what its source has.
func (r *Rig) CaughtUp() {
	r.T.Helper()
	r.Eventually(func() error {
		p := r.K.Look(r.T.Context())
		for _, s := range p.Up() {
			if src := r.K.Source(p, s); src != nil && p.Of(src).Up() {
				if d := lacks(r.T, s.State, p.Of(src).State); !d.None() {
					return fmt.Errorf("%s lacks %s", s.Name(), d)
				}
			}
		}
		return nil
	})
}

// lacks is what a reader of a follower does not see yet. MariaDB writes a
// transaction to the binary log before the storage engine commits it, so what it
// counts as executed may be invisible for a moment; gtid_slave_pos moves after.
func lacks(t testing.TB, follower, source mysql.State) gtid.Difference {
	executed, ok := source.Executed.(gtid.Positions)
	if !ok {
		return source.Executed.Subtract(follower.Executed)
	}
	shown, err := gtid.ParsePositions(follower.SlavePos)
	require.NoError(t, err)
	return executed.Last().Subtract(shown)
}

// Eventually asks until nil.
func (r *Rig) Eventually(ok func() error) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.NoError(r.T, err)
		}
	}
}

// Kill ends a server as a crash would.
func (r *Rig) Kill(name string) {
	r.T.Helper()
	require.NoError(r.T, r.Server(name).Kill(r.T.Context()))
}

// Start starts it again.
func (r *Rig) Start(name string) {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.T.Context(), limit)
	defer cancel()
	require.NoError(r.T, r.Server(name).Start(ctx))
}

// Discover asks the adapter.
func (r *Rig) Discover() topology.State {
	r.T.Helper()
	st, err := r.C.Adapter.Discover(r.T.Context())
	require.NoError(r.T, err)
	return st
}

// Restore restores and notes the steps.
func (r *Rig) Restore(keep topology.State) (topology.Restored, []topology.Step, error) {
	var steps []topology.Step
	out, err := r.C.Adapter.Restore(r.T.Context(), keep, func(s topology.Step) { steps = append(steps, s) })
	return out, steps, err
}

// Hang stops a server where it is (SIGSTOP).
func (r *Rig) Hang(name string) {
	r.T.Helper()
	require.NoError(r.T, syscall.Kill(r.Server(name).PID(r.T.Context()), syscall.SIGSTOP))
}
