package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/verdict"
)

var update = flag.Bool("update", false, "write the messages in testdata/trouble anew")

// wrong is a password that opens nothing, and that must be seen nowhere.
const wrong = "Xwrong-s3cret-77"

// trouble is something that is wrong before a drill begins.
type trouble struct {
	name string
	// topology and scenario are replacements in a copy of the lab's topology file
	// and in the quick scenario.
	topology, scenario []string
	// args replace `--topology COPY`; OUT stands for the run directory, in topology
	// and scenario too.
	args []string
	// spoil makes it wrong; what it returns puts it right.
	spoil func(t *testing.T, p *patient, out string) (mend func())
	code  int
	// ledger tells that it is found only once the ledger's table was made.
	ledger bool
}

// Everything that can be wrong before a drill is said plainly, with the right exit
// code, and nothing is changed. The messages are in testdata/trouble.
func TestTrouble(t *testing.T) {
	p := ill(t, "mysql")
	if p.primary != "db-1" { // the messages name members
		p.run(t, "lab", "down", "mysql")
		p = ill(t, "mysql")
	}
	require.Equal(t, "db-1", p.primary)
	for _, c := range troubles() {
		t.Run(c.name, func(t *testing.T) { p.trouble(t, c) })
	}
}

func (p *patient) trouble(t *testing.T, c trouble) {
	dir := t.TempDir()
	out := filepath.Join(dir, "run")
	file := filepath.Join(dir, "topology.yaml")
	text, err := os.ReadFile(p.now.Topology)
	require.NoError(t, err)
	edited := string(text)
	for i := 0; i+1 < len(c.topology); i += 2 {
		re := regexp.MustCompile("(?m)" + c.topology[i])
		require.Regexp(t, re, edited)
		edited = re.ReplaceAllLiteralString(edited, strings.ReplaceAll(c.topology[i+1], "OUT", out))
	}
	require.NoError(t, os.WriteFile(file, []byte(edited), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wrong"), []byte(wrong+"\n"), 0o600))
	args := []string{"run", quick(t, c.scenario...), "--out", out}
	if c.args == nil {
		c.args = []string{"--topology", file}
	}
	for _, a := range c.args {
		args = append(args, strings.ReplaceAll(a, "OUT", out))
	}
	if c.spoil != nil {
		defer c.spoil(t, p, out)()
	}
	before := p.state(t)
	kept := p.keptSecret(t, wrong)
	began := time.Now()
	got := p.with("FIREDRILL_TEST_WRONG="+wrong).run(t, args...)
	assert.Less(t, time.Since(began), 20*time.Second)
	kept(out, got)
	assert.Equal(t, c.code, got.code, got.stderr)
	after := p.state(t)
	if c.ledger {
		before.positions, after.positions = nil, nil
	}
	assert.Equal(t, before, after)
	p.nothingLeft(t)
	golden(t, filepath.Join("testdata", "trouble", c.name+".txt"), p.said(t, got, c.ledger, dir, args[1]))
}

// said is the exit code and the message; an aborted drill's is that of its record,
// which no terminal has folded.
func (p *patient) said(t *testing.T, out output, touched bool, dir, scenario string) string {
	t.Helper()
	text := out.stderr
	if _, err := os.Stat(filepath.Join(dir, "run", "result.json")); err == nil {
		res := p.read(t, filepath.Join(dir, "run"))
		require.Equal(t, verdict.Aborted, res.Verdict)
		require.Len(t, res.Reasons, 1)
		assert.Contains(t, out.stderr, "ABORTED")
		assert.Equal(t, !touched, strings.HasSuffix(res.Sentence, "; nothing was touched."), res.Sentence)
		text = res.Reasons[0] + "\n"
	}
	servers := filepath.Dir(p.member(t, "db-1").Dir)
	text = strings.NewReplacer(
		scenario, "SCENARIO", dir, "DIR", p.home, "HOME", p.now.Namespace, "NAMESPACE", servers, "SERVERS",
	).Replace(text)
	text = regexp.MustCompile(`\d+ \(\d+-\d+-[0-9.]+\)`).ReplaceAllString(text, "N (GTIDS)")
	text = regexp.MustCompile(`ledger_[0-9a-f]{8}`).ReplaceAllString(text, "ledger_RUN")
	return fmt.Sprintf("exit %d\n%s", out.code, text)
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run with -update to write it")
	assert.Equal(t, string(want), got)
}

// A whole drill, with a failover and a rejoin, shows no password anywhere.
func TestSecretsStayOut(t *testing.T) {
	p := ill(t, "mysql")
	kept := p.keptSecret(t)
	res, out := p.drill(t, "mysql", quick(t))
	require.Equal(t, verdict.Met, res.Verdict, out.stderr)
	kept(filepath.Dir(strings.TrimSpace(out.stdout)), out)
	p.whole(t)
}

// Replacements in the topology file.
const (
	adminPassword = `^      password: file:.*/admin$`
	appPassword   = `password: file:.*/app$`
	replPassword  = `password: file:.*/repl$`
	replicaAt     = `127\.0\.\d+\.12:3306`
)

func troubles() []trouble {
	const aborted, usage = verdict.ExitAborted, verdict.ExitUsage
	return append(sqlTroubles(), []trouble{
		{name: "admin-password-wrong", code: aborted, topology: []string{adminPassword, "      password: file:OUT/../wrong"}},
		{name: "admin-password-file-missing", code: aborted, topology: []string{adminPassword, "      password: file:/nowhere/admin"}},
		{name: "admin-password-env-unset", code: aborted, topology: []string{adminPassword, "      password: env:NOT_SET"}},
		{name: "admin-password-pasted", code: usage, topology: []string{adminPassword, "      password: " + wrong}},
		{name: "app-password-wrong", code: aborted, topology: []string{appPassword, "password: env:FIREDRILL_TEST_WRONG"}},
		{name: "app-password-env-unset", code: aborted, topology: []string{appPassword, "password: env:NOT_SET"}},
		{name: "replication-password-file-missing", code: aborted, topology: []string{replPassword, "password: file:/nowhere/repl"}},
		{name: "address-refused", code: aborted, topology: []string{replicaAt, "127.0.41.99:3306"}},
		{name: "address-black-holed", code: aborted, spoil: blackHole},
		{name: "server-hangs", code: aborted, spoil: func(t *testing.T, p *patient, _ string) func() {
			p.signal(t, "db-2", syscall.SIGSTOP)
			return func() { p.signal(t, "db-2", syscall.SIGCONT) }
		}},
		{name: "only-a-primary", code: aborted, topology: []string{`(?s)^    - name: db-2.*^      user: "70103"\n`, ""}},
		{name: "no-control", code: aborted, topology: []string{`(?s)^      control:\n.*?my\.cnf$\n`, ""}},
		{name: "route-address-refused", code: aborted, ledger: true, topology: []string{`^    address: 127.*$`, "    address: 127.0.41.99:3306"}},
		{name: "haproxy-socket-missing", code: aborted, topology: []string{`socket: .*`, "socket: /nowhere/proxy.sock"}},
		{name: "haproxy-hangs", code: aborted, spoil: func(t *testing.T, p *patient, _ string) func() {
			require.NoError(t, syscall.Kill(p.proxy(t), syscall.SIGSTOP))
			return func() { require.NoError(t, syscall.Kill(p.proxy(t), syscall.SIGCONT)) }
		}},
		{name: "haproxy-backend-missing", code: aborted, topology: []string{`backend: .*`, "backend: postgres"}},
		{name: "namespace-missing", code: usage, topology: []string{`namespace: .*`, "namespace: /run/netns/nowhere"}},
		{name: "topology-missing", code: usage, args: []string{"--topology", "/nowhere/topology.yaml"}},
		{name: "no-topology", code: usage, args: []string{}},
		{name: "lab-unknown", code: usage, args: []string{"--lab", "postgres"}},
		{name: "scenario-does-not-fit", code: usage, scenario: []string{"component: mysql", "component: payments"}},
		{name: "scenario-invalid", code: usage, scenario: []string{"rto: 30s", "rot: 30", "every: 10ms", "every: often"}},
		{name: "variable-unknown", code: usage, args: []string{"--lab", "mysql", "--var", "lag=3s"}},
		{name: "output-unknown", code: usage, args: []string{"--lab", "mysql", "-o", "yaml"}},
		{name: "run-directory-not-empty", code: usage, args: []string{"--lab", "mysql", "--out", "OUT/.."}},
		{name: "run-directory-is-a-file", code: usage, args: []string{"--lab", "mysql", "--out", "OUT/../wrong"}},
		{name: "run-directory-read-only", code: usage, args: []string{"--lab", "mysql"}, spoil: func(t *testing.T, _ *patient, out string) func() {
			return mount(t, out, unix.MS_RDONLY, "")
		}},
		{name: "drill-under-way", code: aborted, args: []string{"--lab", "mysql"}, spoil: func(t *testing.T, p *patient, _ string) func() {
			f, err := os.Create(filepath.Join(p.home, "locks", "lab-mysql.lock"))
			require.NoError(t, err)
			require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
			return func() { f.Close() }
		}},
	}...)
}

// blackHole makes the network swallow whatever is sent to db-2's port.
func blackHole(t *testing.T, p *patient, _ string) func() {
	p.inside(t, "nft", "add table inet swallow")
	p.inside(t, "nft", "add chain inet swallow in { type filter hook input priority 0; }")
	p.inside(t, "nft", "add rule inet swallow in ip daddr 127.0.41.12 tcp dport 3306 drop")
	return func() { p.inside(t, "nft", "delete table inet swallow") }
}

// mount puts a file system in memory at dir, which is made; what it returns takes
// it away again.
func mount(t *testing.T, dir string, flags uintptr, options string) func() {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", flags, options), "this test needs root")
	return func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }
}

// sqlTroubles are those of the servers themselves.
func sqlTroubles() []trouble {
	on := func(member string, spoil, mend []string) func(*testing.T, *patient, string) func() {
		return func(t *testing.T, p *patient, _ string) func() {
			p.sql(t, member, spoil...)
			return func() { p.sql(t, member, mend...) }
		}
	}
	lacks := func(privilege, account string) func(*testing.T, *patient, string) func() {
		return func(t *testing.T, p *patient, _ string) func() {
			p.everywhere(t, "REVOKE "+privilege+" FROM "+account+"@'127.%'")
			return func() { p.everywhere(t, "GRANT "+privilege+" TO "+account+"@'127.%'") }
		}
	}
	q := func(statements ...string) []string { return statements }
	cases := []trouble{
		{name: "no-primary", spoil: on("db-1", q("SET GLOBAL read_only=ON"), q("SET GLOBAL read_only=OFF"))},
		{name: "two-primaries", spoil: on("db-2", q("STOP SLAVE", "SET GLOBAL read_only=OFF"), q("SET GLOBAL read_only=ON", "START SLAVE"))},
		{name: "replica-takes-writes", spoil: on("db-2", q("SET GLOBAL read_only=OFF"), q("SET GLOBAL read_only=ON"))},
		{name: "applier-stopped", spoil: on("db-2", q("STOP SLAVE SQL_THREAD"), q("START SLAVE SQL_THREAD"))},
		{name: "receiver-stopped", spoil: on("db-3", q("STOP SLAVE IO_THREAD"), q("START SLAVE IO_THREAD"))},
		{name: "receiver-refused", spoil: refusedReceiver},
		{name: "no-replica", spoil: func(t *testing.T, p *patient, _ string) func() {
			p.sql(t, "db-2", "STOP SLAVE")
			p.sql(t, "db-3", "STOP SLAVE")
			return func() { p.sql(t, "db-2", "START SLAVE"); p.sql(t, "db-3", "START SLAVE") }
		}},
		{name: "admin-cannot-promote", spoil: lacks("READ_ONLY ADMIN, REPLICATION SLAVE ADMIN ON *.*", "firedrill_admin")},
		{name: "admin-cannot-look", spoil: lacks("REPLICA MONITOR ON *.*", "firedrill_admin")},
		{name: "admin-cannot-create", ledger: true, spoil: lacks("CREATE ON `firedrill%`.*", "firedrill_admin")},
		{name: "app-cannot-insert", ledger: true, spoil: lacks("INSERT ON `firedrill%`.*", "firedrill_app")},
		{name: "route-leads-elsewhere", spoil: func(t *testing.T, p *patient, _ string) func() {
			p.lead(t, "db-2")
			return func() { p.lead(t, "db-1") }
		}},
	}
	for i := range cases {
		cases[i].code = verdict.ExitAborted
	}
	return cases
}

// refusedReceiver gives db-2 a password that its source refuses.
func refusedReceiver(t *testing.T, p *patient, _ string) func() {
	p.sql(t, "db-2", "STOP SLAVE", "CHANGE MASTER TO MASTER_PASSWORD='"+wrong+"'", "START SLAVE")
	require.Eventually(t, func() bool {
		return strings.Contains(p.slave(t, "db-2")["Last_IO_Error"], "Access denied")
	}, 10*time.Second, 20*time.Millisecond)
	right, err := os.ReadFile(filepath.Join(p.home, "lab", "mysql", "secrets", "repl"))
	require.NoError(t, err)
	return func() {
		p.sql(t, "db-2", "STOP SLAVE", "CHANGE MASTER TO MASTER_PASSWORD='"+strings.TrimSpace(string(right))+"'", "START SLAVE")
	}
}

// plan refuses what run would refuse, with the same words and codes; an invalid
// file is one line for each problem, for programs to read.
func TestPlanSaysTheSame(t *testing.T) {
	p := ill(t, "mysql")
	out := p.run(t, "plan", quick(t, "component: mysql", "component: payments"), "--lab", "mysql")
	assert.Equal(t, verdict.ExitUsage, out.code)
	for line := range strings.Lines(out.stderr) {
		assert.Regexp(t, `^/\S+\.yaml:\d+:\d+: spec\.\S+: .+\n$`, line)
	}
	replica := p.replicas[0]
	p.sql(t, replica, "STOP SLAVE SQL_THREAD")
	defer p.sql(t, replica, "START SLAVE SQL_THREAD")
	out = p.run(t, "plan", quick(t), "--topology", p.now.Topology) // --lab would put it right
	assert.Equal(t, verdict.ExitAborted, out.code)
	assert.Contains(t, out.stderr, "component orders-db is not healthy: "+replica)
	assert.Contains(t, out.stderr, "the applier is stopped: START SLAVE SQL_THREAD")
	assert.Empty(t, out.stdout)
}
