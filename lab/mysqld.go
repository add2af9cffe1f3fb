package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mysqld runs a real MySQL server, 8.0.26 or later: the system's own, or one
// that FetchMySQL unpacked.
type mysqld struct{}

func (mysqld) program(cache string) ([]string, error) {
	if path, err := lookSbin("mysqld"); err == nil && !isMariaDB(path) {
		return []string{path}, nil
	}
	root := mysqlRoot(cache)
	// The packages bring their own C library, which only its own loader loads
	// (ld.so(8), --library-path).
	loaders, err := filepath.Glob(filepath.Join(root, "usr/lib/*/ld-linux-*.so.*"))
	if err != nil || len(loaders) == 0 {
		return nil, errors.New("there is no MySQL server on this machine: run lab/install.sh mysql8")
	}
	return []string{
		loaders[0], "--library-path", filepath.Dir(loaders[0]),
		filepath.Join(root, "usr/sbin/mysqld"),
	}, nil
}

func mysqlRoot(cache string) string { return filepath.Join(cache, "mysql", "root") }

// isMariaDB tells MariaDB's compatibility link from a real mysqld.
func isMariaDB(path string) bool {
	to, err := filepath.EvalSymlinks(path)
	return err == nil && strings.Contains(filepath.Base(to), "mariadb")
}

// version is "mysqld  Ver 9.7.4 …".
func (m mysqld) version(ctx context.Context, cache string) (string, error) {
	argv, err := m.program(cache)
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, argv[0], append(argv[1:], "--no-defaults", "--version")...).Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", argv[len(argv)-1], err)
	}
	return string(out), nil
}

// template runs mysqld --initialize-insecure once per server version: root has
// no password and is reached only through the socket in a closed directory.
func (m mysqld) template(ctx context.Context, s *Server) (string, error) {
	version, err := m.version(ctx, s.Cache)
	if err != nil {
		return "", err
	}
	argv, err := m.program(s.Cache)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(s.Cache, "mysql-data", digest(version), "data")
	return dir, cached(dir, func(tmp string) error {
		if err := os.Mkdir(tmp, 0o700); err != nil {
			return err
		}
		if err := own(tmp, s.UID); err != nil {
			return err
		}
		init := append(argv, "--no-defaults")
		init = append(init, m.base(s)...)
		init = append(init, "--datadir="+tmp, "--innodb-redo-log-capacity=32M", "--initialize-insecure")
		if err := runAs(ctx, s.UID, tmp, init...); err != nil {
			return err
		}
		// The server's own identity: each copy makes its own at first start.
		return os.Remove(filepath.Join(tmp, "auto.cnf"))
	})
}

// base is where an unpacked server finds its files; an installed one knows.
func (mysqld) base(s *Server) []string {
	argv, err := mysqld{}.program(s.Cache)
	if err != nil || len(argv) == 1 {
		return nil
	}
	root := mysqlRoot(s.Cache)
	return []string{
		"--basedir=" + root + "/usr",
		"--lc-messages-dir=" + root + "/usr/share/mysql",
		"--character-sets-dir=" + root + "/usr/share/mysql/charsets",
		"--plugin-dir=" + root + "/usr/lib/mysql/plugin",
	}
}

// config makes a server that comes back harmless: read-only even for superusers,
// and not replicating.
func (m mysqld) config(s *Server) string {
	host, port := hostPort(s.Address)
	lines := []string{"[mysqld]"}
	for _, option := range m.base(s) {
		lines = append(lines, strings.TrimPrefix(option, "--"))
	}
	lines = append(lines,
		"datadir="+s.file("data"),
		"socket="+s.socket(),
		"pid-file="+s.file("server.pid"),
		"tmpdir="+s.Dir,
		"secure-file-priv=NULL", "mysqlx=OFF",
		"bind-address="+host,
		fmt.Sprintf("port=%d", port),
		fmt.Sprintf("server-id=%d", s.ID),
		"report-host="+host,
		fmt.Sprintf("report-port=%d", port),
		"skip-name-resolve",
		"log-bin=binlog", "relay-log=relay", "log-replica-updates=ON",
		"gtid-mode=ON", "enforce-gtid-consistency=ON",
		"sync-binlog=1", "innodb-flush-log-at-trx-commit=1",
		"replica-net-timeout=4",
		"read-only=ON", "super-read-only=ON", "skip-replica-start=ON",
		"innodb-buffer-pool-size=64M", "innodb-redo-log-capacity=32M",
		"max-connections=300",
	)
	lines = append(lines, mysqlSmall...)
	return strings.Join(lines, "\n") + "\n"
}

// mysqlSmall keeps three servers within a laptop's memory. The tables of the
// performance schema that tell about replication need no instruments.
var mysqlSmall = []string{
	"innodb-log-buffer-size=1M", "table-open-cache=400", "table-definition-cache=400",
	"performance-schema-instrument='%=OFF'", "performance-schema-max-table-instances=400",
	"performance-schema-digests-size=100", "performance-schema-events-statements-history-long-size=10",
	"performance-schema-events-waits-history-long-size=10", "performance-schema-error-size=10",
}
