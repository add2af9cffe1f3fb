package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/route"
	"firedrill/lab"
)

// patient is a lab that a test does something bad to, behind firedrill's back, as
// the servers' superuser.
type patient struct {
	*program
	lab string
	now lab.Status
	// primary and replicas are names; the first replica is in the primary's site
	// only by chance.
	primary  string
	replicas []string
	// runner is the process of the drill under way.
	runner *os.Process
}

// ill returns a lab that is up and healthy, to be made ill.
func ill(t *testing.T, name string) *patient {
	t.Helper()
	p := &patient{program: inLab(t, name), lab: name}
	p.look(t)
	return p
}

// look finds out who is who now.
func (p *patient) look(t *testing.T) {
	t.Helper()
	st, err := lab.StatusOf(t.Context(), p.home, p.lab)
	require.NoError(t, err)
	p.now, p.primary, p.replicas = st, "", nil
	for _, m := range st.Members {
		if m.Role == "primary" {
			p.primary = m.Name
		} else {
			p.replicas = append(p.replicas, m.Name)
		}
	}
}

func (p *patient) member(t *testing.T, name string) lab.MemberStatus {
	t.Helper()
	for _, m := range p.now.Members {
		if m.Name == name {
			return m
		}
	}
	require.Fail(t, "no member "+name)
	return lab.MemberStatus{}
}

// open opens a member as root, on its socket.
func (p *patient) open(t *testing.T, member string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", "root@unix("+filepath.Join(p.member(t, member).Dir, "s.sock")+")/")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// sql runs statements on a member in one session.
func (p *patient) sql(t *testing.T, member string, statements ...string) {
	t.Helper()
	c, err := p.open(t, member).Conn(context.Background())
	require.NoError(t, err)
	defer c.Close()
	for _, q := range statements {
		_, err := c.ExecContext(context.Background(), q)
		require.NoError(t, err, "%s: %s", member, q)
	}
}

// everywhere runs statements on every member, unlogged.
func (p *patient) everywhere(t *testing.T, statements ...string) {
	t.Helper()
	for _, m := range p.now.Members {
		p.sql(t, m.Name, append([]string{"SET sql_log_bin=0"}, statements...)...)
	}
}

// value is the first column of a query's first row.
func (p *patient) value(t *testing.T, member, query string) (v string) {
	t.Helper()
	require.NoError(t, p.open(t, member).QueryRowContext(t.Context(), query).Scan(&v), query)
	return v
}

// signal sends a signal to a member's server.
func (p *patient) signal(t *testing.T, member string, sig syscall.Signal) {
	t.Helper()
	require.NoError(t, syscall.Kill(p.member(t, member).PID, sig))
}

// inside runs a command in the lab's network namespace.
func (p *patient) inside(t *testing.T, argv ...string) string {
	t.Helper()
	require.NotEmpty(t, p.now.Namespace, "the lab has no network namespace: this test needs root")
	argv = append([]string{"--net=" + p.now.Namespace}, argv...)
	out, err := exec.CommandContext(context.Background(), "nsenter", argv...).CombinedOutput()
	require.NoError(t, err, "%v: %s", argv, out)
	return string(out)
}

// state is what of a lab a drill that is refused must not change.
type state struct {
	// members has, by name, the process, read_only, whether replication runs and
	// the schemas' tables.
	members map[string]string
	// positions are the members' GTID positions.
	positions map[string]string
	rules     string
	route     []string
}

// state looks at everything.
func (p *patient) state(t *testing.T) state {
	t.Helper()
	st, err := lab.StatusOf(t.Context(), p.home, p.lab)
	require.NoError(t, err)
	s := state{members: map[string]string{}, positions: map[string]string{}, route: st.LeadsTo}
	for _, m := range st.Members {
		if stopped(t, m.PID) {
			s.members[m.Name] = fmt.Sprintf("process %d is stopped", m.PID)
			continue
		}
		tables := p.value(t, m.Name, "SELECT COALESCE(GROUP_CONCAT(table_schema, '.', table_name ORDER BY 1), '') FROM information_schema.tables WHERE table_schema LIKE 'firedrill%'")
		s.members[m.Name] = fmt.Sprintf("process %d, read_only %s, replicates %s, tables [%s]",
			m.PID, p.value(t, m.Name, "SELECT @@global.read_only"), p.threads(t, m.Name), tables)
		s.positions[m.Name] = p.value(t, m.Name, "SELECT CONCAT(@@global.gtid_binlog_pos, ' ', @@global.gtid_slave_pos)")
	}
	s.rules = p.inside(t, "nft", "list", "ruleset")
	return s
}

func stopped(t *testing.T, pid int) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "T")
}

