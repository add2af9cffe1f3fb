package probes_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/probes"
)

// BenchmarkMySQLWriteLedger writes as fast as a real server lets it, in turns
// with the ledger and without, and reports the throughput with it as a share of
// that without. The turns are long enough for the ledger's own syncs.
func BenchmarkMySQLWriteLedger(b *testing.B) {
	for _, writers := range []int{1, 4} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			w := newWorld(b, 1, 2*writers)
			on := open(b, w.kind, w.subject(w.c.Members[0].Address(), drills.Pooled, writers))
			off := open(b, w.kind, w.subject(w.c.Members[0].Address(), drills.Pooled, writers))
			probes.WithoutLedger(off)
			var with, without time.Duration
			for turn := 0; b.Loop(); turn++ {
				// Who comes first changes, so that neither gains from it.
				for i := range 2 {
					if (turn+i)%2 == 0 {
						with += burst(b, on, writers)
					} else {
						without += burst(b, off, writers)
					}
				}
			}
			b.ReportMetric(without.Seconds()/with.Seconds(), "on/off")
			b.ReportMetric(float64(b.N*burstLen)/with.Seconds(), "writes/s")
		})
	}
}

const burstLen = 1000

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
