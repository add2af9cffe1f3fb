package lab_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/lab"
	"firedrill/lab/labtest"
)

// Without a replica a semi-synchronous primary acknowledges nothing, and what it
// did not acknowledge is gone when it comes back from a crash.
func TestSemiSyncHangsRatherThanLoses(t *testing.T) {
	labtest.Real(t)
	home := t.TempDir()
	st := up(t, home, "mysql-semisync")
	password, err := os.ReadFile(home + "/lab/mysql-semisync/secrets/app")
	require.NoError(t, err)
	db, err := lab.OpenAddress(st.Namespace, st.Route, lab.AppUser, strings.TrimSpace(string(password)))
	require.NoError(t, err)
	defer db.Close()
	exec(t, db, "CREATE TABLE firedrill.t (id int primary key)", "INSERT INTO firedrill.t VALUES (1)")
	// MariaDB is not crash-safe while it applies a CREATE TABLE.
	for _, m := range st.Members[1:] {
		replica, err := lab.OpenAddress(st.Namespace, m.Address, lab.AppUser, strings.TrimSpace(string(password)))
		require.NoError(t, err)
		defer replica.Close()
		eventually(t, func(ctx context.Context) bool {
			var n int
			return replica.QueryRowContext(ctx, "SELECT count(*) FROM firedrill.t").Scan(&n) == nil && n == 1
		}, "the row arrives at %s", m.Name)
	}
	for _, m := range st.Members[1:] {
		kill(t, m.PID)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = db.ExecContext(ctx, "INSERT INTO firedrill.t VALUES (2)")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	kill(t, st.Members[0].PID)
	after := up(t, home, "mysql-semisync")
	require.Equal(t, lab.Healthy, after.State, after.Problems)
	var ids string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT group_concat(id ORDER BY id) FROM firedrill.t").Scan(&ids))
	assert.Equal(t, "1", ids)
}
