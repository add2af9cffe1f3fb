package probes_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
	"firedrill/lab"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

// isInsert tells the statement that counts from the greeting.
func isInsert(packet []byte) bool { return bytes.HasPrefix(packet[5:], []byte("INSERT")) }

// Every way in which a write can end is provoked once, each as one id of the
// same writer, against a real server; the audit must name each.
func TestMySQLWriteAccountsForEveryOutcome(t *testing.T) {
	for _, client := range []drills.Client{drills.Fresh, drills.Pooled} {
		t.Run(string(client), func(t *testing.T) { everyOutcome(t, client) })
	}
}

func everyOutcome(t *testing.T, client drills.Client) {
	w := newWorld(t, 1, 1)
	r := newRelay(t, w.c.Members[0].Address())
	p := w.writer(r.address, client)
	insert := func(do func(*relayed, []byte) error) {
		r.command(func(c *relayed, packet []byte) error {
			if !isInsert(packet) {
				return c.pass(packet)
			}
			return do(c, packet)
		})
	}
	for _, s := range []struct {
		id   string
		do   func(*relayed, []byte) error
		want timeline.Class
	}{
		{"1:1 acknowledged", (*relayed).pass, timeline.OK},
		{"1:2 rejected but present", refuseAfterwards, timeline.Error},
		{"1:3 duplicated", twice, timeline.OK},
		{"1:4 indeterminate, absent", func(*relayed, []byte) error { return errCut }, timeline.Reset},
		{"1:5 indeterminate, present", cutAfterwards, timeline.Reset},
		{"1:6 lost", (*relayed).pass, timeline.OK},
		{"1:7 indeterminate: hangs", func(*relayed, []byte) error { return nil }, timeline.Timeout},
		{"1:8 acknowledged", (*relayed).pass, timeline.OK},
	} {
		insert(s.do)
		o := look(t, p)
		assert.Equal(t, s.want, o.Class, "%s: %s", s.id, o.Detail)
		assert.Equal(t, "db-1", o.By, s.id)
	}
	r.command((*relayed).pass)
	w.sql(0, "SET GLOBAL read_only=ON")
	o := look(t, p) // 1:9
	assert.Equal(t, timeline.ReadOnly, o.Class, o.Detail)
	assert.Contains(t, o.Detail, "1290")
	w.sql(0, "SET GLOBAL read_only=OFF",
		"DELETE FROM "+table+" WHERE seq = 6",
		"INSERT INTO "+table+" (id, writer, seq) VALUES (UUID_SHORT(), 7, 1)")

	a := w.audit()
	counts := map[string]uint64{"attempted": a.Attempted, "acknowledged": a.Acknowledged, "rejected": a.Rejected, "indeterminate and present": a.IndeterminatePresent}
	assert.Equal(t, map[string]uint64{"attempted": 9, "acknowledged": 4, "rejected": 2, "indeterminate and present": 1}, counts)
	assert.Equal(t, []string{"1:6"}, a.Lost.IDs())
	assert.Equal(t, []string{"1:4-5", "1:7"}, a.Indeterminate.IDs())
	assert.Equal(t, []string{"1:2"}, a.RejectedButPresent.IDs())
	assert.Equal(t, []string{"1:3"}, a.Duplicated.IDs())
	assert.Equal(t, []string{"7:1"}, a.Phantom.IDs())
	for id, e := range w.entries() {
		assert.Equal(t, "db-1", e.Member, id)
		assert.LessOrEqual(t, e.Start, e.End, id)
	}
}

// refuseAfterwards lets the server commit and turns its OK into an error.
func refuseAfterwards(c *relayed, packet []byte) error {
	c.answer(func(answer []byte) []byte {
		c.answer(func(p []byte) []byte { return p })
		return errorPacket(answer[3], 1205, "Lock wait timeout exceeded")
	})
	return c.pass(packet)
}

// twice sends the statement again once the first was answered, and keeps the
// second answer.
func twice(c *relayed, packet []byte) error {
	n := 0
	first := make(chan struct{})
	c.answer(func(answer []byte) []byte {
		if n++; n == 1 {
			close(first)
			return nil
		}
		c.answer(func(p []byte) []byte { return p })
		return answer
	})
	if err := c.pass(packet); err != nil {
		return err
	}
	<-first
	return c.pass(packet)
}

