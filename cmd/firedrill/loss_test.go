package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// lagging is the library's lagging scenario in seconds: all replicas stop
// receiving, a second later the primary dies; the table is kept.
func lagging(t *testing.T, replace ...string) string {
	t.Helper()
	return quick(t, append(replace, // what comes first wins
		"objectives: {rto: 30s}", "objectives: {rto: 30s, rpo: 0s}\n  limits: {members: 3, sites: 2}",
		"timeout: 2s", "timeout: 1s\n      with: {keep: true}",
		"faults:\n", "faults:\n    - {name: stop-replication, kind: mysql-replication-stop, prelude: true, target: {component: mysql, role: replica}}\n",
		"kind: process-kill", "kind: process-kill\n      at: 1s",
	)...)
}

// What the product reports as lost is, write by write, what the dead primary has
// and its successor has not: by the old server's binary log and by SQL.
func TestLossIsTrue(t *testing.T) {
	for _, name := range []string{"mysql", "mysql8"} {
		t.Run(name, func(t *testing.T) {
			p := inLab(t, name)
			p.spent(t, name)
			w := witnessOf(t, strings.TrimSpace(p.run(t, "lab", "up", name).stdout))
			w.withoutReclone(t)
			dir := filepath.Join(t.TempDir(), "run")
			out := p.run(t, "run", lagging(t), "--topology", w.save(t), "--out", dir)
			res := p.result(t, dir, out)
			require.Equal(t, verdict.ExitMissed, out.code, out.stderr)
			lossIsTrue(t, w, dir, res)
		})
	}
}

func lossIsTrue(t *testing.T, w *witness, dir string, res verdict.Result) {
	t.Helper()
	c := compareLoss(t, w, dir, res)
	l := res.Ledgers[0]
	rec, err := timeline.Read(dir)
	require.NoError(t, err)
	lanes := 0
	for _, s := range rec.Started.Plan.Series {
		lanes += s.Concurrency
	}
	assert.LessOrEqual(t, len(c.only)-len(c.lost), lanes, "in flight when the primary died")
	assert.Equal(t, c.only.ids(), expand(t, l.IDs["diverged"]), "diverged, one by one")
	assert.Equal(t, len(c.lost), int(l.Lost))
	for _, n := range []uint64{l.Duplicated, l.Phantom, l.RejectedButPresent, l.Resurrected, l.Vanished, l.DualWrite} {
		assert.Zero(t, n, "%+v", l)
	}
	bothClients(t, dir, c.lost)
	recoveryPointIsTrue(t, res, c)
	for _, o := range res.Objectives {
		assert.Equal(t, map[string]string{"rto": verdict.Met, "rpo": verdict.Missed, "rejoin": verdict.Missed}[o.Name], o.Verdict, o.Why)
	}
}

// compared is what two servers hold of one ledger.
type compared struct {
	// old has been replaced by successor.
	old, successor binlog
	// only the old one has these; those that were acknowledged are lost.
	only, lost writes
}

// compareLoss compares a result with a member that was kept out and with the one
// that took its place.
func compareLoss(t *testing.T, w *witness, dir string, res verdict.Result) compared {
	t.Helper()
	table := "firedrill.ledger_" + res.RunID
	died, now := res.Faults[len(res.Faults)-1].Targets[0], res.Rejoin[0].Primary
	require.NotEqual(t, died, now)
	c := compared{old: w.log(t, died, table), successor: w.log(t, now, table)}
	assert.Equal(t, c.old.rows.ids(), w.table(t, died, table).ids(), "the old server has what its binary log has")
	assert.Equal(t, c.successor.rows.ids(), w.table(t, now, table).ids())

	require.Len(t, res.Ledgers, 1)
	l := res.Ledgers[0]
	acked := acknowledged(t, dir, l.Name)
	c.only = c.old.rows.minus(c.successor.rows)
	inFlight := c.only.minus(acked)
	c.lost = c.only.minus(inFlight)
	t.Logf("%d attempted, %d acknowledged, %d rows on %s, %d on %s; %d only on %s, of which %d never acknowledged",
		l.Attempted, l.Acknowledged, len(c.old.rows), died, len(c.successor.rows), now, len(c.only), died, len(inFlight))
	require.NotEmpty(t, c.lost)
	assert.EqualValues(t, len(acked), l.Acknowledged)
	assert.Equal(t, c.lost.ids(), acked.minus(c.successor.rows).ids(), "what was acknowledged is on one of the two")
	assert.Equal(t, c.lost.ids(), expand(t, l.LostIDs), "lost, one by one")
	assert.Zero(t, l.LostUnlisted)
	assert.Subset(t, expand(t, l.IDs["indeterminate"]), inFlight.ids())
	keptOut(t, w, res, died, now, c.old.surplus(c.successor))
	return c
}

