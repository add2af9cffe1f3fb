package remedies_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/remedies"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
)

// book records what a remedy does, and can interrupt it.
type book struct {
	steps   []topology.Step
	at      []time.Time
	intents []string
	undos   []drills.Undo
	// breakAt is the Intend call that fails, counted from 1; 0 = none.
	breakAt int
}

var errInterrupted = errors.New("interrupted")

func (b *book) Intend(step string, u *drills.Undo) error {
	b.intents = append(b.intents, step)
	if u != nil {
		b.undos = append(b.undos, *u)
	}
	if len(b.intents) == b.breakAt {
		return errInterrupted
	}
	return nil
}

func (b *book) Step(s topology.Step) {
	b.steps, b.at = append(b.steps, s), append(b.at, time.Now())
}

// took is how long each step took, counted from the one before.
func (b *book) took(began time.Time) string {
	var out []string
	for i, s := range b.steps {
		out = append(out, fmt.Sprintf("%s %s", s.Name, b.at[i].Sub(began).Round(10*time.Microsecond)))
		began = b.at[i]
	}
	return strings.Join(out, ", ")
}

func (b *book) step(name string) topology.Step {
	for _, s := range b.steps {
		if s.Name == name {
			return s
		}
	}
	return topology.Step{}
}

func remedy(t testing.TB, kind, with string) drills.Remedy {
	t.Helper()
	r, err := remedies.All(builtin.Kinds()).Build(kind, json.RawMessage(with))
	require.NoError(t, err)
	return r
}

func each(t *testing.T, n int, test func(*testing.T, *mysqltest.Rig)) {
	for _, f := range mysqltest.Flavours {
		t.Run(f, func(t *testing.T) { test(t, mysqltest.New(t, f, n)) })
	}
}

func target(r *mysqltest.Rig, st topology.State) drills.Target {
	return drills.Target{Component: r.C, Members: r.C.Members, State: st}
}

// roles are the primary and the replicas of a healthy component.
func roles(t *testing.T, st topology.State) (p, a, b string) {
	t.Helper()
	ps, rs := st.With(topology.Primary), st.With(topology.Replica)
	require.Len(t, ps, 1, "%+v", st)
	require.Len(t, rs, 2, "%+v", st)
	return ps[0], rs[0], rs[1]
}

// heal brings the component back to a healthy whole.
func heal(t *testing.T, r *mysqltest.Rig, keep topology.State, restart string) {
	t.Helper()
	r.Start(restart)
	out, steps, err := r.Restore(keep)
	require.NoError(t, err, "%+v", steps)
	require.Empty(t, out.KeptOut)
	r.CaughtUp()
}

func TestFailoverOfDeadPrimary(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		st := r.Discover()
		p, a, b := roles(t, st)
		r.Insert(p, 5)
		r.CaughtUp()
		r.Kill(p)
		var log book
		began := time.Now()
		err := remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &log)
		took := time.Since(began)
		require.NoError(t, err, "%+v", log.steps)
		t.Logf("failover took %s: %s", took, log.took(began))
		assert.Less(t, took, 10*time.Second, "%+v", log.steps)
		assert.Equal(t, []string{"fence", "freeze receivers", "choose", "drain relay log", "point others", "promote"}, log.intents)
		assert.Contains(t, log.step("fence").Detail, "stopped")
		assert.Equal(t, a, log.step("promote").Member)
		now := r.Discover()
		assert.Equal(t, []string{a}, now.With(topology.Primary))
		assert.Equal(t, []string{b}, now.With(topology.Replica))
		r.Insert(a, 2)
		r.CaughtUp()
		assert.Equal(t, "7", r.Rows(a))
		assert.Equal(t, "7", r.Rows(b))

		// Once more on the same target: nothing is left to do.
		again := book{}
		require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &again))
		assert.Equal(t, []string{a}, r.Discover().With(topology.Primary))
		assert.NotContains(t, again.intents, "promote")
		heal(t, r, st, p)
	})
}

