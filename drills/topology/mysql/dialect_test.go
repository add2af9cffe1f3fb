package mysql

import (
	"context"
	"fmt"
	"testing"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The words of versions that no test machine has come from the release notes of
// MySQL 8.0.22 and 8.0.23.
func TestDialects(t *testing.T) {
	for version, want := range map[string]string{
		"10.11.19-MariaDB-0+deb12u1-log": "SHOW SLAVE STATUS; CHANGE MASTER TO MASTER_HOST=?, MASTER_PORT=?, MASTER_USER=?, MASTER_PASSWORD=?, MASTER_USE_GTID=slave_pos",
		"8.0.19":                         "SHOW SLAVE STATUS; CHANGE MASTER TO MASTER_HOST=?, MASTER_PORT=?, MASTER_USER=?, MASTER_PASSWORD=?, MASTER_AUTO_POSITION=1, GET_MASTER_PUBLIC_KEY=1",
		"8.0.22":                         "SHOW REPLICA STATUS; CHANGE MASTER TO MASTER_HOST=?, MASTER_PORT=?, MASTER_USER=?, MASTER_PASSWORD=?, MASTER_AUTO_POSITION=1, GET_MASTER_PUBLIC_KEY=1",
		"8.0.36-0ubuntu0.22.04.1":        "SHOW REPLICA STATUS; CHANGE REPLICATION SOURCE TO SOURCE_HOST=?, SOURCE_PORT=?, SOURCE_USER=?, SOURCE_PASSWORD=?, SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
		"8.4.3":                          "SHOW REPLICA STATUS; CHANGE REPLICATION SOURCE TO SOURCE_HOST=?, SOURCE_PORT=?, SOURCE_USER=?, SOURCE_PASSWORD=?, SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1",
	} {
		d, err := dialectOf(version)
		require.NoError(t, err, version)
		q, args := d.follow("127.0.0.1", 3306, "u", "p", false, false)
		assert.Equal(t, want, "SHOW "+d.replica+" STATUS; "+q, version)
		assert.Len(t, args, 4)
	}
	for _, version := range []string{"10.5.9-MariaDB", "5.7.44-log", "what"} {
		_, err := dialectOf(version)
		require.ErrorContains(t, err, "is not supported", version)
	}
	d, _ := dialectOf("9.7.4")
	q, _ := d.follow("h", 1, "", "", true, true)
	assert.Equal(t, "CHANGE REPLICATION SOURCE TO SOURCE_HOST=?, SOURCE_PORT=?, SOURCE_CONNECT_RETRY=1, SOURCE_HEARTBEAT_PERIOD=1, SOURCE_SSL=1, SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1", q)
}

func TestProblems(t *testing.T) {
	cfg := Config{User: "fd", Password: "env:PW", Database: "firedrill"}
	for message, want := range map[string]string{
		"Access denied; you need (at least one of) the SUPER, SLAVE MONITOR privilege(s) for this operation":             "GRANT SLAVE MONITOR ON *.* TO 'fd'",
		"Access denied; you need (at least one of) the SUPER or REPLICATION_SLAVE_ADMIN privilege(s) for this operation": "GRANT REPLICATION_SLAVE_ADMIN ON *.* TO 'fd'",
		"SELECT command denied to user 'fd'@'x' for table 'performance_schema.threads'":                                  "GRANT SELECT ON performance_schema.* TO 'fd'",
		"CREATE command denied to user 'fd'@'x' for table `firedrill`.`ledger_1`":                                        "GRANT CREATE ON `firedrill`.* TO 'fd'",
	} {
		err := fmt.Errorf("x: %w", &driver.MySQLError{Number: 1227, Message: message})
		assert.Contains(t, Problem(cfg, "127.0.0.1:1", err), want)
		assert.True(t, Answered(err))
	}
	assert.Equal(t, "a:1: no answer in time: it hangs, or packets to it are dropped", Problem(cfg, "a:1", context.DeadlineExceeded))
	assert.Contains(t, Problem(cfg, "a:1", &driver.MySQLError{Number: 1045}), "its password is taken from env:PW")
}

func TestLackingGrants(t *testing.T) {
	needed := []string{"PROCESS", "RELOAD", "SLAVE MONITOR"}
	assert.Empty(t, lacking(needed, []string{"GRANT ALL PRIVILEGES ON *.* TO `fd`@`%` WITH GRANT OPTION"}))
	assert.Equal(t, []string{"RELOAD"}, lacking(needed, []string{"GRANT PROCESS, REPLICA MONITOR ON *.* TO `fd`@`%` IDENTIFIED BY PASSWORD '*0'", "GRANT RELOAD ON `db`.* TO `fd`@`%`"}))
	assert.Empty(t, lacking(needed, []string{"GRANT USAGE ON *.* TO `fd`@`%`", "GRANT `ops` TO `fd`@`%`"}), "a role: cannot be told")
}

// What a server quotes of a statement is not repeated if a password is in it.
func TestPasswordsStayOut(t *testing.T) {
	t.Setenv("REPL_PW", "s3cret")
	s := &Server{address: "a:1", cfg: Config{Replication: Replication{Password: "env:REPL_PW"}}}
	err := s.wrap("CHANGE MASTER TO b:1", fmt.Errorf("syntax error near 's3cret'"))
	assert.NotContains(t, err.Error(), "s3cret")
	assert.ErrorContains(t, err, "CHANGE MASTER TO b:1")
}
