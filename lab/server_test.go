package lab_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/lab"
	"firedrill/lab/labtest"
)

var clusters = map[string]func(testing.TB, int) []*lab.Server{
	"mariadb": labtest.Cluster,
	"mysql":   labtest.MySQLCluster,
}

func TestReplicates(t *testing.T) {
	labtest.Real(t)
	for name, cluster := range clusters {
		t.Run(name, func(t *testing.T) {
			servers := cluster(t, 3)
			app := open(t, servers[0])
			exec(t, app, "CREATE DATABASE firedrill", "CREATE TABLE firedrill.t (id int primary key)",
				"INSERT INTO firedrill.t VALUES (1)")
			for _, s := range servers[1:] {
				db := open(t, s)
				_, err := db.ExecContext(t.Context(), "CREATE DATABASE firedrill_x")
				require.ErrorContains(t, err, "read-only", "the app account on %s", s.Name)
				eventually(t, func(ctx context.Context) bool {
					var n int
					return db.QueryRowContext(ctx, "SELECT count(*) FROM firedrill.t").Scan(&n) == nil && n == 1
				}, "the row arrives at %s", s.Name)
			}
		})
	}
}

func TestKilledPrimaryComesBackHarmless(t *testing.T) {
	labtest.Real(t)
	for name, cluster := range clusters {
		t.Run(name, func(t *testing.T) {
			s := cluster(t, 2)[0]
			exec(t, open(t, s), "CREATE DATABASE firedrill")
			require.NoError(t, s.Kill(t.Context()))
			assert.Zero(t, s.PID(t.Context()))
			require.NoError(t, s.Start(t.Context()))
			_, err := open(t, s).ExecContext(t.Context(), "CREATE TABLE firedrill.t (id int)")
			require.ErrorContains(t, err, "read-only")
			admin, err := s.Open(lab.AdminUser, s.Accounts.Admin)
			require.NoError(t, err)
			defer admin.Close()
			var readOnly bool
			require.NoError(t, admin.QueryRowContext(t.Context(), "SELECT @@global.read_only").Scan(&readOnly))
			assert.True(t, readOnly)
		})
	}
}

func open(t *testing.T, s *lab.Server) *sql.DB {
	t.Helper()
	db, err := s.Open(lab.AppUser, s.Accounts.App)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, q := range statements {
		_, err := db.ExecContext(t.Context(), q)
		require.NoError(t, err, q)
	}
}

// eventually waits for a real server.
func eventually(t *testing.T, ok func(context.Context) bool, what string, args ...any) {
	t.Helper()
	require.Eventually(t, func() bool { return ok(t.Context()) }, 20*time.Second, 20*time.Millisecond, append([]any{what}, args...)...)
}