// cutAfterwards cuts the client off once the server has answered.
func cutAfterwards(c *relayed, packet []byte) error {
	done := make(chan struct{})
	c.answer(func([]byte) []byte { close(done); return nil })
	if err := c.pass(packet); err != nil {
		return err
	}
	<-done
	return errCut
}

// What never left the runner is rejected, not indeterminate.
func TestMySQLWriteNeverSent(t *testing.T) {
	w := newWorld(t, 1, 3)
	refused := look(t, w.writer(probetest.Refuse(t), drills.Fresh))
	assert.Equal(t, timeline.Refused, refused.Class)
	assert.Empty(t, refused.By)
	p := w.writer(probetest.Serve(t, probetest.Hang), drills.Pooled)
	hung, _ := probetest.Look(t, p, probetest.Timeout)
	assert.Equal(t, timeline.Timeout, hung.Class)
	logsIn := w.writer(w.c.Members[0].Address(), drills.Fresh)
	w.sql(0, "ALTER USER "+lab.AppUser+"@'127.%' IDENTIFIED BY 'changed since'")
	denied := look(t, logsIn)
	assert.Equal(t, timeline.Auth, denied.Class, denied.Detail)
	assert.NotContains(t, denied.Detail, w.servers[0].Accounts.Repl)
	a := w.audit()
	assert.EqualValues(t, 3, a.Rejected)
	assert.Empty(t, a.RejectedButPresent.IDs())
}

// A statement that the server still works on when its client has given up, or
// when the server dies, is indeterminate, whatever comes of it.
func TestMySQLWriteUnderWay(t *testing.T) {
	w := newWorld(t, 1, 1)
	p := w.writer(w.c.Members[0].Address(), drills.Pooled)
	require.Equal(t, timeline.OK, look(t, p).Class) // 1:1
	locked := w.lockTable()
	o, took := probetest.Look(t, p, probetest.Timeout) // 1:2
	assert.Equal(t, timeline.Timeout, o.Class, o.Detail)
	assert.Less(t, took, probetest.Timeout+5*time.Second)
	locked()
	assert.Eventually(t, func() bool { return w.rows() == 2 }, 30*time.Second, 20*time.Millisecond,
		"MariaDB carries out what it got, although nobody waits for it")

	w.lockTable()
	observed := make(chan drills.Observation)
	go func() { observed <- look(t, p) }() // 1:3
	w.waitsForLock()
	require.NoError(t, w.servers[0].Kill(t.Context()))
	assert.Equal(t, timeline.Reset, (<-observed).Class)
	assert.Equal(t, timeline.Refused, look(t, p).Class) // 1:4
	require.NoError(t, w.servers[0].Start(t.Context()))
	assert.Equal(t, timeline.ReadOnly, look(t, p).Class) // 1:5

	a := w.audit()
	assert.Equal(t, []string{"1:2-3"}, a.Indeterminate.IDs())
	assert.EqualValues(t, 1, a.IndeterminatePresent)
	assert.EqualValues(t, 2, a.Rejected)
	assert.Empty(t, a.Lost.IDs())
}

// A session that is killed while it works: the error does not say what became of
// the statement.
func TestMySQLWriteKilledSession(t *testing.T) {
	w := newWorld(t, 1, 1)
	p := w.writer(w.c.Members[0].Address(), drills.Pooled)
	require.Equal(t, timeline.OK, look(t, p).Class)
	unlock := w.lockTable()
	observed := make(chan drills.Observation)
	go func() { observed <- look(t, p) }()
	id := w.waitsForLock()
	w.sql(0, "KILL CONNECTION "+id)
	o := <-observed
	assert.True(t, o.Class.Bad(), "%s: %s", o.Class, o.Detail)
	t.Logf("killed while it waits: %s: %s", o.Class, o.Detail)
	unlock()
	assert.Equal(t, timeline.OK, look(t, p).Class, "the next turn has a new connection")
	assert.Equal(t, []string{"1:2"}, w.audit().Indeterminate.IDs())
}

