package mysql_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
)

// scene is a state that a runner which died in the middle of a promotion can
// leave behind. p is the primary, a and b are the replicas.
type scene struct {
	name string
	make func(t *testing.T, r *mysqltest.Rig, p, a, b string)
	// want is who must be the primary afterwards: "p" or "a".
	want string
}

// freeze stops the receivers of replicas.
func freeze(t *testing.T, r *mysqltest.Rig, names ...string) {
	for _, n := range names {
		_, err := r.K.Freeze(t.Context(), r.K.Node(n))
		require.NoError(t, err)
	}
}

// promote opens a replica as the remedy does.
func promote(t *testing.T, r *mysqltest.Rig, name string) {
	require.NoError(t, r.K.Drain(t.Context(), r.K.Node(name), limit))
	require.NoError(t, r.K.Promote(t.Context(), r.K.Node(name), false))
}

func follow(t *testing.T, r *mysqltest.Rig, name, primary string) {
	_, err := r.K.Follow(t.Context(), r.K.Node(name), r.K.Node(primary), false)
	require.NoError(t, err)
}

func fence(t *testing.T, r *mysqltest.Rig, name string) {
	_, err := r.K.Fence(t.Context(), r.K.Node(name))
	require.NoError(t, err)
}

// The states in the order in which a promotion passes through them.
var scenes = []scene{
	{"nothing happened", func(*testing.T, *mysqltest.Rig, string, string, string) {}, "p"},
	{"primary crashed and came back read-only", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		r.Start(p)
	}, "p"},
	{"fenced read-only", func(t *testing.T, r *mysqltest.Rig, p, a, b string) { fence(t, r, p) }, "p"},
	{"one receiver frozen", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		fence(t, r, p)
		freeze(t, r, a)
	}, "p"},
	{"frozen with the primary still writing", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		freeze(t, r, a, b)
		r.Insert(p, 7)
	}, "p"},
	{"crashed with writes nobody received", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		freeze(t, r, a, b)
		r.Insert(p, 5)
		r.Kill(p)
		r.Start(p)
	}, "p"},
	{"candidate drained", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		fence(t, r, p)
		freeze(t, r, a, b)
		require.NoError(t, r.K.Drain(t.Context(), r.K.Node(a), limit))
	}, "p"},
	{"candidate detached", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		fence(t, r, p)
		freeze(t, r, a, b)
		require.NoError(t, r.K.Node(a).Server.Detach(t.Context()))
	}, "p"},
	{"candidate detached, primary crashed and back", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		require.NoError(t, r.K.Node(a).Server.Detach(t.Context()))
		r.Start(p)
	}, "p"},
	{"candidate open", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		r.Start(p)
	}, "a"},
	{"candidate open and written to", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		r.Insert(a, 3)
		r.Start(p)
	}, "a"},
	{"other replica stopped on its way to the new primary", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		r.Insert(a, 3)
		require.NoError(t, r.K.Node(b).Server.StopReplica(t.Context()))
		r.Start(p)
	}, "a"},
	{"promotion done, old primary back", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		follow(t, r, b, a)
		r.Insert(a, 3)
		r.Start(p)
	}, "a"},
	{"promotion done, new primary crashed too", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		r.Insert(a, 3)
		r.Kill(a)
		r.Start(p)
		r.Start(a)
	}, "a"},
	{"old primary came back writable", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		follow(t, r, b, a)
		r.Start(p)
		require.NoError(t, r.K.Node(p).Server.SetReadOnly(t.Context(), false))
	}, "a"},
	{"new primary read-only again and old one writable", func(t *testing.T, r *mysqltest.Rig, p, a, b string) {
		r.Kill(p)
		freeze(t, r, a, b)
		promote(t, r, a)
		r.Insert(a, 2)
		require.NoError(t, r.K.Node(a).Server.SetReadOnly(t.Context(), true))
		r.Start(p)
		require.NoError(t, r.K.Node(p).Server.SetReadOnly(t.Context(), false))
	}, "a"},
}

const limit = 30e9

