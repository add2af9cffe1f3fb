package remedies_test

import (
	"context"
	"database/sql"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
)

// through asks who answers behind the proxy.
func through(t *testing.T, r *mysqltest.Rig) (string, error) {
	t.Helper()
	c, err := mysql.Connector(r.K.Config, r.Proxy.Address, 2e9)
	require.NoError(t, err)
	db := sql.OpenDB(c)
	defer db.Close()
	var id string
	err = db.QueryRowContext(context.WithoutCancel(t.Context()), "SELECT @@server_id").Scan(&id)
	return "db-" + id, err
}

func TestRouteSwitchAfterFailover(t *testing.T) {
	r := mysqltest.New(t, mysql.MariaDB, 3)
	r.Route()
	st := r.Discover()
	p, a, _ := roles(t, st)
	who, err := through(t, r)
	require.NoError(t, err)
	require.Equal(t, p, who)
	r.Kill(p)
	require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &book{}))
	var log book
	require.NoError(t, remedy(t, "route-switch", "").Apply(t.Context(), target(r, st), &log))
	assert.Equal(t, topology.Step{Name: "switch route orders-rw", Member: a, Detail: "led to " + p + " before"}, log.steps[0])
	who, err = through(t, r)
	require.NoError(t, err)
	assert.Equal(t, a, who)
	log = book{}
	require.NoError(t, remedy(t, "route-switch", "").Apply(t.Context(), target(r, st), &log))
	assert.Equal(t, "leads there already", log.steps[0].Detail)
	require.ErrorContains(t, remedy(t, "route-switch", `{"route":"nix"}`).Apply(t.Context(), target(r, st), &log), "no route \"nix\"")

	// Restore leads the route back to whoever is primary then.
	require.NoError(t, r.C.Routes[0].Router.Switch(t.Context(), ""))
	_, err = through(t, r)
	require.Error(t, err)
	r.Start(p)
	_, steps, err := r.Restore(st)
	require.NoError(t, err, "%+v", steps)
	who, err = through(t, r)
	require.NoError(t, err)
	assert.Equal(t, a, who)
}

// A primary that can be neither asked nor stopped is cut off at the route.
func TestFailoverFencesAtTheRoute(t *testing.T) {
	r := mysqltest.New(t, mysql.MariaDB, 3)
	r.Route()
	st := r.Discover()
	p, _, _ := roles(t, st)
	r.Hang(p)
	m, err := r.C.Member(p)
	require.NoError(t, err)
	m.Control = nil
	var log book
	require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &log), "%+v", log.steps)
	assert.Contains(t, log.step("fence").Detail, "route: orders-rw refuse clients")
	var e *driver.MySQLError
	_, err = through(t, r)
	require.Error(t, err)
	assert.NotErrorAs(t, err, &e)
}
