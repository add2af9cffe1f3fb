package mysql_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql/mysqltest"
)

var gtidLine = regexp.MustCompile(`(?m)^#.*GTID 0-1-(\d+)`)

// binlogSurplus reads the binary logs of db-1 with mariadb-binlog and lists what
// it wrote after the last transaction of it that db-2 has.
func binlogSurplus(t *testing.T, r *mysqltest.Rig) string {
	t.Helper()
	m := regexp.MustCompile(`0-1-(\d+)`).FindStringSubmatch(r.Ask("db-2", "SELECT @@global.gtid_binlog_state"))
	require.NotNil(t, m)
	known, err := strconv.Atoi(m[1])
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(r.Server("db-1").Dir, "data", "binlog.0*"))
	require.NoError(t, err)
	var first, last, n int
	for _, f := range files {
		out, err := exec.CommandContext(t.Context(), "mariadb-binlog", "--no-defaults", f).Output()
		require.NoError(t, err)
		for _, l := range gtidLine.FindAllStringSubmatch(string(out), -1) {
			seq, _ := strconv.Atoi(l[1])
			if seq <= known {
				continue
			}
			if n == 0 {
				first = seq
			}
			last = seq
			n++
		}
	}
	require.Equal(t, n, last-first+1)
	return fmt.Sprintf("0-1-%d..%d", first, last)
}
