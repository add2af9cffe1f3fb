package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/mysql"
	"firedrill/lab"
)

// witness looks at a lab's servers without firedrill: by SQL, and by the servers'
// own tools in their binary logs.
type witness struct {
	file topology.File
	cfg  mysql.Config
}

// witnessOf reads a topology file.
func witnessOf(t *testing.T, path string) *witness {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text, err = yaml.YAMLToJSON(text)
	require.NoError(t, err)
	w := &witness{}
	require.NoError(t, json.Unmarshal(text, &w.file))
	require.NoError(t, json.Unmarshal(w.component().With, &w.cfg))
	return w
}

func (w *witness) component() *topology.ComponentSpec { return &w.file.Spec.Components[0] }

// save writes the topology to a file of its own.
func (w *witness) save(t *testing.T) string {
	t.Helper()
	text, err := json.Marshal(w.file)
	require.NoError(t, err)
	text, err = yaml.JSONToYAML(text)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "topology.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// withoutReclone makes the topology one whose diverged members are kept out, so
// that they can be asked afterwards.
func (w *witness) withoutReclone(t *testing.T) {
	t.Helper()
	w.cfg.Reclone = nil
	w.with(t, "reclone", nil)
}

// with sets a parameter of the component, or drops it.
func (w *witness) with(t *testing.T, key string, value any) {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(w.component().With, &all))
	if all[key] = value; value == nil {
		delete(all, key)
	}
	var err error
	w.component().With, err = json.Marshal(all)
	require.NoError(t, err)
}

func (w *witness) member(t *testing.T, name string) topology.MemberSpec {
	t.Helper()
	ms := w.component().Members
	i := slices.IndexFunc(ms, func(m topology.MemberSpec) bool { return m.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return ms[i]
}

// open logs in to a member itself, as the account that manages it.
func (w *witness) open(t *testing.T, member string) *sql.DB {
	t.Helper()
	password, err := w.cfg.Password.Resolve()
	require.NoError(t, err)
	db, err := lab.OpenAddress(w.file.Spec.Network.Namespace, w.member(t, member).Address, w.cfg.User, password)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// text asks a member for one value.
func (w *witness) text(t *testing.T, member, query string, args ...any) (v string) {
	t.Helper()
	require.NoError(t, w.open(t, member).QueryRowContext(t.Context(), query, args...).Scan(&v), query)
	return v
}

// writes are ids with the server's clock (seconds since 1970) when they came in.
type writes map[ledger.ID]float64

// minus returns what is in a and not in b.
func (a writes) minus(b writes) writes {
	c := maps.Clone(a)
	maps.DeleteFunc(c, func(id ledger.ID, _ float64) bool { _, there := b[id]; return there })
	return c
}

// ids returns the ids as results have them, sorted.
func (a writes) ids() []string {
	out := make([]string, 0, len(a))
	for id := range a {
		out = append(out, id.String())
	}
	return sorted(out)
}

// span is when the first and the last of them came in.
func (a writes) span() (first, last float64) {
	at := slices.Sorted(maps.Values(a))
	return at[0], at[len(at)-1]
}

// table reads a ledger's table.
func (w *witness) table(t *testing.T, member, table string) writes {
	t.Helper()
	rows, err := w.open(t, member).QueryContext(t.Context(), "SELECT writer, seq, UNIX_TIMESTAMP(at) FROM "+table)
	require.NoError(t, err)
	defer rows.Close()
	out := writes{}
	for rows.Next() {
		var id ledger.ID
		var at float64
		require.NoError(t, rows.Scan(&id.Writer, &id.Seq, &at))
		require.NotContains(t, out, id, "twice on %s", member)
		out[id] = at
	}
	require.NoError(t, rows.Err())
	return out
}

// binlog is what a member's binary logs hold: the rows of one table, and every
// global transaction id.
type binlog struct {
	rows  writes
	gtids map[string]bool
}

// log decodes a member's binary logs with the server's own tool.
func (w *witness) log(t *testing.T, member, table string) binlog {
	t.Helper()
	var c control.ProcessSpec
	m := w.member(t, member)
	require.NoError(t, json.Unmarshal(m.Control.With, &c))
	files, err := filepath.Glob(filepath.Join(c.Dir, "data", "binlog.0*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	slices.Sort(files)
	argv := append(binlogTool(c.Start), append([]string{"--no-defaults", "--base64-output=DECODE-ROWS", "-v"}, files...)...)
	out, err := exec.CommandContext(context.WithoutCancel(t.Context()), argv[0], argv[1:]...).Output()
	require.NoError(t, err, strings.Join(argv, " "))
	return parseBinlog(t, string(out), table)
}

// binlogTool is the program that came with a server, run as the server is.
func binlogTool(start []string) []string {
	for i, arg := range start {
		switch filepath.Base(arg) {
		case "mysqld":
			return append(slices.Clone(start[:i]), filepath.Join(filepath.Dir(arg), "../bin/mysqlbinlog"))
		case "mariadbd":
			return []string{"mariadb-binlog"}
		}
	}
	return nil
}

// What mysqlbinlog -v and mariadb-binlog -v print: the ids of transactions, and
// rows as one column per line.
var (
	binlogGTID   = regexp.MustCompile(`GTID (\d+-\d+-\d+)|GTID_NEXT= '([0-9a-f-]+:\d+)'`)
	binlogInsert = regexp.MustCompile("^### INSERT INTO (.*)$")
	binlogColumn = regexp.MustCompile(`^###   @([234])=([0-9.]+)$`)
)

func parseBinlog(t *testing.T, text, table string) binlog {
	t.Helper()
	b := binlog{rows: writes{}, gtids: map[string]bool{}}
	var into string
	var id ledger.ID
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := binlogGTID.FindStringSubmatch(line); m != nil && !strings.HasPrefix(line, "###") {
			b.gtids[m[1]+m[2]] = true
		} else if m := binlogInsert.FindStringSubmatch(line); m != nil {
			into = strings.ReplaceAll(m[1], "`", "")
		} else if m := binlogColumn.FindStringSubmatch(line); m != nil && into == table {
			v, err := strconv.ParseFloat(m[2], 64)
			require.NoError(t, err)
			switch m[1] {
			case "2":
				id.Writer = uint16(v)
			case "3":
				id.Seq = uint64(v)
			case "4":
				require.NotContains(t, b.rows, id)
				b.rows[id] = v
			}
		}
	}
	require.NoError(t, lines.Err())
	return b
}

// surplus returns the transactions of a that b does not have.
func (a binlog) surplus(b binlog) []string {
	var out []string
	for g := range a.gtids {
		if !b.gtids[g] {
			out = append(out, g)
		}
	}
	return out
}