// keptOut: the member that diverged was kept out, with as many transactions as
// its binary log and the server's own arithmetic say.
func keptOut(t *testing.T, w *witness, res verdict.Result, died, now string, surplus []string) {
	t.Helper()
	require.Contains(t, res.Rejoin[0].KeptOut, died)
	errant := res.Rejoin[0].Errant[died]
	assert.True(t, strings.HasPrefix(errant, fmt.Sprintf("%d (", len(surplus))), "%s, the binary logs say %d", errant, len(surplus))
	assert.Equal(t, "1", w.text(t, died, "SELECT @@global.read_only"))
	if strings.Contains(surplus[0], ":") { // MySQL
		has := w.text(t, now, "SELECT @@global.gtid_executed")
		left := strings.ReplaceAll(w.text(t, died, "SELECT GTID_SUBTRACT(@@global.gtid_executed, ?)", has), "\n", "")
		assert.Equal(t, fmt.Sprintf("%d (%s)", len(surplus), left), errant)
	} else {
		last := w.text(t, died, "SELECT @@global.gtid_binlog_pos")
		assert.Contains(t, surplus, last)
		assert.True(t, strings.HasSuffix(errant, ".."+last[strings.LastIndex(last, "-")+1:]+")"), "%s, the last is %s", errant, last)
	}
	t.Logf("errant: %s", errant)
}

// recoveryPointIsTrue compares with what the servers' clock says. The primary
// died after its last row came in, and before the first came in at its successor;
// the earliest lost write was acknowledged after it came in.
func recoveryPointIsTrue(t *testing.T, res verdict.Result, c compared) {
	t.Helper()
	const tolerance = 0.005 // the wall clock may be slewed meanwhile
	first, _ := c.lost.span()
	_, died := c.old.rows.span()
	took, _ := c.successor.rows.minus(c.old.rows).span()
	rp := res.Ledgers[0].RecoveryPoint
	t.Logf("recovery point %.3f..%.3f s; by the servers' clock between %.3f s and %.3f s", rp.Lo, *rp.Hi, died-first, took-first)
	assert.GreaterOrEqual(t, *rp.Hi+tolerance, died-first)
	assert.LessOrEqual(t, rp.Lo-tolerance, took-first)
	assert.Greater(t, rp.Lo, 0.3, "the replicas stood still for a second")
	assert.Less(t, *rp.Hi-rp.Lo, 1.0, "an interval that says something")
}

// bothClients: clients with new connections lost writes, and so did those with
// pooled ones. Lanes are handed out in the order of the series.
func bothClients(t *testing.T, dir string, lost writes) {
	t.Helper()
	rec, err := timeline.Read(dir)
	require.NoError(t, err)
	from := uint16(1)
	for _, s := range rec.Started.Plan.Series {
		n := 0
		for id := range lost {
			if id.Writer >= from && id.Writer < from+uint16(s.Concurrency) {
				n++
			}
		}
		t.Logf("%s lost %d", s.Name(), n)
		assert.Positive(t, n, s.Name())
		from += uint16(s.Concurrency)
	}
}

// acknowledged reads the runner's own ledger.
func acknowledged(t *testing.T, dir, name string) writes {
	t.Helper()
	out := writes{}
	for e, err := range ledger.Read(ledger.Path(dir, name)) {
		require.NoError(t, err)
		if e.Outcome == ledger.Acknowledged {
			out[e.ID] = 0
		}
	}
	return out
}

// expand lists ids one by one, sorted.
func expand(t *testing.T, ids []string) []string {
	t.Helper()
	out := []string{}
	for _, id := range ids {
		writer, seqs, _ := strings.Cut(id, ":")
		a, b, more := strings.Cut(seqs, "-")
		if !more {
			b = a
		}
		from, err := strconv.Atoi(a)
		require.NoError(t, err)
		to, err := strconv.Atoi(b)
		require.NoError(t, err)
		for n := from; n <= to; n++ {
			out = append(out, fmt.Sprintf("%s:%d", writer, n))
		}
	}
	return sorted(out)
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
