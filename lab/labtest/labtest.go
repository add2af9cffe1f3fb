// Package labtest starts real database servers for tests. A test that uses it as
// root stands in a private network namespace (netns.Private in TestMain), so
// that addresses never collide.
package labtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/lab"
)

// limit is how long anything may take on a busy machine.
const limit = time.Minute

// Dir makes a directory that the servers' users can reach, which t.TempDir is
// not; it is removed with the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "fd-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		if t.Failed() {
			logs(t, dir)
		}
		os.RemoveAll(dir)
	})
	return dir
}

// logs shows what the servers said.
func logs(t testing.TB, dir string) {
	paths, _ := filepath.Glob(filepath.Join(dir, "*", "server.log"))
	for _, path := range paths {
		b, _ := os.ReadFile(path)
		t.Logf("%s ends with:\n%s", path, b[max(0, len(b)-2000):])
	}
}

// MariaDB starts a MariaDB server named db-<id>: read-only, not replicating, with
// the accounts of a lab. It ends with the test.
func MariaDB(t testing.TB, dir, address string, id int) *lab.Server {
	t.Helper()
	s, err := lab.NewMariaDB(filepath.Join(dir, fmt.Sprintf("db-%d", id)), address, id)
	require.NoError(t, err)
	return Start(t, s)
}

// Start starts a server that is ended with the test.
func Start(t testing.TB, s *lab.Server) *lab.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.Kill(ctx); err != nil {
			t.Errorf("end %s: %v", s.Name, err)
		}
	})
	require.NoError(t, s.Start(ctx))
	return s
}

// Cluster starts n MariaDB servers on 127.0.0.11:3306 and following: the first is
// the primary, the others replicate from it. All have the same accounts.
func Cluster(t testing.TB, n int) []*lab.Server {
	t.Helper()
	return cluster(t, n, lab.NewMariaDB)
}

func cluster(t testing.TB, n int, make func(dir, address string, id int) (*lab.Server, error)) []*lab.Server {
	t.Helper()
	dir, accounts := Dir(t), lab.NewAccounts()
	var servers []*lab.Server
	for id := 1; id <= n; id++ {
		name := fmt.Sprintf("db-%d", id)
		s, err := make(filepath.Join(dir, name), fmt.Sprintf("127.0.0.%d:3306", 10+id), id)
		require.NoError(t, err)
		s.Accounts = accounts
		servers = append(servers, Start(t, s))
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	require.NoError(t, lab.Replicate(ctx, servers[0], servers[1:]...))
	return servers
}

// MySQLCluster is Cluster with real MySQL servers. The first use on a machine
// downloads them.
func MySQLCluster(t testing.TB, n int) []*lab.Server {
	t.Helper()
	cache, err := lab.CacheDir()
	require.NoError(t, err)
	require.NoError(t, lab.FetchMySQL(t.Context(), cache))
	return cluster(t, n, lab.NewMySQL)
}

// MySQL starts a MySQL server the way MariaDB does.
func MySQL(t testing.TB, dir, address string, id int) *lab.Server {
	t.Helper()
	s, err := lab.NewMySQL(filepath.Join(dir, fmt.Sprintf("db-%d", id)), address, id)
	require.NoError(t, err)
	require.NoError(t, lab.FetchMySQL(t.Context(), s.Cache))
	return Start(t, s)
}

// Real skips the test if FIREDRILL_TEST_REAL=0 says that this machine has no
// servers to test with. Nothing else skips.
func Real(t testing.TB) {
	t.Helper()
	if os.Getenv("FIREDRILL_TEST_REAL") == "0" {
		t.Skip("FIREDRILL_TEST_REAL=0")
	}
}

// HAProxy starts a proxy in front of servers, leading to the first, for
// applications at address. It ends with the test.
func HAProxy(t testing.TB, address string, servers ...*lab.Server) *lab.HAProxy {
	t.Helper()
	h := lab.NewHAProxy(filepath.Join(Dir(t), "proxy"), address, servers...)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := h.Kill(ctx); err != nil {
			t.Errorf("end proxy: %v", err)
		}
	})
	require.NoError(t, h.Start(ctx, servers[0].Name))
	return h
}