// The replica that received most is promoted, however little it has applied, and
// the other one follows it.
func TestFailoverChoosesMostAdvanced(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		st := r.Discover()
		p, a, b := roles(t, st)
		require.NoError(t, r.K.Node(a).Server.StopReceiver(t.Context()))
		// b receives everything and applies nothing: by lag it would look worst.
		r.Do(b, "STOP "+r.Word()+" SQL_THREAD")
		r.Insert(p, 20)
		r.Eventually(func() error {
			s := r.K.Look(t.Context(), r.K.Node(b))[0]
			if n := s.State.Link.Received.Subtract(s.State.Executed).Count; n < 20 {
				return fmt.Errorf("%s received %d", b, n)
			}
			return nil
		})
		r.Kill(p)
		var log book
		require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &log), "%+v", log.steps)
		assert.Equal(t, b, log.step("promote").Member)
		assert.Contains(t, log.step("choose").Detail, a+" lacks 20 (")
		assert.Equal(t, "20", r.Rows(b), "%+v", log.steps)
		r.CaughtUp()
		assert.Equal(t, "20", r.Rows(a))
		heal(t, r, st, p)
	})
}

// Replicas that fell behind a primary that is fenced and still answers catch up
// if they can; if not, nobody is promoted, and it is said by how much.
func TestFailoverRefusesToLose(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		st := r.Discover()
		p, a, b := roles(t, st)
		for _, n := range []string{a, b} {
			require.NoError(t, r.K.Node(n).Server.StopReceiver(t.Context()))
		}
		r.Insert(p, 9)
		var log book
		err := remedy(t, "mysql-failover", `{"maxMissing":8}`).Apply(t.Context(), target(r, st), &log)
		require.ErrorContains(t, err, "lacks 9 (")
		require.ErrorContains(t, err, "at most 8 are allowed")
		assert.Empty(t, r.Discover().With(topology.Primary), "the old one is fenced")
		assert.Contains(t, log.step("fence").Detail, "readOnly: ")

		// Restore undoes that, without loss.
		_, steps, err := r.Restore(st)
		require.NoError(t, err, "%+v", steps)
		assert.Equal(t, []string{p}, r.Discover().With(topology.Primary))
		r.CaughtUp()
		assert.Equal(t, "9", r.Rows(a))

		// With running receivers the rest is fetched first.
		r.Insert(p, 500)
		log = book{}
		require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &log), "%+v", log.steps)
		assert.Equal(t, "509", r.Rows(log.step("promote").Member))

		// And what is allowed to be missing is.
		st = r.Discover()
		_, _, err = r.Restore(st)
		require.NoError(t, err)
		st = r.Discover()
		p, a, b = roles(t, st)
		r.CaughtUp()
		for _, n := range []string{a, b} {
			require.NoError(t, r.K.Node(n).Server.StopReceiver(t.Context()))
		}
		r.Insert(p, 3)
		require.NoError(t, remedy(t, "mysql-failover", `{"maxMissing":3}`).Apply(t.Context(), target(r, st), &book{}))
		out, _, err := r.Restore(st)
		require.NoError(t, err)
		assert.Contains(t, out.Errant[p], "3 (")
	})
}

// Nothing is promoted while the old primary may take writes.
func TestFailoverNeedsAFence(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		st := r.Discover()
		p, _, _ := roles(t, st)
		m, err := r.C.Member(p)
		require.NoError(t, err)
		r.Kill(p)
		m.Control = nil // nobody can tell that it is really down
		err = remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &book{})
		require.ErrorContains(t, err, p+" is not proven to refuse writes, nothing is promoted")
		require.ErrorContains(t, err, "connection refused")
		require.ErrorContains(t, err, "has no control")
		assert.ErrorContains(t, err, "no route serves")
		assert.Empty(t, r.Discover().With(topology.Primary))
	})
}

