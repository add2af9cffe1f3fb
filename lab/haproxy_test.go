package lab_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/lab"
	"firedrill/lab/labtest"
)

func TestProxyRefusesAtOnceAndCutsSessions(t *testing.T) {
	labtest.Real(t)
	servers := labtest.Cluster(t, 2)
	proxy := labtest.HAProxy(t, "127.0.0.10:3306", servers...)
	db, err := lab.OpenAddress("", proxy.Address, lab.AppUser, servers[0].Accounts.App)
	require.NoError(t, err)
	defer db.Close()
	session, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer session.Close()
	var id int
	require.NoError(t, session.QueryRowContext(t.Context(), "SELECT @@server_id").Scan(&id))
	assert.Equal(t, 1, id)

	router, err := proxy.Router()
	require.NoError(t, err)
	require.NoError(t, router.Switch(t.Context(), "db-2"))
	assert.Error(t, session.QueryRowContext(t.Context(), "SELECT @@server_id").Scan(&id), "the session is cut")
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT @@server_id").Scan(&id))
	assert.Equal(t, 2, id)

	require.NoError(t, servers[1].Kill(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	start := time.Now()
	require.Error(t, db.PingContext(ctx))
	assert.Less(t, time.Since(start), 5*time.Second, "a dead server is refused at once")
}