func TestRestoreFromEveryState(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		for _, s := range scenes {
			keep := r.Discover()
			require.Len(t, keep.With(topology.Primary), 1, "before %q", s.name)
			p, rs := keep.With(topology.Primary)[0], keep.With(topology.Replica)
			require.Len(t, rs, 2, "before %q", s.name)
			r.Insert(p, 2)
			r.CaughtUp()
			s.make(t, r, p, rs[0], rs[1])
			want := map[string]string{"p": p, "a": rs[0]}[s.want]
			rows := r.Rows(want)
			out, steps, err := r.Restore(keep)
			require.NoError(t, err, "%s: %+v", s.name, steps)
			ok := assert.Equal(t, []string{want}, out.State.With(topology.Primary), "%s: %+v", s.name, steps)
			ok = assert.Len(t, out.State.With(topology.Replica), 2, s.name) && ok
			ok = assert.Empty(t, out.KeptOut, s.name) && assert.Empty(t, out.Errant, s.name) && ok
			require.True(t, ok, "%s: %+v", s.name, r.Discover())
			r.Insert(want, 1)
			r.CaughtUp()
			for _, m := range r.Servers {
				assert.Equal(t, r.Ask(want, "SELECT "+rows+"+1"), r.Rows(m.Name), "%s: rows on %s", s.name, m.Name)
			}
			// Again, there is nothing to do.
			_, steps, err = r.Restore(keep)
			require.NoError(t, err, s.name)
			assert.Len(t, steps, 1, "%s: %+v", s.name, steps)
		}
	})
}

// The old primary has transactions that nobody received: it is kept out, and
// they are listed exactly.
func TestRestoreKeepsDivergedMemberOut(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		keep := r.Discover()
		r.Insert("db-1", 3)
		r.CaughtUp()
		freeze(t, r, "db-2", "db-3")
		r.Insert("db-1", 5)
		r.Kill("db-1")
		promote(t, r, "db-2")
		r.Insert("db-2", 4)
		follow(t, r, "db-3", "db-2")
		r.Start("db-1")
		// Harder: it comes back writable and takes two more.
		require.NoError(t, r.K.Node("db-1").Server.SetReadOnly(t.Context(), false))
		r.Insert("db-1", 2)

		out, steps, err := r.Restore(keep)
		require.NoError(t, err, "%+v", steps)
		assert.Equal(t, []string{"db-2"}, out.State.With(topology.Primary))
		assert.Equal(t, []string{"db-3"}, out.State.With(topology.Replica))
		assert.Equal(t, []string{"db-1"}, out.State.With(topology.Detached))
		assert.Contains(t, out.KeptOut["db-1"], "7 (")
		assert.Equal(t, fmt.Sprintf("7 (%s)", surplus(t, r)), out.Errant["db-1"])
		assert.Equal(t, "1", r.Ask("db-1", "SELECT @@global.read_only"))
		// It stays out, however often.
		out, _, err = r.Restore(keep)
		require.NoError(t, err)
		assert.Contains(t, out.Errant, "db-1")
	})
}

// surplus asks the servers themselves what db-1 has and db-2 lacks.
func surplus(t *testing.T, r *mysqltest.Rig) string {
	if r.Flavour == mysql.MySQL {
		return r.Ask("db-1", "SELECT LOWER(REPLACE(GTID_SUBTRACT(?, ?), '\n', ''))",
			r.Ask("db-1", "SELECT @@global.gtid_executed"), r.Ask("db-2", "SELECT @@global.gtid_executed"))
	}
	return binlogSurplus(t, r)
}

// A reachable replica that received more than the others is the one to open, and
// a primary that does not answer makes the restore incomplete, but not idle.
func TestRestoreWithoutPrimary(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		keep := r.Discover()
		freeze(t, r, "db-2")
		r.Insert("db-1", 6)
		r.Eventually(func() error {
			if r.Rows("db-3") != r.Rows("db-1") {
				return fmt.Errorf("db-3 has %s", r.Rows("db-3"))
			}
			return nil
		})
		r.Kill("db-1")
		out, steps, err := r.Restore(keep)
		require.ErrorContains(t, err, "db-1: it does not answer", "%+v", steps)
		assert.Equal(t, []string{"db-3"}, out.State.With(topology.Primary))
		assert.Equal(t, []string{"db-2"}, out.State.With(topology.Replica))
		assert.Contains(t, out.KeptOut["db-1"], "connection refused")
		r.CaughtUp()
		assert.Equal(t, r.Rows("db-3"), r.Rows("db-2"))
	})
}
