package probes_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// exists tells whether a server has a database.
func (w *world) exists(server int, database string) bool {
	var n int
	require.NoError(w.t, w.root(server).QueryRow("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = ?", database).Scan(&n))
	return n > 0
}

// tables counts the tables of the database.
func (w *world) tables(server int) (n int) {
	require.NoError(w.t, w.root(server).QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'firedrill'").Scan(&n))
	return n
}

// follows waits until a condition on a replica holds.
func follows(t *testing.T, ok func() bool) {
	t.Helper()
	assert.Eventually(t, ok, 30*time.Second, 10*time.Millisecond)
}

// The place is made with the database, is on the replica when Prepare returns, and
// goes with the database: from the undo alone.
func TestMySQLPlaceComesAndGoes(t *testing.T) {
	w := newWorld(t, 2, 1)
	assert.Equal(t, 2, w.tables(1), "the replica has the table and the marker")
	assert.ErrorContains(t, w.kind.Prepare(t.Context(), w.c, runID), "already exists", "two runs cannot share a table")

	u, err := w.kind.PlanUndo(w.c, runID)
	require.NoError(t, err)
	assert.NotContains(t, string(u.Data), w.servers[0].Accounts.Admin)
	assert.Contains(t, string(u.Data), "env:FD_ADMIN")
	again := build(t, "mysql-write", `{}`).(drills.LedgerKind)
	for range 2 {
		require.NoError(t, again.Remove(t.Context(), u), "idempotent")
		assert.False(t, w.exists(0, "firedrill"))
	}
	follows(t, func() bool { return !w.exists(1, "firedrill") })
}

// A place that is kept stays with its rows, on every server; the marker goes, and
// no later run drops the database.
func TestMySQLPlaceIsKept(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.sql(0, "INSERT INTO "+table+" (id, writer, seq) VALUES (1, 1, 1)")
	u, err := build(t, "mysql-write", `{"keep": true}`).(drills.LedgerKind).PlanUndo(w.c, runID)
	require.NoError(t, err)
	assert.Contains(t, u.Says, "leave table")
	require.NoError(t, w.kind.Prepare(t.Context(), w.c, "later"))
	later, err := w.kind.PlanUndo(w.c, "later")
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, build(t, "mysql-write", `{}`).(drills.LedgerKind).Remove(t.Context(), u), "idempotent")
	}
	require.NoError(t, w.kind.Remove(t.Context(), later))
	for i := range 2 {
		follows(t, func() bool { return w.tables(i) == 1 })
		var n int
		require.NoError(t, w.root(i).QueryRow("SELECT COUNT(*) FROM "+table).Scan(&n))
		assert.Equal(t, 1, n)
	}
}

// A database of others stays, and so does one that another run still uses; what
// an interrupted Remove left goes with the next.
func TestMySQLPlaceLeavesOthersAlone(t *testing.T) {
	w := newWorld(t, 1, 1)
	first, err := w.kind.PlanUndo(w.c, runID)
	require.NoError(t, err)
	require.NoError(t, w.kind.Prepare(t.Context(), w.c, "other"))
	second, err := w.kind.PlanUndo(w.c, "other")
	require.NoError(t, err)
	w.sql(0, "DROP TABLE "+table) // as far as an interrupted Remove came
	require.NoError(t, w.kind.Remove(t.Context(), first))
	assert.Equal(t, 1, w.tables(0), "the other run's table is there, the marker is not")
	require.NoError(t, w.kind.Remove(t.Context(), second))
	assert.True(t, w.exists(0, "firedrill"), "that run did not make it")
	assert.Zero(t, w.tables(0))
}

