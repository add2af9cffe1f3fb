package probes_test

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/lab"
	"firedrill/lab/labtest"
	"firedrill/probes"
)

// BenchmarkMySQLWriteLedger writes as fast as a real server lets it, in turns
// with the ledger and without, and reports the throughput with it as a share of
// that without. The server is durable and on disk; the ledger is not on the same
// one, as it is not when the runner is another machine: two that sync one disk
// wait for each other.
func BenchmarkMySQLWriteLedger(b *testing.B) {
	for _, writers := range []int{1, 4} {
		b.Run(fmt.Sprintf("durable/writers=%d", writers), func(b *testing.B) {
			real(b)
			compare(b, worldOf(b, labtest.Cluster(b, 1), inMemory(b), 2*writers), writers)
		})
		// The hardest case: nothing but the processors limits the server.
		b.Run(fmt.Sprintf("memory/writers=%d", writers), func(b *testing.B) {
			real(b)
			s := labtest.MariaDB(b, inMemory(b), "127.0.0.11:3306", 1)
			require.NoError(b, lab.Replicate(b.Context(), s))
			compare(b, worldOf(b, []*lab.Server{s}, b.TempDir(), 2*writers), writers)
		})
	}
}

// inMemory makes a directory on which syncs cost nothing.
func inMemory(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "fd-")
	require.NoError(b, err)
	require.NoError(b, os.Chmod(dir, 0o755))
	b.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func compare(b *testing.B, w *world, writers int) {
	on := open(b, w.kind, w.subject(w.c.Members[0].Address(), drills.Pooled, writers))
	off := open(b, w.kind, w.subject(w.c.Members[0].Address(), drills.Pooled, writers))
	probes.WithoutLedger(off)
	burst(b, on, writers)
	burst(b, off, writers)
	var ratios []float64
	var with time.Duration
	for turn := 0; b.Loop(); turn++ {
		var t, u time.Duration
		if turn%2 == 0 { // neither gains from coming first
			t, u = burst(b, on, writers), burst(b, off, writers)
		} else {
			u, t = burst(b, off, writers), burst(b, on, writers)
		}
		with += t
		ratios = append(ratios, u.Seconds()/t.Seconds())
	}
	slices.Sort(ratios) // neighbours on the machine spoil some turns: the median counts
	b.ReportMetric(ratios[len(ratios)/2], "on/off")
	b.ReportMetric(float64(b.N*burstLen)/with.Seconds(), "writes/s")
}

const burstLen = 200

// burst makes burstLen writes between all writers and says how long that took.
func burst(b *testing.B, p drills.Probe, writers int) time.Duration {
	start := time.Now()
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range burstLen / writers {
				if o := p.Observe(b.Context()); o.Class != timeline.OK {
					b.Errorf("%s: %s", o.Class, o.Detail)
				}
			}
		})
	}
	wg.Wait()
	require.False(b, b.Failed())
	return time.Since(start)
}