// Interrupted before any of its steps, at whatever instant, the next Apply
// finishes the job, and Restore would as well.
func TestFailoverResumes(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		for n := 1; ; n++ {
			st := r.Discover()
			p, _, _ := roles(t, st)
			r.Insert(p, 2)
			r.CaughtUp()
			rows := r.Rows(p)
			r.Kill(p)
			log := book{breakAt: n}
			f := remedy(t, "mysql-failover", "")
			err := f.Apply(t.Context(), target(r, st), &log)
			if err == nil {
				require.Greater(t, n, 6)
				heal(t, r, st, p)
				break
			}
			require.ErrorIs(t, err, errInterrupted)
			where := log.intents[n-1]
			require.NoError(t, f.Apply(t.Context(), target(r, st), &book{}), "interrupted before %s", where)
			now := r.Discover()
			require.Len(t, now.With(topology.Primary), 1, where)
			require.Len(t, now.With(topology.Replica), 1, where)
			assert.Equal(t, rows, r.Rows(now.With(topology.Primary)[0]), where)
			heal(t, r, st, p)
		}
		for _, after := range []time.Duration{1, 3, 6, 10, 15, 25} {
			st := r.Discover()
			p, _, _ := roles(t, st)
			r.Insert(p, 2)
			r.CaughtUp()
			r.Kill(p)
			ctx, cancel := context.WithTimeout(t.Context(), after*time.Millisecond)
			f := remedy(t, "mysql-failover", "")
			err := f.Apply(ctx, target(r, st), &book{})
			cancel()
			t.Logf("cancelled after %d ms: %v", after, err)
			require.NoError(t, f.Apply(t.Context(), target(r, st), &book{}), "cancelled after %d ms", after)
			require.Len(t, r.Discover().With(topology.Primary), 1)
			heal(t, r, st, p)
		}
	})
}

// A primary that hangs does not hold the failover up for long: it is stopped.
func TestFailoverOfHungPrimary(t *testing.T) {
	r := mysqltest.New(t, mysql.MariaDB, 3)
	st := r.Discover()
	p, _, _ := roles(t, st)
	r.Hang(p)
	var log book
	require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &log), "%+v", log.steps)
	assert.Contains(t, log.step("fence").Detail, "stop: stopped")
	assert.Contains(t, log.step("fence").Detail, "SIGKILL")

	// What the fence stopped is started again, by another instance.
	require.Len(t, log.undos, 1)
	undo := remedy(t, "mysql-failover", "").(drills.Reverter)
	require.NoError(t, undo.Revert(t.Context(), log.undos[0]))
	require.NoError(t, undo.Revert(t.Context(), log.undos[0]))
	out, steps, err := r.Restore(st)
	require.NoError(t, err, "%+v", steps)
	assert.Len(t, out.State.With(topology.Replica), 2)
}

// Commits go on waiting for a replica after a failover, and the old primary
// confirms when it is back.
func TestFailoverKeepsSemiSync(t *testing.T) {
	r := mysqltest.NewSemiSync(t, 3)
	st := r.Discover()
	p, a, _ := roles(t, st)
	require.Equal(t, "ON", st.Members[0].Facts["semi_sync_active"])
	r.Insert(p, 3)
	r.Kill(p)
	var log book
	require.NoError(t, remedy(t, "mysql-failover", "").Apply(t.Context(), target(r, st), &log), "%+v", log.steps)
	assert.Contains(t, log.step("promote").Detail, "commits wait for a replica")
	r.Insert(a, 3)
	heal(t, r, st, p)
	r.Insert(a, 1)
	r.CaughtUp()
	r.Eventually(func() error {
		for _, m := range r.Discover().Members {
			switch {
			case m.Member == a && (m.Facts["semi_sync_active"] != "ON" || m.Facts["semi_sync_clients"] != "2"):
				return fmt.Errorf("%+v", m)
			case m.Member == p && (m.Facts["semi_sync_source"] != "OFF" || m.Facts["semi_sync_replica"] != "ON"):
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
}
