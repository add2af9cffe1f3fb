package mysql_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/gtid"
	"firedrill/drills/topology/mysql/mysqltest"
)

// randomSet is a GTID set of two servers, with and without tags.
func randomSet(rng *rand.Rand) string {
	uuids := []string{"3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"}
	var parts []string
	for _, u := range uuids {
		for _, tag := range []string{"", ":blue", ":_red9"} {
			var spans []string
			for range rng.IntN(4) {
				from := 1 + rng.IntN(40)
				spans = append(spans, fmt.Sprintf("%d-%d", from, from+rng.IntN(9)))
			}
			if len(spans) > 0 {
				parts = append(parts, u+tag+":"+strings.Join(spans, ":"))
			}
		}
	}
	rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return strings.Join(parts, ",")
}

// Our algebra is the server's.
func TestSetAlgebraAgainstServer(t *testing.T) {
	r := mysqltest.New(t, mysql.MySQL, 1)
	rng := rand.New(rand.NewPCG(1, 2))
	parse := func(text string) gtid.Set {
		s, err := gtid.ParseSet(text)
		require.NoError(t, err, text)
		return s
	}
	for range 300 {
		a, b := randomSet(rng), randomSet(rng)
		d := parse(a).Subtract(parse(b))
		server := r.Ask("db-1", "SELECT GTID_SUBTRACT(?, ?)", a, b)
		require.Equal(t, parse(server).String(), d.Text, "%s minus %s", a, b)
		require.Equal(t, strings.ReplaceAll(server, "\n", ""), d.Text, "notation")
		subset := r.Ask("db-1", "SELECT GTID_SUBSET(?, ?)", a, b)
		require.Equal(t, subset == "1", parse(b).Contains(parse(a)), "%s in %s", a, b)
		union := parse(a).Union(parse(b))
		require.Equal(t, "1", r.Ask("db-1", "SELECT GTID_SUBSET(?, ?) AND GTID_SUBSET(?, ?) AND GTID_SUBTRACT(GTID_SUBTRACT(?, ?), ?) = ''",
			a, union.String(), b, union.String(), union.String(), a, b))
	}
}

// A transaction with a tag (MySQL 8.3 and later) is compared like any other.
func TestTaggedTransactions(t *testing.T) {
	r := mysqltest.New(t, mysql.MySQL, 2)
	r.Do("db-1", "SET GLOBAL super_read_only=OFF")
	db, err := r.Server("db-1").Root()
	require.NoError(t, err)
	defer db.Close()
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer c.Close()
	for _, q := range []string{"SET gtid_next='AUTOMATIC:drill'", "INSERT INTO firedrill.t (w) VALUES ('x')", "SET gtid_next='AUTOMATIC'"} {
		_, err = c.ExecContext(t.Context(), q)
		require.NoError(t, err, q)
	}
	r.CaughtUp()
	st, err := r.K.Node("db-2").Server.State(t.Context())
	require.NoError(t, err)
	assert.Contains(t, st.Executed.String(), ":drill:1")
	assert.Contains(t, st.Link.Received.String(), ":drill:1")
}

func TestKillSessions(t *testing.T) {
	each(t, 2, func(t *testing.T, r *mysqltest.Rig) {
		s, err := mysql.Open(r.K.Config.AsApplication(), r.Servers[0].Address)
		require.NoError(t, err)
		defer s.Close()
		require.NoError(t, s.Ping(t.Context()))
		require.NoError(t, s.Exec(t.Context(), "SET @mine = 1"))
		admin := r.K.Node("db-1").Server
		n, err := admin.KillSessions(t.Context())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n, 1)
		r.Insert("db-1", 1)
		r.CaughtUp() // replication was not cut
	})
}

// What does not lead to a replica being applied is said in the error, and no
// password is.
func TestFollowErrors(t *testing.T) {
	each(t, 2, func(t *testing.T, r *mysqltest.Rig) {
		srv := r.K.Node("db-2").Server
		require.ErrorContains(t, srv.PointAt(t.Context(), "nowhere"), "want host:port")
		h := r.K.Look(t.Context(), r.K.Node("db-1"))[0].State.Executed
		require.NoError(t, srv.WaitApplied(t.Context(), h, limit))
		r.Do("db-2", "STOP "+r.Word()+" SQL_THREAD")
		r.Insert("db-1", 2)
		h = r.K.Look(t.Context(), r.K.Node("db-1"))[0].State.Executed
		err := srv.WaitApplied(t.Context(), h, limit)
		assert.ErrorContains(t, err, "are received and not applied: the applier does not run")
	})
}
