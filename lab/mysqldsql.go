package lab

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// accounts: the app account has neither SUPER nor CONNECTION_ADMIN: else
// read_only would not bind it.
func (mysqld) accounts(a Accounts) []string {
	return []string{
		"SET GLOBAL super_read_only=OFF",
		"SET sql_log_bin=0",
		fmt.Sprintf("CREATE USER %s@'127.%%' IDENTIFIED BY '%s'", AdminUser, a.Admin),
		"GRANT PROCESS, RELOAD, REPLICATION CLIENT ON *.* TO " + AdminUser + "@'127.%'",
		"GRANT BINLOG_ADMIN, CONNECTION_ADMIN, REPLICATION_SLAVE_ADMIN, SYSTEM_VARIABLES_ADMIN," +
			" BACKUP_ADMIN, CLONE_ADMIN ON *.* TO " + AdminUser + "@'127.%'",
		"GRANT SELECT ON performance_schema.* TO " + AdminUser + "@'127.%'",
		"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER ON `firedrill%`.* TO " + AdminUser + "@'127.%'",
		fmt.Sprintf("CREATE USER %s@'127.%%' IDENTIFIED BY '%s'", AppUser, a.App),
		"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER ON `firedrill%`.* TO " + AppUser + "@'127.%'",
		fmt.Sprintf("CREATE USER %s@'127.%%' IDENTIFIED BY '%s'", ReplUser, a.Repl),
		"GRANT REPLICATION SLAVE ON *.* TO " + ReplUser + "@'127.%'",
		"SET GLOBAL super_read_only=ON",
	}
}

func (mysqld) follow(primary *Server) []string {
	host, port := hostPort(primary.Address)
	return []string{
		"STOP REPLICA",
		"SET GLOBAL super_read_only=ON",
		fmt.Sprintf("CHANGE REPLICATION SOURCE TO SOURCE_HOST='%s', SOURCE_PORT=%d, SOURCE_USER='%s', SOURCE_PASSWORD='%s',"+
			" SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=1, SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
			host, port, ReplUser, primary.Accounts.Repl),
		"START REPLICA",
	}
}

func (mysqld) open(bool) []string {
	return []string{
		"STOP REPLICA", "RESET REPLICA ALL",
		"SET GLOBAL super_read_only=OFF", "SET GLOBAL read_only=OFF",
	}
}

func (mysqld) standing(ctx context.Context, db *sql.DB) (standing, error) {
	var st standing
	err := db.QueryRowContext(ctx, "SELECT @@global.read_only, @@global.gtid_executed").Scan(&st.readOnly, &st.executed)
	if err != nil {
		return st, err
	}
	st.executed = strings.ReplaceAll(st.executed, "\n", "")
	row, err := namedRow(ctx, db, "SHOW REPLICA STATUS")
	if errors.Is(err, sql.ErrNoRows) {
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.source = row["Source_Host"] + ":" + row["Source_Port"]
	st.running = row["Replica_IO_Running"] == "Yes" && row["Replica_SQL_Running"] == "Yes"
	st.problem = strings.TrimSpace(row["Last_IO_Error"] + " " + row["Last_SQL_Error"])
	return st, nil
}

func (mysqld) resume() []string { return []string{"START REPLICA"} }

func (mysqld) reached() string { return "WAIT_FOR_EXECUTED_GTID_SET" }
