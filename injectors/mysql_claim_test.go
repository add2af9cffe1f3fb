package injectors

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql/mysqltest"
)

// A server goes on with the statement of a client that is gone: Revert ends it,
// or the fault would come about once the server gets to it.
func TestMySQLReadOnlyUnderWay(t *testing.T) {
	eachFlavour(t, func(t *testing.T, r *mysqltest.Rig) {
		i, at := mysqlFault(t, "mysql-read-only"), mysqlTarget(t, r, "db-1")
		u, err := i.Prepare(t.Context(), at)
		require.NoError(t, err)
		root, err := r.Server("db-1").Root()
		require.NoError(t, err)
		defer root.Close()
		client, err := root.Conn(t.Context())
		require.NoError(t, err)
		defer client.Close()
		_, err = client.ExecContext(t.Context(), "LOCK TABLES firedrill.t WRITE")
		require.NoError(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, i.Inject(ctx, at, u), context.DeadlineExceeded)
		const underWay = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SET GLOBAL%'"
		require.Equal(t, "1", r.Ask("db-1", underWay), "it waits for the client's lock")
		require.ErrorContains(t, i.Inject(t.Context(), at, u), "another session holds the lock", "one at a time")

		require.NoError(t, mysqlFault(t, "mysql-read-only").Revert(t.Context(), u))
		assert.Equal(t, "0", r.Ask("db-1", underWay))
		_, err = client.ExecContext(t.Context(), "UNLOCK TABLES")
		require.NoError(t, err)
		r.Insert("db-1", 1)
		assert.Equal(t, "0", r.Ask("db-1", "SELECT @@global.read_only"))

		require.NoError(t, i.Inject(t.Context(), at, u))
		_, err = confirm(t, i, at, u)
		require.NoError(t, err)
		require.NoError(t, i.Revert(t.Context(), u))
	})
}
