package mysql_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
)

// A diverged member is rebuilt with the configured command; what it had is
// listed all the same, and it can be promoted next time.
func TestRestoreReclones(t *testing.T) {
	r := mysqltest.New(t, mysql.MariaDB, 3)
	dir := filepath.Dir(r.Servers[0].Dir)
	client := " --no-defaults -uroot -S " + dir + "/"
	script := "mariadb" + client + "{member}/s.sock -e 'RESET MASTER; SET GLOBAL read_only=0; DROP DATABASE firedrill; RESET MASTER' && " +
		"(echo 'SET sql_log_bin=0;'; mariadb-dump" + client + "{primary}/s.sock --gtid --master-data=1 --single-transaction --databases firedrill) | " +
		"mariadb" + client + "{member}/s.sock && mariadb" + client + "{member}/s.sock -e 'RESET SLAVE ALL'"
	r.Open(func(_ *topology.ComponentSpec, c *mysql.Config) { c.Reclone = []string{"sh", "-ec", script} })
	keep := r.Discover()
	r.Insert("db-1", 3)
	r.CaughtUp()
	freeze(t, r, "db-2", "db-3")
	r.Insert("db-1", 2)
	r.Kill("db-1")
	promote(t, r, "db-2")
	r.Insert("db-2", 1)
	follow(t, r, "db-3", "db-2")
	r.Start("db-1")
	out, steps, err := r.Restore(keep)
	require.NoError(t, err, "%+v", steps)
	assert.Equal(t, []string{"db-1", "db-3"}, out.State.With(topology.Replica), "%+v", steps)
	assert.Contains(t, out.Errant["db-1"], "2 (0-1-")
	assert.Empty(t, out.KeptOut)
	r.CaughtUp()
	assert.Equal(t, "4", r.Rows("db-1"))

	// Cloned, db-1 knows nothing of what it wrote itself once: it is no reason to
	// keep the others out.
	r.Insert("db-2", 1)
	r.CaughtUp()
	keep = r.Discover()
	fence(t, r, "db-2")
	freeze(t, r, "db-1", "db-3")
	promote(t, r, "db-1")
	r.Insert("db-1", 1)
	out, steps, err = r.Restore(keep)
	require.NoError(t, err, "%+v", steps)
	assert.Empty(t, out.KeptOut, "%+v", steps)
	assert.Equal(t, []string{"db-2", "db-3"}, out.State.With(topology.Replica))
}

// Written to directly and replicating on, a MariaDB replica without strict mode
// looks healthy; it is not.
func TestErrantBesideReplication(t *testing.T) {
	r := mysqltest.New(t, mysql.MariaDB, 3)
	r.Insert("db-1", 2)
	r.CaughtUp()
	r.Do("db-3", "SET GLOBAL gtid_strict_mode=OFF", "SET GLOBAL read_only=0", "CREATE TABLE firedrill.errant (i INT)", "SET GLOBAL read_only=1")
	r.Insert("db-1", 3)
	r.CaughtUp()
	keep := r.Discover()
	assert.Equal(t, []string{"db-2", "db-3"}, keep.With(topology.Replica))
	out, _, err := r.Restore(keep)
	require.NoError(t, err)
	assert.Contains(t, out.Errant["db-3"], "0-3-")
	assert.Equal(t, []string{"db-2"}, out.State.With(topology.Replica))
}
