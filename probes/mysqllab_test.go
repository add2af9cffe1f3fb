package probes_test

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/lab"
	"firedrill/lab/labtest"
	"firedrill/probes/probetest"
)

const runID = "20260214T091212Z-mysql-primary-loss-7f3k"

// table is where that run's writes go.
const table = "firedrill.ledger_20260214t091212z_mysql_primary_loss_7f3k"

// world is a real cluster as a component, and a ledger.
type world struct {
	t       testing.TB
	servers []*lab.Server
	c       *topology.Component
	kind    drills.LedgerKind
	clock   timeline.Clock
	path    string
	file    *ledger.File
}

// real leaves out tests that need servers where that was asked for.
func real(t testing.TB) {
	if os.Getenv("FIREDRILL_TEST_REAL") == "0" {
		t.Skip("FIREDRILL_TEST_REAL=0")
	}
}

// newWorld starts a primary (db-1) and replicas, makes the table, and a ledger
// with lanes.
func newWorld(t testing.TB, members, lanes int) *world {
	real(t)
	return worldOf(t, labtest.Cluster(t, members), t.TempDir(), lanes)
}

// worldOf has its ledger in dir.
func worldOf(t testing.TB, servers []*lab.Server, dir string, lanes int) *world {
	w := &world{t: t, servers: servers, clock: timeline.NewClock()}
	w.c = componentOf(t, w.servers)
	w.kind = build(t, "mysql-write", `{}`).(drills.LedgerKind)
	require.NoError(t, w.kind.Prepare(t.Context(), w.c, runID))
	w.path = filepath.Join(dir, "ledger.bin")
	f, err := ledger.Create(w.path, "orders", ledger.WithLanes(lanes))
	require.NoError(t, err)
	w.file = f
	t.Cleanup(func() { _ = f.Close() })
	return w
}

func componentOf(t testing.TB, servers []*lab.Server) *topology.Component {
	a := servers[0].Accounts
	for name, v := range map[string]string{"FD_ADMIN": a.Admin, "FD_APP": a.App, "FD_REPL": a.Repl} {
		t.Setenv(name, v)
	}
	s := topology.ComponentSpec{Name: "orders-db", Kind: "mysql", Failover: "none", With: []byte(`{
		"user": "firedrill_admin", "password": "env:FD_ADMIN",
		"application": {"user": "firedrill_app", "password": "env:FD_APP"},
		"replication": {"user": "firedrill_repl", "password": "env:FD_REPL"}}`)}
	for _, srv := range servers {
		s.Members = append(s.Members, topology.MemberSpec{Name: srv.Name, Address: srv.Address})
	}
	kinds := topology.Kinds{Components: kind.Of("component", mysql.Kind())}
	c, err := kinds.OpenComponent(s, nil)
	require.NoError(t, err)
	return c
}

func (w *world) subject(address string, client drills.Client, lanes int) drills.Subject {
	return drills.Subject{
		Component: w.c, Address: address, Client: client, Timeout: probetest.Timeout,
		Lanes: lanes, Clock: w.clock, Ledger: w.file, RunID: runID,
	}
}

// writer opens a writing probe with one lane.
func (w *world) writer(address string, client drills.Client) drills.Probe {
	return open(w.t, w.kind, w.subject(address, client, 1))
}

// look observes once, with a deadline that a busy machine keeps.
func look(t testing.TB, p drills.Probe) drills.Observation {
	o, _ := probetest.Look(t, p, probetest.Patience)
	return o
}

// root is the superuser's session with a server.
func (w *world) root(server int) *sql.DB {
	db, err := w.servers[server].Root()
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = db.Close() })
	return db
}

// sql runs statements as the superuser.
func (w *world) sql(server int, statements ...string) {
	w.t.Helper()
	db := w.root(server)
	for _, q := range statements {
		_, err := db.ExecContext(w.t.Context(), q)
		require.NoError(w.t, err, q)
	}
}

// readBack reads one member.
func (w *world) readBack(member int) (ledger.ReadBack, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	r, err := ledger.Collect(w.kind.ReadBack(ctx, w.c, runID, w.c.Members[member]))
	r.Member = w.c.Members[member].Name()
	return r, err
}

// audit closes the ledger and compares it with what db-1 holds.
func (w *world) audit() ledger.Accounting {
	w.t.Helper()
	require.NoError(w.t, w.file.Close())
	r, err := w.readBack(0)
	require.NoError(w.t, err)
	r.When, r.Primary = ledger.Recovered, true
	a, err := ledger.Audit(func() iter.Seq2[ledger.Entry, error] { return ledger.Read(w.path) }, []ledger.ReadBack{r}, ledger.Options{})
	require.NoError(w.t, err)
	return a
}

// entries are what the ledger holds, by id.
func (w *world) entries() map[string]ledger.Entry {
	got := map[string]ledger.Entry{}
	for e, err := range ledger.Read(w.path) {
		require.NoError(w.t, err)
		got[fmt.Sprint(e.ID)] = e
	}
	return got
}
