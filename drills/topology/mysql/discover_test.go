package mysql_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
	"firedrill/lab"
)

// each runs a test with three servers of each product.
func each(t *testing.T, n int, test func(*testing.T, *mysqltest.Rig)) {
	for _, f := range mysqltest.Flavours {
		t.Run(f, func(t *testing.T) { test(t, mysqltest.New(t, f, n)) })
	}
}

func of(st topology.State, member string) topology.MemberState {
	for _, m := range st.Members {
		if m.Member == member {
			return m
		}
	}
	return topology.MemberState{}
}

func TestDiscover(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		st := r.Discover()
		assert.Equal(t, []string{"db-1"}, st.With(topology.Primary))
		assert.Equal(t, []string{"db-2", "db-3"}, st.With(topology.Replica))
		for _, m := range st.Members {
			assert.Empty(t, m.Problem, m.Member)
			assert.Equal(t, r.Flavour, m.Facts["flavour"])
			assert.NotEmpty(t, m.Facts["gtid"])
		}
		assert.Equal(t, "db-1", of(st, "db-2").Facts["source_member"])
		assert.Equal(t, "running", of(st, "db-2").Facts["receiver"])
		assert.Contains(t, []string{"0s", "1s"}, of(st, "db-2").Facts["lag"], "servers count whole seconds")

		t.Run("receiver stopped", func(t *testing.T) {
			require.NoError(t, r.K.Node("db-2").Server.StopReceiver(t.Context()))
			m := of(r.Discover(), "db-2")
			assert.Equal(t, topology.Replica, m.Role)
			assert.Contains(t, m.Problem, "receiver is stopped")
			require.NoError(t, r.K.Node("db-2").Server.StartReceiver(t.Context()))
		})
		t.Run("stopped", func(t *testing.T) {
			require.NoError(t, r.K.Node("db-2").Server.StopReplica(t.Context()))
			m := of(r.Discover(), "db-2")
			assert.Equal(t, topology.Detached, m.Role)
			assert.Contains(t, m.Problem, "is stopped")
			require.NoError(t, r.K.Node("db-2").Server.StartReplica(t.Context()))
		})
		t.Run("down", func(t *testing.T) {
			r.Kill("db-3")
			m := of(r.Discover(), "db-3")
			assert.Equal(t, topology.Down, m.Role)
			assert.Contains(t, m.Problem, "connection refused")
		})
		t.Run("read-only primary", func(t *testing.T) {
			require.NoError(t, r.K.Node("db-1").Server.SetReadOnly(t.Context(), true))
			assert.Equal(t, topology.Detached, of(r.Discover(), "db-1").Role)
			require.NoError(t, r.K.Node("db-1").Server.SetReadOnly(t.Context(), false))
		})
	})
}

func TestDiscoverProblems(t *testing.T) {
	each(t, 1, func(t *testing.T, r *mysqltest.Rig) {
		r.Do("db-1", "CREATE USER 'low'@'127.%' IDENTIFIED BY 'pw'", "CREATE USER 'mid'@'127.%' IDENTIFIED BY 'pw'")
		if r.Flavour == mysql.MariaDB {
			r.Do("db-1", "GRANT REPLICA MONITOR, PROCESS ON *.* TO 'mid'@'127.%'")
		} else {
			r.Do("db-1", "GRANT REPLICATION CLIENT, PROCESS ON *.* TO 'mid'@'127.%'")
		}
		as := func(user, password string) topology.MemberState {
			t.Setenv("OTHER", password)
			r.Open(func(_ *topology.ComponentSpec, c *mysql.Config) { c.User, c.Password = user, "env:OTHER" })
			return r.Discover().Members[0]
		}
		m := as(lab.AdminUser, "not-it")
		assert.Equal(t, topology.Down, m.Role)
		assert.Contains(t, m.Problem, "login of \"firedrill_admin\" refused")
		assert.Contains(t, m.Problem, "env:OTHER")
		assert.NotContains(t, m.Problem, "not-it")

		m = as("low", "pw")
		assert.Equal(t, topology.Down, m.Role)
		assert.Regexp(t, `GRANT (SLAVE MONITOR|REPLICATION CLIENT) ON \*\.\* TO 'low'`, m.Problem)

		m = as("mid", "pw")
		assert.Equal(t, topology.Primary, m.Role)
		assert.Regexp(t, `cannot promote or re-point here: GRANT RELOAD, .*(REPLICATION SLAVE ADMIN|REPLICATION_SLAVE_ADMIN)`, m.Problem)
	})
}

// A server that accepts connections and says nothing, as a stopped process does.
func TestDiscoverHung(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	s, err := mysql.Open(mysql.Config{User: "u"}, l.Addr().String())
	require.NoError(t, err)
	defer s.Close()
	c := &topology.Component{Spec: topology.ComponentSpec{Name: "c", Kind: "mysql", With: []byte(`{"user":"u"}`)}}
	c.Members = []*topology.Member{{Spec: topology.MemberSpec{Name: "hung", Address: l.Addr().String()}}}
	k, err := mysql.OpenCluster(c)
	require.NoError(t, err)
	defer k.Close()
	p := k.Look(t.Context())
	assert.Contains(t, mysql.Problem(k.Config, "hung", p[0].Err), "no answer in time")
}
