package probes

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"strings"

	"firedrill/drills/ledger"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// place is where the writes of one ledger go.
type place struct {
	Database string `json:"database"`
	Table    string `json:"table"`
	// Marker is an empty table that says that this run made the database.
	Marker string `json:"marker"`
}

// longestName is how long an identifier may be (MySQL Reference Manual, Identifier
// Length Limits).
const longestName = 64

// placeOf names a run's table. The parts are such that quoting is all they need.
func placeOf(cfg mysql.Config, table, runID string) (place, error) {
	if !identifier().MatchString(cfg.Database) {
		return place{}, fmt.Errorf("database %q: want letters, digits and _, at most %d", cfg.Database, longestName)
	}
	run := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(runID))
	return place{Database: cfg.Database, Table: short(table + "_" + run), Marker: short("made_by_" + run)}, nil
}

// identifier is what names in files must look like.
func identifier() *regexp.Regexp { return regexp.MustCompile(`^[a-zA-Z0-9_]{1,64}$`) }

// short keeps a name within the limit, and different names different.
func short(name string) string {
	if len(name) <= longestName {
		return name
	}
	return fmt.Sprintf("%s_%x", name[:longestName-17], sha256.Sum256([]byte(name)))[:longestName]
}

// name returns the table, quoted for a statement.
func (p place) name() string { return quote(p.Database, p.Table) }

// create makes the table. The server numbers the rows, so that a write that
// arrives twice is there twice: a key on (writer, seq) would hide it.
func (p place) create(payload int) string {
	pad := ""
	if payload > 0 {
		pad = fmt.Sprintf(" pad VARBINARY(%d),", payload)
	}
	return "CREATE TABLE " + p.name() + " (id BIGINT UNSIGNED NOT NULL PRIMARY KEY," +
		" writer SMALLINT UNSIGNED NOT NULL, seq BIGINT UNSIGNED NOT NULL," +
		" at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)," + pad +
		" KEY (writer, seq)) ENGINE=InnoDB"
}

// insert writes one id, and payload bytes beside it.
func (p place) insert(id ledger.ID, payload int) string {
	if payload > 0 {
		return fmt.Sprintf("INSERT INTO %s (id, writer, seq, pad) VALUES (UUID_SHORT(), %d, %d, REPEAT('x', %d))", p.name(), id.Writer, id.Seq, payload)
	}
	return fmt.Sprintf("INSERT INTO %s (id, writer, seq) VALUES (UUID_SHORT(), %d, %d)", p.name(), id.Writer, id.Seq)
}

// all reads every id back, in the order of the index.
func (p place) all() string {
	return "SELECT writer, seq FROM " + p.name() + " ORDER BY writer, seq"
}

// newest reads the highest sequence of each writer; the index answers that
// without reading all of it.
func (p place) newest() string {
	return "SELECT writer, MAX(seq) FROM " + p.name() + " GROUP BY writer"
}

// exists counts the tables of one of the place's names.
func (p place) exists(table string) string {
	return fmt.Sprintf("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '%s' AND table_name = '%s'", p.Database, table)
}

// quote makes an identifier of a statement.
func quote(parts ...string) string { return "`" + strings.Join(parts, "`.`") + "`" }

// bare is a component without controls and routes: what reaches its servers, and
// all that an undo instruction needs of it.
func bare(s topology.ComponentSpec) topology.ComponentSpec {
	members := make([]topology.MemberSpec, len(s.Members))
	for i, m := range s.Members {
		m.Control = nil
		members[i] = m
	}
	s.Members = members
	return s
}
