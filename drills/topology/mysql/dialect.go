package mysql

import (
	"fmt"
	"strconv"
	"strings"

	"firedrill/drills/topology/mysql/gtid"
)

// The flavours.
const (
	MariaDB = "MariaDB"
	MySQL   = "MySQL"
)

// dialect is how one product and version is spoken to.
type dialect struct {
	flavour string
	version string
	// replica and source are SLAVE and MASTER, or REPLICA and SOURCE.
	replica, source string
	// change is the statement that says whom to follow.
	change string
}

// dialectOf reads VERSION(). MySQL has had the words REPLICA since 8.0.22, and
// CHANGE REPLICATION SOURCE since 8.0.23 (release notes); 8.4 dropped the old
// ones. MariaDB reads both; its privileges and columns keep the old ones.
func dialectOf(version string) (dialect, error) {
	d := dialect{flavour: MySQL, version: version, replica: "REPLICA", source: "SOURCE", change: "CHANGE REPLICATION SOURCE TO"}
	if strings.Contains(version, "MariaDB") {
		d.flavour, d.replica, d.source, d.change = MariaDB, "SLAVE", "MASTER", "CHANGE MASTER TO"
		if !atLeast(strings.TrimPrefix(version, "5.5.5-"), 10, 6, 0) {
			return d, fmt.Errorf("MariaDB %s is not supported: want 10.6 or later", version)
		}
		return d, nil
	}
	switch {
	case !atLeast(version, 8, 0, 0):
		return d, fmt.Errorf("MySQL %s is not supported: want 8.0 or later", version)
	case !atLeast(version, 8, 0, 22):
		d.replica, d.source, d.change = "SLAVE", "MASTER", "CHANGE MASTER TO"
	case !atLeast(version, 8, 0, 23):
		d.source, d.change = "MASTER", "CHANGE MASTER TO"
	}
	return d, nil
}

// atLeast compares the leading numbers of a version.
func atLeast(version string, want ...int) bool {
	number := version
	if i := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); i >= 0 {
		number = version[:i]
	}
	have := strings.Split(number, ".")
	for i, w := range want {
		n := 0
		if i < len(have) {
			n, _ = strconv.Atoi(have[i])
		}
		if n != w {
			return n > w
		}
	}
	return true
}

func (d dialect) maria() bool { return d.flavour == MariaDB }

// history parses a list of transactions in the product's notation.
func (d dialect) history(text string) (gtid.History, error) {
	if d.maria() {
		return gtid.ParsePositions(text)
	}
	return gtid.ParseSet(text)
}

// follow is the statement that points a replica at a source, and its arguments.
// account is left out when user is empty: the replica keeps the one it has.
func (d dialect) follow(host string, port int, user, password string, fresh, encrypted bool) (string, []any) {
	sets := []string{d.source + "_HOST=?", d.source + "_PORT=?"}
	args := []any{host, port}
	if user != "" {
		sets = append(sets, d.source+"_USER=?", d.source+"_PASSWORD=?")
		args = append(args, user, password)
	}
	if fresh {
		// A replica that had no source before: notice a lost one within seconds.
		sets = append(sets, d.source+"_CONNECT_RETRY=1", d.source+"_HEARTBEAT_PERIOD=1")
		if encrypted {
			sets = append(sets, d.source+"_SSL=1")
		}
	}
	if d.maria() {
		sets = append(sets, "MASTER_USE_GTID=slave_pos")
	} else {
		// The public key is what caching_sha2_password needs without TLS.
		sets = append(sets, d.source+"_AUTO_POSITION=1", "GET_"+d.source+"_PUBLIC_KEY=1")
	}
	return d.change + " " + strings.Join(sets, ", "), args
}