// After a failover the place is removed on the new primary; without a primary,
// and with two, nothing is.
func TestMySQLPlaceFollowsThePrimary(t *testing.T) {
	w := newWorld(t, 2, 1)
	u, err := w.kind.PlanUndo(w.c, runID)
	require.NoError(t, err)
	w.sql(0, "SET GLOBAL read_only=ON")
	assert.ErrorContains(t, w.kind.Remove(t.Context(), u), "want exactly one, found 0")
	assert.ErrorContains(t, w.kind.Prepare(t.Context(), w.c, "late"), "find the primary of orders-db")
	w.sql(1, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only=OFF")
	require.NoError(t, w.kind.Remove(t.Context(), u))
	assert.False(t, w.exists(1, "firedrill"))
	assert.True(t, w.exists(0, "firedrill"), "the member that does not follow keeps it")
}

// A replica that does not get the table is named, in bounded time.
func TestMySQLPrepareNamesTheReplicaThatLags(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.sql(1, "STOP SLAVE SQL_THREAD")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	err := w.kind.Prepare(ctx, w.c, "second")
	assert.ErrorContains(t, err, "db-2 (127.0.0.12:3306)")
	assert.ErrorContains(t, err, "does it replicate?")
}

// Members are read whatever state they are in; one without the table has lost
// everything, and one that does not answer is not evidence.
func TestMySQLReadBack(t *testing.T) {
	w := newWorld(t, 2, 2)
	p := open(t, w.kind, w.subject(w.c.Members[0].Address(), drills.Pooled, 2))
	for range 20 {
		require.Equal(t, timeline.OK, look(t, p).Class)
	}
	rows := func(member int) uint64 {
		r, err := w.readBack(member)
		require.NoError(t, err)
		return r.Rows
	}
	assert.EqualValues(t, 20, rows(0))
	follows(t, func() bool { return rows(1) == 20 })

	w.sql(1, "STOP SLAVE", "RESET SLAVE ALL")
	assert.EqualValues(t, 20, rows(1), "read-only, and replicates no more")
	w.sql(1, "DROP TABLE "+table)
	assert.Zero(t, rows(1), "no table")
	w.sql(1, "DROP DATABASE firedrill")
	assert.Zero(t, rows(1), "no database")

	require.NoError(t, w.servers[1].Kill(t.Context()))
	_, err := w.readBack(1)
	assert.ErrorContains(t, err, "member db-2 (127.0.0.12:3306)")
	assert.ErrorContains(t, err, "refused")

	var first []ledger.ID
	for id, err := range w.kind.ReadBack(t.Context(), w.c, runID, w.c.Members[0]) {
		require.NoError(t, err)
		if first = append(first, id); len(first) == 3 {
			break
		}
	}
	assert.Equal(t, []ledger.ID{{Writer: 1, Seq: 1}, {Writer: 1, Seq: 2}, {Writer: 1, Seq: 3}}, first)
}

// A table that is listed and cannot be read is damaged, which is not the same as
// lost; an account without the privilege says nothing about the table.
func TestMySQLReadBackOfWhatCannotBeRead(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.c.Spec.With = []byte(`{"user":"firedrill_repl","password":"env:FD_REPL"}`)
	_, err := w.readBack(0)
	assert.ErrorContains(t, err, "1142")
}

// Long run ids and odd characters give names that servers take, and different
// ones for different runs.
func TestMySQLPlaceNames(t *testing.T) {
	w := newWorld(t, 1, 1)
	long := "20260214T091212Z-a-scenario-whose-name-goes-on-and-on-for-ever-and-a-day-"
	for _, id := range []string{long + "7f3k", long + "7f3l", "Ünïcode`; DROP"} {
		require.NoError(t, w.kind.Prepare(t.Context(), w.c, id), id)
		u, err := w.kind.PlanUndo(w.c, id)
		require.NoError(t, err)
		require.NoError(t, w.kind.Remove(t.Context(), u))
	}
	assert.Equal(t, 2, w.tables(0))
	bad := *w.c
	bad.Spec.With = []byte("{\"user\":\"a\",\"database\":\"x`y\"}")
	_, err := w.kind.PlanUndo(&bad, runID)
	assert.ErrorContains(t, err, "database")
	_, err = w.kind.PlanUndo(&topology.Component{Spec: topology.ComponentSpec{Name: "web", Kind: "service"}}, runID)
	assert.ErrorContains(t, err, "mysql")
}
