package remedies_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
)

// A replica that has what the promoted one lacks is not made to follow it: MySQL
// would do so without a word.
func TestFailoverLeavesADivergedReplica(t *testing.T) {
	each(t, 3, func(t *testing.T, r *mysqltest.Rig) {
		st := r.Discover()
		p, a, b := roles(t, st)
		r.Insert(p, 3)
		r.CaughtUp()
		for _, n := range []string{a, b} {
			if r.Flavour == mysql.MySQL {
				r.Do(n, "SET GLOBAL super_read_only=OFF")
			}
			r.Do(n, fmt.Sprintf("CREATE TABLE firedrill.only_%s (i INT)", n[len(n)-1:]), "SET GLOBAL read_only=ON")
		}
		r.Kill(p)
		var log book
		require.NoError(t, remedy(t, "mysql-failover", `{"maxMissing":9}`).Apply(t.Context(), target(r, st), &log), "%+v", log.steps)
		best := log.step("promote").Member
		other := a
		if best == a {
			other = b
		}
		assert.Contains(t, log.step("point others").Detail, "left for later: "+other)
		assert.Contains(t, log.step("point others").Detail, "transactions that the primary lacks")
		look := r.K.Look(t.Context())
		assert.NotEqual(t, best, name(r.K.Source(look, look.Of(r.K.Node(other)))))
	})
}

func name(n *mysql.Node) string {
	if n == nil {
		return ""
	}
	return n.Name()
}
