package truthtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// A stall of 0.5 s at event A and an outage of 2 s at event B are attributed to A
// and B; what begins after the drill began to revert is charged to neither.
func TestOutagesAreAttributedToTheirEvents(t *testing.T) {
	needsServers(t)
	const every, timeout = 20 * time.Millisecond, time.Second
	addr := "127.0.1.201:8080"
	served := serve(t, []site{{Addr: addr, Steps: []step{
		{Mode: drop, After: 2 * time.Second, For: 500 * time.Millisecond},
		{Mode: refuse, After: 2 * time.Second, For: 2 * time.Second},
		{Mode: reset, After: 2 * time.Second, For: 200 * time.Millisecond},
	}}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-served.done
		wait(ctx, 2*time.Second)
		cancel()
	}()
	rec := record(ctx, []look{{Addr: addr, Every: every, Timeout: timeout}})
	require.Len(t, served.facts[0], 3)

	var causes []verdict.Cause
	var took []time.Duration
	kinds := []string{verdict.CauseFault, verdict.CauseFault, verdict.CauseRevert}
	for i, f := range served.facts[0] {
		at := rec.Relation.interval(f.Down)
		causes = append(causes, verdict.Cause{Name: string("ABR"[i]), Kind: kinds[i], At: at})
		took = append(took, time.Duration(rec.Relation.interval(f.Up).Lo-at.Lo))
	}
	r := verdict.Readings{Samples: rec.Samples[0], Gaps: rec.Gaps, Every: every, Timeout: timeout}
	outages := r.Outages()
	require.Len(t, outages, 3, "%+v", outages)
	require.Equal(t, causes, verdict.Attribute(outages, causes))

	stable := timeline.Stable{For: 300 * time.Millisecond, Samples: 5, Share: 0.5}
	for i, name := range []string{"A", "B"} {
		w := verdict.WindowOf(causes, i)
		w.By = causes[i+1].At.Lo
		got := r.Recovery(w, stable, 0)
		t.Logf("event %s: took %v, reported [%v, %v], stable %v later", name, took[i], got.Lo, got.Hi, time.Duration(got.StableAt-got.End.Hi))
		require.True(t, got.Recovered, "%s: %+v", name, got)
		require.Equal(t, outages[i:i+1], got.Outages)
		require.LessOrEqual(t, got.Lo, took[i])
		require.GreaterOrEqual(t, got.Hi, took[i])
	}
}
