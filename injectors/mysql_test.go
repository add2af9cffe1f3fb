package injectors

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql/mysqltest"
)

// mysqlFault builds a fault as a run does, and as another process does to undo it.
func mysqlFault(t *testing.T, kind string) drills.Injector {
	t.Helper()
	var i drills.Injector
	var err error
	if kind == "mysql-read-only" {
		i, err = newMySQLReadOnly(MySQLReadOnlySpec{})
	} else {
		i, err = newMySQLReplicationStop(MySQLReplicationStopSpec{})
	}
	require.NoError(t, err)
	return i
}

func mysqlTarget(t *testing.T, r *mysqltest.Rig, names ...string) drills.Target {
	t.Helper()
	at := drills.Target{Component: r.C, State: r.Discover()}
	for _, n := range names {
		m, err := r.C.Member(n)
		require.NoError(t, err)
		at.Members = append(at.Members, m)
	}
	return at
}

func confirm(t *testing.T, i drills.Injector, at drills.Target, u drills.Undo) (string, error) {
	t.Helper()
	return confirmWithin(t, 10*time.Second, i, at, u)
}

// unconfirmed is confirm of what is not there, which is waited for until the end.
func unconfirmed(t *testing.T, i drills.Injector, at drills.Target, u drills.Undo) error {
	t.Helper()
	_, err := confirmWithin(t, 500*time.Millisecond, i, at, u)
	return err
}

func confirmWithin(t *testing.T, within time.Duration, i drills.Injector, at drills.Target, u drills.Undo) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return i.(drills.Confirmer).Confirm(ctx, at, u)
}

func eachFlavour(t *testing.T, test func(*testing.T, *mysqltest.Rig)) {
	for _, f := range mysqltest.Flavours {
		t.Run(f, func(t *testing.T) { test(t, mysqltest.New(t, f, 3)) })
	}
}

func TestMySQLReadOnly(t *testing.T) {
	eachFlavour(t, func(t *testing.T, r *mysqltest.Rig) {
		i, at := mysqlFault(t, "mysql-read-only"), mysqlTarget(t, r, "db-1")
		_, err := i.Prepare(t.Context(), mysqlTarget(t, r, "db-2"))
		require.ErrorContains(t, err, "member db-2: it is read-only already")
		u, err := i.Prepare(t.Context(), at)
		require.NoError(t, err)
		assert.Equal(t, "0", r.Ask("db-1", "SELECT @@global.read_only"), "Prepare has no side effect")
		secrets, err := json.Marshal(u)
		require.NoError(t, err)
		acc := r.Servers[0].Accounts
		for _, s := range []string{acc.Admin, acc.App, acc.Repl} {
			assert.NotContains(t, string(secrets), s)
		}
		require.ErrorContains(t, unconfirmed(t, i, at, u), "read_only is off")
		require.NoError(t, mysqlFault(t, "mysql-read-only").Revert(t.Context(), u), "revert without inject")

		require.NoError(t, i.Inject(t.Context(), at, u))
		by, err := confirm(t, i, at, u)
		require.NoError(t, err)
		assert.Contains(t, by, `a write as "firedrill_app" is refused`)
		for range 2 {
			require.NoError(t, mysqlFault(t, "mysql-read-only").Revert(t.Context(), u))
			assert.Equal(t, "0", r.Ask("db-1", "SELECT @@global.read_only"))
		}
		r.Insert("db-1", 1)
	})
}

// When another member has taken over, the old primary must stay as it is.
func TestMySQLReadOnlyGone(t *testing.T) {
	eachFlavour(t, func(t *testing.T, r *mysqltest.Rig) {
		i, at := mysqlFault(t, "mysql-read-only"), mysqlTarget(t, r, "db-1")
		u, err := i.Prepare(t.Context(), at)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), at, u))
		r.CaughtUp()
		require.NoError(t, r.K.Promote(t.Context(), r.K.Node("db-2"), false))
		err = i.Revert(t.Context(), u)
		require.ErrorIs(t, err, drills.ErrGone)
		assert.ErrorContains(t, err, "db-2 takes writes")
		// Closed again, it may not be seen, but what follows it is.
		_, err = r.K.Follow(t.Context(), r.K.Node("db-3"), r.K.Node("db-2"), false)
		require.NoError(t, err)
		r.Kill("db-2")
		err = i.Revert(t.Context(), u)
		require.ErrorIs(t, err, drills.ErrGone)
		assert.ErrorContains(t, err, "db-3 follows db-2")
		assert.Equal(t, "1", r.Ask("db-1", "SELECT @@global.read_only"))
		r.Kill("db-1")
		err = i.Revert(t.Context(), u)
		require.NotErrorIs(t, err, drills.ErrGone)
		assert.ErrorContains(t, err, "connection refused")
	})
}

func TestMySQLReplicationStop(t *testing.T) {
	eachFlavour(t, func(t *testing.T, r *mysqltest.Rig) {
		i, at := mysqlFault(t, "mysql-replication-stop"), mysqlTarget(t, r, "db-2", "db-3")
		_, err := i.Prepare(t.Context(), mysqlTarget(t, r, "db-1"))
		require.ErrorContains(t, err, "it replicates from nobody")
		u, err := i.Prepare(t.Context(), at)
		require.NoError(t, err)
		require.ErrorContains(t, unconfirmed(t, i, at, u), "its receiver runs")
		require.NoError(t, mysqlFault(t, "mysql-replication-stop").Revert(t.Context(), u), "revert without inject")

		require.NoError(t, i.Inject(t.Context(), at, u))
		r.Insert("db-1", 4)
		by, err := confirm(t, i, at, u)
		require.NoError(t, err)
		assert.Contains(t, by, "db-1 is ahead by 4 transactions")
		assert.Equal(t, "0", r.Rows("db-2"))
		for range 2 {
			require.NoError(t, mysqlFault(t, "mysql-replication-stop").Revert(t.Context(), u))
		}
		r.CaughtUp()
		assert.Equal(t, "4", r.Rows("db-3"))

		// One was promoted, the other follows it: there is nothing to revert.
		require.NoError(t, i.Inject(t.Context(), at, u))
		require.NoError(t, r.K.Node("db-1").Server.SetReadOnly(t.Context(), true))
		require.NoError(t, r.K.Promote(t.Context(), r.K.Node("db-2"), false))
		_, err = r.K.Follow(t.Context(), r.K.Node("db-3"), r.K.Node("db-2"), false)
		require.NoError(t, err)
		err = mysqlFault(t, "mysql-replication-stop").Revert(t.Context(), u)
		require.ErrorIs(t, err, drills.ErrGone)
		assert.ErrorContains(t, err, "member db-3: it follows 127.0.0.12:3306 by now")
		assert.Equal(t, []string{"db-2"}, r.Discover().With(topology.Primary))
	})
}
