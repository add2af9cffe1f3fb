package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mariadb runs the distribution's MariaDB (10.5 or later).
type mariadb struct{}

func (mariadb) program(string) ([]string, error) {
	path, err := lookSbin("mariadbd")
	if err != nil {
		return nil, missing("mariadb-server")
	}
	return []string{path}, nil
}

// template runs mariadb-install-db once per server version (mariadb-install-db(1)).
func (m mariadb) template(ctx context.Context, s *Server) (string, error) {
	argv, err := m.program(s.Cache)
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, argv[0], "--no-defaults", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", argv[0], err)
	}
	dir := filepath.Join(s.Cache, "mariadb", digest(string(version)), "data")
	return dir, cached(dir, func(tmp string) error {
		if err := os.Mkdir(tmp, 0o700); err != nil {
			return err
		}
		if err := own(tmp, s.UID); err != nil {
			return err
		}
		return runAs(ctx, s.UID, tmp, "mariadb-install-db", "--no-defaults", "--basedir=/usr", "--datadir="+tmp,
			"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
			"--innodb-log-file-size=32M", "--innodb-fast-shutdown=0")
	})
}

// config makes a server that comes back harmless: read-only and not replicating.
func (mariadb) config(s *Server) string {
	host, port := hostPort(s.Address)
	lines := []string{
		"[mariadbd]",
		"datadir=" + s.file("data"),
		"socket=" + s.socket(),
		"pid-file=" + s.file("server.pid"),
		"tmpdir=" + s.Dir,
		"bind-address=" + host,
		fmt.Sprintf("port=%d", port),
		fmt.Sprintf("server-id=%d", s.ID),
		"report-host=" + host,
		fmt.Sprintf("report-port=%d", port),
		"skip-name-resolve",
		"log-bin=binlog", "relay-log=relay", "binlog-format=ROW", "log-slave-updates=ON",
		"gtid-strict-mode=ON", "gtid-domain-id=0",
		"sync-binlog=1", "innodb-flush-log-at-trx-commit=1",
		"slave-net-timeout=4",
		"read-only=ON", "skip-slave-start=ON",
		"innodb-buffer-pool-size=64M", "innodb-log-file-size=32M", "performance-schema=OFF",
		"max-connections=300",
	}
	if s.SemiSync {
		lines = append(lines, mariadbSemiSync...)
	}
	return strings.Join(lines, "\n") + "\n"
}

// mariadbSemiSync: commits wait for a replica before others see them, and for so
// long (milliseconds) that writes hang rather than go on unprotected. A primary
// that crashed and comes back drops what no replica had confirmed
// (init-rpl-role=SLAVE), so that it can follow the new one. The primary's side is
// enabled by whoever opens a server, not here: on a replica it would make the
// applier itself wait for confirmations.
var mariadbSemiSync = []string{
	"rpl-semi-sync-master-wait-point=AFTER_SYNC",
	"rpl-semi-sync-master-timeout=600000",
	"rpl-semi-sync-slave-enabled=ON",
	"init-rpl-role=SLAVE",
}

// accounts: see docs of the same grants in the topology's reference. The app
// account lacks READ ONLY ADMIN: else read_only would not bind it.
func (mariadb) accounts(a Accounts) []string {
	return []string{
		"SET sql_log_bin=0",
		"DELETE FROM mysql.global_priv WHERE User IN ('', 'root') AND Host <> 'localhost'",
		"FLUSH PRIVILEGES",
		fmt.Sprintf("CREATE USER %s@'127.%%' IDENTIFIED BY '%s'", AdminUser, a.Admin),
		"GRANT PROCESS, RELOAD, BINLOG MONITOR, BINLOG ADMIN, REPLICA MONITOR, REPLICATION SLAVE ADMIN," +
			" REPLICATION MASTER ADMIN, READ_ONLY ADMIN, CONNECTION ADMIN ON *.* TO " + AdminUser + "@'127.%'",
		"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER ON `firedrill%`.* TO " + AdminUser + "@'127.%'",
		fmt.Sprintf("CREATE USER %s@'127.%%' IDENTIFIED BY '%s'", AppUser, a.App),
		"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER ON `firedrill%`.* TO " + AppUser + "@'127.%'",
		fmt.Sprintf("CREATE USER %s@'127.%%' IDENTIFIED BY '%s'", ReplUser, a.Repl),
		"GRANT REPLICATION SLAVE ON *.* TO " + ReplUser + "@'127.%'",
	}
}

func (mariadb) follow(primary *Server) []string {
	host, port := hostPort(primary.Address)
	return []string{
		"STOP SLAVE",
		"SET GLOBAL read_only=ON",
		fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='%s', MASTER_PORT=%d, MASTER_USER='%s', MASTER_PASSWORD='%s',"+
			" MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1, MASTER_USE_GTID=slave_pos", host, port, ReplUser, primary.Accounts.Repl),
		"START SLAVE",
	}
}

func (mariadb) open(semiSync bool) []string {
	q := []string{"STOP SLAVE", "RESET SLAVE ALL"}
	if semiSync {
		q = append(q, "SET GLOBAL rpl_semi_sync_master_enabled=ON")
	}
	return append(q, "SET GLOBAL read_only=OFF")
}

func (mariadb) standing(ctx context.Context, db *sql.DB) (standing, error) {
	var st standing
	err := db.QueryRowContext(ctx, "SELECT @@global.read_only, @@global.gtid_current_pos").Scan(&st.readOnly, &st.executed)
	if err != nil {
		return st, err
	}
	row, err := namedRow(ctx, db, "SHOW SLAVE STATUS")
	if errors.Is(err, sql.ErrNoRows) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.source = row["Master_Host"] + ":" + row["Master_Port"]
	st.running = row["Slave_IO_Running"] == "Yes" && row["Slave_SQL_Running"] == "Yes"
	st.problem = strings.TrimSpace(row["Last_IO_Error"] + " " + row["Last_SQL_Error"])
	return st, nil
}

func (mariadb) resume() []string { return []string{"START SLAVE"} }

func (mariadb) reached() string { return "MASTER_GTID_WAIT" }
