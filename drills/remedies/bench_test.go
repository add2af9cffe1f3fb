package remedies_test

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/mysqltest"
)

// pairs is how many pairs of promotions one operation of the benchmark is.
const pairs = 10

// BenchmarkPromotion kills the primary of three real servers behind a real proxy
// and promotes a replica, in turns by hand (see byHand) and with the remedies as
// the engine applies them: journaled to disk and recorded. Time counts from the
// moment the primary is gone until the proxy leads to the new one and the other
// replica was told to follow it. Added is the difference within a pair; pairs
// are neighbours in time, so that what else the machine does cancels out.
func BenchmarkPromotion(b *testing.B) {
	for _, flavour := range mysqltest.Flavours {
		b.Run(flavour, func(b *testing.B) {
			w := newBenchWorld(b, flavour)
			var hand, product, added []time.Duration
			for b.Loop() {
				for range pairs {
					h, p := w.pair(len(added)%2 == 0)
					hand, product, added = append(hand, h), append(product, p), append(added, p-h)
				}
			}
			reportTimes(b, "hand", hand)
			reportTimes(b, "product", product)
			reportTimes(b, "added", added)
			b.ReportMetric(float64(len(added)), "pairs")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func reportTimes(b *testing.B, name string, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(all[len(all)/2].Seconds()*1e3, name+"-p50-ms")
	b.ReportMetric(all[len(all)*9/10].Seconds()*1e3, name+"-p90-ms")
}

// benchWorld is a component with a proxy, and what a run has open.
type benchWorld struct {
	*mysqltest.Rig
	b   *testing.B
	rec *recorder
	// conns are the operator's connections, open before anything breaks.
	conns map[string]*sql.DB
}

func newBenchWorld(b *testing.B, flavour string) *benchWorld {
	w := &benchWorld{Rig: mysqltest.New(b, flavour, 3), b: b, rec: newRecorder(b), conns: map[string]*sql.DB{}}
	w.Route()
	for _, n := range w.K.Nodes {
		c, err := mysql.Connector(w.K.Config, n.Member.Address(), 0)
		require.NoError(b, err)
		w.conns[n.Name()] = sql.OpenDB(c)
		b.Cleanup(func() { w.conns[n.Name()].Close() })
	}
	return w
}

// pair promotes by hand and with the product; neither gains from coming first.
func (w *benchWorld) pair(handFirst bool) (hand, product time.Duration) {
	if handFirst {
		hand = w.promotion(w.byHand)
		return hand, w.promotion(w.byProduct)
	}
	product = w.promotion(w.byProduct)
	return w.promotion(w.byHand), product
}

// promotion breaks the component, times how it is healed, looks whether clients
// are served again, and makes the component whole.
func (w *benchWorld) promotion(promote func(topology.State)) time.Duration {
	w.b.Helper()
	st := w.Discover()
	p := st.With(topology.Primary)
	require.Len(w.b, p, 1, "%+v", st)
	for _, db := range w.conns {
		require.NoError(w.b, db.PingContext(w.b.Context()))
	}
	// Nothing may be lost: a primary that has more than its successor cannot rejoin.
	w.Insert(p[0], 20)
	w.CaughtUp()
	w.Kill(p[0])
	began := time.Now()
	promote(st)
	took := time.Since(began)
	w.served(p[0])
	w.Start(p[0])
	_, steps, err := w.Restore(st)
	require.NoError(w.b, err, "%+v", steps)
	w.CaughtUp()
	return took
}

// served: a write through the proxy succeeds, on another member than before, and
// reaches the replica that is left.
func (w *benchWorld) served(before string) {
	w.b.Helper()
	c, err := mysql.Connector(w.K.Config, w.Proxy.Address, limit)
	require.NoError(w.b, err)
	db := sql.OpenDB(c)
	defer db.Close()
	var id int
	require.NoError(w.b, db.QueryRowContext(w.b.Context(), "SELECT @@server_id").Scan(&id))
	require.NotEqual(w.b, before, fmt.Sprintf("db-%d", id))
	_, err = db.ExecContext(w.b.Context(), "INSERT INTO firedrill.t (w) VALUES ('served')")
	require.NoError(w.b, err)
	w.CaughtUp()
	require.Len(w.b, w.Discover().With(topology.Replica), 1)
}

const limit = time.Minute

// byProduct is what the engine does from the moment it sees clients fail.
func (w *benchWorld) byProduct(st topology.State) {
	for _, kind := range []string{"mysql-failover", "route-switch"} {
		r := remedy(w.b, kind, "")
		w.rec.from = w.rec.note(timeline.RemedyBegan{Remedy: kind, Kind: kind, Target: w.C.Name()})
		w.rec.name = kind
		require.NoError(w.b, r.Apply(w.b.Context(), target(w.Rig, st), w.rec))
		w.rec.note(timeline.RemedyEnded{Remedy: kind, Outcome: "done"})
	}
}