// threads tells which threads of a member's replication are there.
func (p *patient) threads(t *testing.T, member string) string {
	t.Helper()
	row := p.slave(t, member)
	return fmt.Sprintf("from %q as %q, receiver %t, applier %t", row["Master_Host"], row["Master_User"],
		row["Slave_IO_Running"] != "No", row["Slave_SQL_Running"] != "No")
}

// slave is a member's replication status; nil if it has none.
func (p *patient) slave(t *testing.T, member string) map[string]string {
	t.Helper()
	rows, err := p.open(t, member).QueryContext(t.Context(), "SHOW SLAVE STATUS")
	require.NoError(t, err)
	defer rows.Close()
	if !rows.Next() {
		require.NoError(t, rows.Err())
		return nil
	}
	names, err := rows.Columns()
	require.NoError(t, err)
	cells, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range cells {
		into[i] = &cells[i]
	}
	require.NoError(t, rows.Scan(into...))
	row := map[string]string{}
	for i, n := range names {
		row[n] = cells[i].String
	}
	return row
}

// lead makes the route lead to a member.
func (p *patient) lead(t *testing.T, member string) {
	t.Helper()
	r, err := topology.Kinds{Routes: route.All()}.OpenRoute(witnessOf(t, p.now.Topology).file.Spec.Routes[0])
	require.NoError(t, err)
	require.NoError(t, r.Router.Switch(context.Background(), member))
}

// nothingLeft fails the test if a run left anything: an intent, a table, a rule.
func (p *patient) nothingLeft(t *testing.T) {
	t.Helper()
	out := p.run(t, "recover")
	assert.Equal(t, "Nothing to recover.\n", out.stdout, out.stderr)
	assert.Zero(t, out.code)
	for _, m := range p.now.Members {
		if stopped(t, m.PID) {
			continue
		}
		// Replicas drop it a moment after the primary.
		assert.Eventually(t, func() bool {
			return p.value(t, m.Name, "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'ledger\\_%' OR table_name LIKE 'made\\_by\\_%'") == "0"
		}, 10*time.Second, 50*time.Millisecond, "%s still has a ledger", m.Name)
	}
	assert.NotContains(t, p.inside(t, "nft", "list", "ruleset"), "firedrill")
}

// whole waits until the lab is healthy again and nothing is left.
func (p *patient) whole(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		st, err := lab.StatusOf(t.Context(), p.home, p.lab)
		return err == nil && st.State == lab.Healthy
	}, 20*time.Second, 100*time.Millisecond, "the lab is not healthy")
	p.look(t)
	p.nothingLeft(t)
}

// keptSecret watches the arguments of all processes until what it returns is
// called with the run directory and the output of the program: none of that may
// have a password of the lab, or one of the given.
func (p *patient) keptSecret(t *testing.T, secrets ...string) func(dir string, out output) {
	t.Helper()
	for _, account := range []string{"admin", "app", "repl"} {
		b, err := os.ReadFile(filepath.Join(p.home, "lab", p.lab, "secrets", account))
		require.NoError(t, err)
		secrets = append(secrets, strings.TrimSpace(string(b)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan string, 1)
	go func() {
		defer close(seen)
		tick := time.NewTicker(25 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			<-tick.C
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range paths {
				b, _ := os.ReadFile(path)
				if s := contains(string(b), secrets); s != "" {
					seen <- strings.ReplaceAll(string(b), "\x00", " ")
					return
				}
			}
		}
	}()
	return func(dir string, out output) {
		cancel()
		assert.Empty(t, <-seen, "a password in a process's arguments")
		assert.Empty(t, contains(out.stdout, secrets), out.stdout)
		assert.Empty(t, contains(out.stderr, secrets), out.stderr)
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				b, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Empty(t, contains(string(b), secrets), path)
			}
			return nil
		})
	}
}

// contains returns the first of the secrets that is in the text.
func contains(text string, secrets []string) string {
	for _, s := range secrets {
		if strings.Contains(text, s) {
			return s
		}
	}
	return ""
}
