package probes_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

// A replica that does not apply shows old data: for how long is measured, and a
// failure only where the probe says so.
func TestMySQLReadMeasuresStaleness(t *testing.T) {
	w := newWorld(t, 2, 1)
	p := w.writer(w.c.Members[0].Address(), drills.Pooled)
	reads := func(with string, member int) drills.Probe {
		s := w.subject(w.c.Members[member].Address(), drills.Pooled, 2)
		s.Member = w.c.Members[member]
		return open(t, build(t, "mysql-read", with), s)
	}
	primary, replica, strict := reads(`{}`, 0), reads(`{}`, 1), reads(`{"maxStale":"0s"}`, 1)
	for range 50 {
		require.Equal(t, timeline.OK, look(t, p).Class)
		o := look(t, primary)
		require.Zero(t, o.Stale, "the primary is never stale: %s", o.Detail)
	}
	assert.Equal(t, "db-1", look(t, primary).By)
	follows(t, func() bool { return look(t, replica).Stale == 0 })
	assert.Equal(t, timeline.OK, look(t, strict).Class)

	w.sql(1, "STOP SLAVE SQL_THREAD")
	before := w.clock.Now()
	require.Equal(t, timeline.OK, look(t, p).Class)
	acked := w.clock.Now()
	require.Equal(t, timeline.OK, look(t, p).Class)
	least := time.Duration(w.clock.Now() - acked)
	o := look(t, replica)
	most := time.Duration(w.clock.Now() - before)
	assert.Equal(t, timeline.OK, o.Class)
	assert.Equal(t, "db-2", o.By)
	assert.Contains(t, o.Detail, "write 1:51", "the oldest that it misses")
	assert.GreaterOrEqual(t, o.Stale, least)
	assert.LessOrEqual(t, o.Stale, most)
	assert.Equal(t, timeline.Lagging, look(t, strict).Class)

	w.sql(1, "START SLAVE SQL_THREAD")
	follows(t, func() bool { o := look(t, strict); return o.Class == timeline.OK && o.Stale == 0 })
}

// A member without the table shows nothing of what was acknowledged.
func TestMySQLReadWithoutTheTable(t *testing.T) {
	w := newWorld(t, 2, 1)
	read := open(t, build(t, "mysql-read", `{"maxStale":"0s"}`), w.subject(w.c.Members[1].Address(), drills.Fresh, 1))
	w.sql(1, "STOP SLAVE", "DROP TABLE "+table)
	assert.Equal(t, timeline.OK, look(t, read).Class, "nothing is acknowledged yet")
	require.Equal(t, timeline.OK, look(t, w.writer(w.c.Members[0].Address(), drills.Fresh)).Class)
	o := look(t, read)
	assert.Equal(t, timeline.Lagging, o.Class, o.Detail)
	assert.Positive(t, o.Stale)
}

// Through a proxy, it is told which member answers; one that was down when the
// probe was opened is known by the address that it reports.
func TestMySQLReadTellsWhoAnswers(t *testing.T) {
	w := newWorld(t, 2, 1)
	require.NoError(t, w.servers[1].Kill(t.Context()))
	r := newRelay(t, w.c.Members[0].Address())
	s := w.subject(r.address, drills.Fresh, 1)
	s.Ledger = nil
	p := open(t, build(t, "mysql-read", `{}`), s)
	assert.Equal(t, "db-1", look(t, p).By)
	require.NoError(t, w.servers[1].Start(t.Context()))
	r.leadTo(w.c.Members[1].Address())
	assert.Equal(t, "db-2", look(t, p).By)
}

func TestMySQLReadReportsServerErrors(t *testing.T) {
	w := newWorld(t, 1, 1)
	for with, want := range map[string]timeline.Class{
		`{"query":"SELECT 1 FROM nowhere.nothing"}`: timeline.Auth, // the account may not know
		`{"query":"SELEKT"}`:                        timeline.Error,
		`{"query":"SELECT SLEEP(60)"}`:              timeline.Timeout,
	} {
		s := w.subject(w.c.Members[0].Address(), drills.Pooled, 1)
		s.Ledger = nil
		patience := probetest.Patience
		if want == timeline.Timeout {
			patience = probetest.Timeout
		}
		o, _ := probetest.Look(t, open(t, build(t, "mysql-read", with), s), patience)
		assert.Equal(t, want, o.Class, "%s: %s", with, o.Detail)
	}
	_, err := build(t, "mysql-read", `{"query":"SELECT 1"}`).Open(t.Context(), w.subject("127.0.0.1:1", drills.Fresh, 1))
	assert.ErrorContains(t, err, "ledger")
	_, err = probes.All().Build("mysql-read", []byte(`{"table":"a b"}`))
	assert.ErrorContains(t, err, "table")
}

func TestMySQLReplication(t *testing.T) {
	w := newWorld(t, 2, 1)
	all := open(t, build(t, "mysql-replication", `{"maxLag":"1s"}`), drills.Subject{Component: w.c, Client: drills.Pooled})
	one := open(t, build(t, "mysql-replication", `{}`), drills.Subject{Component: w.c, Client: drills.Pooled, Member: w.c.Members[0]})
	follows(t, func() bool { return look(t, all).Class == timeline.OK })
	o := look(t, all)
	assert.Contains(t, o.Detail, "0s behind, lacks 0 transactions of db-1")

	locks := w.root(1)
	conn, err := locks.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "LOCK TABLES "+table+" WRITE")
	require.NoError(t, err)
	require.Equal(t, timeline.OK, look(t, w.writer(w.c.Members[0].Address(), drills.Fresh)).Class)
	follows(t, func() bool { o = look(t, all); return o.Class == timeline.Lagging })
	assert.Equal(t, "db-2", o.By)
	assert.Contains(t, o.Detail, "lacks 1 transactions of db-1")
	_, err = conn.ExecContext(t.Context(), "UNLOCK TABLES")
	require.NoError(t, err)
	follows(t, func() bool { return look(t, all).Class == timeline.OK })

	w.sql(1, "STOP SLAVE IO_THREAD")
	o = look(t, all)
	assert.Equal(t, timeline.Error, o.Class)
	assert.Contains(t, o.Detail, "db-2: replication is broken")
	w.sql(1, "STOP SLAVE", "RESET SLAVE ALL")
	assert.Contains(t, look(t, all).Detail, "db-2 takes no writes and does not replicate")
	require.NoError(t, w.servers[1].Kill(t.Context()))
	o = look(t, all)
	assert.Equal(t, timeline.Refused, o.Class, o.Detail)
	assert.Equal(t, "db-2", o.By)
	o = look(t, one)
	assert.Equal(t, timeline.OK, o.Class)
	assert.Equal(t, "db-1 is the primary", o.Detail)
}
