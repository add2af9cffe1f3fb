package probes_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/probes/probetest"
)

// BenchmarkFirstToken streams answers of a simulated vendor in the same process, one
// or many at a time, and reports by how much a probe is late with the first token:
// its moment against the vendor's own, taken just before it is written.
func BenchmarkFirstToken(b *testing.B) {
	for _, streams := range []int{1, 50} {
		for _, client := range []drills.Client{drills.Fresh, drills.Pooled} {
			b.Run(fmt.Sprintf("streams=%d/%s", streams, client), func(b *testing.B) { firstTokens(b, streams, client) })
		}
	}
}

func firstTokens(b *testing.B, streams int, client drills.Client) {
	v := startVendor(b, 5*time.Millisecond)
	s := vendorSubject(b, v, client, "")
	s.Lanes = streams
	p := open(b, build(b, "llm-chat", `{"stream":true}`), s)
	first := map[string]timeline.Offset{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan bool)
	for range streams {
		wg.Go(func() {
			for range work {
				o, _ := probetest.Look(b, p, 10*time.Second)
				mu.Lock()
				first[o.Request.ID] = o.Request.First
				mu.Unlock()
			}
		})
	}
	for b.Loop() {
		work <- true
	}
	close(work)
	wg.Wait()
	var late []time.Duration
	for _, e := range v.Log() {
		require.NotZero(b, first[e.ID], "a request that ended without a token")
		late = append(late, time.Duration(first[e.ID]-s.Clock.At(e.First)))
	}
	slices.Sort(late)
	for name, q := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
		at := late[min(int(q*float64(len(late))), len(late)-1)]
		b.ReportMetric(float64(at.Microseconds()), "first-token-error-us-"+name)
	}
}