// A kept connection that the server closed while it was idle is replaced before
// anything is sent on it, as pools do.
func TestMySQLWriteReplacesIdleConnections(t *testing.T) {
	w := newWorld(t, 1, 1)
	p := w.writer(w.c.Members[0].Address(), drills.Pooled)
	require.Equal(t, timeline.OK, look(t, p).Class)
	db := w.root(0)
	var id string
	require.NoError(t, db.QueryRow("SELECT id FROM information_schema.processlist WHERE user = 'firedrill_app'").Scan(&id))
	w.sql(0, "KILL CONNECTION "+id)
	require.Eventually(t, func() bool {
		return db.QueryRow("SELECT id FROM information_schema.processlist WHERE id = ?", id).Scan(&id) != nil
	}, 30*time.Second, 5*time.Millisecond)
	o := look(t, p)
	assert.Equal(t, timeline.OK, o.Class, o.Detail)
	assert.EqualValues(t, 2, w.audit().Acknowledged)
}

// lockTable makes inserts wait until the returned function is called.
func (w *world) lockTable() (unlock func()) {
	conn, err := w.root(0).Conn(w.t.Context())
	require.NoError(w.t, err)
	_, err = conn.ExecContext(w.t.Context(), "LOCK TABLES "+table+" WRITE")
	require.NoError(w.t, err)
	return func() {
		_, err := conn.ExecContext(context.Background(), "UNLOCK TABLES")
		assert.NoError(w.t, err)
		_ = conn.Close()
	}
}

// waitsForLock returns the session whose insert waits.
func (w *world) waitsForLock() (id string) {
	db := w.root(0)
	require.Eventually(w.t, func() bool {
		return db.QueryRow("SELECT id FROM information_schema.processlist WHERE info LIKE 'INSERT INTO%' AND state LIKE 'Waiting%'").Scan(&id) == nil
	}, 30*time.Second, 5*time.Millisecond)
	return id
}

func (w *world) rows() (n int) {
	_ = w.root(0).QueryRow("SELECT COUNT(*) FROM " + table).Scan(&n)
	return n
}

// After a switch-over that leaves old connections hanging, each kept connection
// has one bad moment, as an application's have, and new ones have none.
func TestMySQLWritePooledSuffersWhatApplicationsDo(t *testing.T) {
	w := newWorld(t, 2, 8)
	r := newRelay(t, w.c.Members[0].Address())
	pooled := open(t, w.kind, w.subject(r.address, drills.Pooled, 4))
	fresh := open(t, w.kind, w.subject(r.address, drills.Fresh, 4))
	for range 4 {
		require.Equal(t, timeline.OK, look(t, pooled).Class)
	}
	w.sql(1, "STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only=OFF")
	r.hold()
	r.leadTo(w.c.Members[1].Address())
	count := map[timeline.Class]int{}
	by := map[string]int{}
	for i := range 8 {
		patience := probetest.Patience
		if i < 4 { // the connections are taken in turn
			patience = probetest.Timeout
		}
		o, _ := probetest.Look(t, pooled, patience)
		count[o.Class]++
		by[o.By]++
		require.Equal(t, timeline.OK, look(t, fresh).Class)
	}
	assert.Equal(t, map[timeline.Class]int{timeline.Timeout: 4, timeline.OK: 4}, count)
	assert.Equal(t, map[string]int{"db-1": 4, "db-2": 4}, by, "who answered, or should have")
}

func TestMySQLWriteRefusesNonsense(t *testing.T) {
	for with, says := range map[string]string{`{"table":"a-b"}`: "table", `{"payload":-1}`: "payload", `{"payload":70000}`: "payload"} {
		_, err := probes.All().Build("mysql-write", []byte(with))
		assert.ErrorContains(t, err, says)
	}
	k := build(t, "mysql-write", `{}`)
	_, err := k.Open(t.Context(), drills.Subject{Client: drills.Fresh})
	assert.ErrorContains(t, err, "ledger")
	_, err = k.Open(t.Context(), drills.Subject{Client: drills.Fresh, Ledger: &ledger.File{}})
	assert.ErrorContains(t, err, "component")
}
