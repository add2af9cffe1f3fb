package truthtest

import (
	"context"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A runner that is stopped now and then, for up to 3 s, reports wider bounds; the
// truth is inside them, and the stops make no outage.
func TestRunnerThatIsStoppedStillTellsTheTruth(t *testing.T) {
	needsServers(t)
	sites, looks := draft(30, 70, 14)
	// One server is never down: what is reported there is made up.
	sites = append(sites, site{Addr: "127.0.1.200:8080", Steps: []step{}})
	looks = append(looks, look{Addr: "127.0.1.200:8080", Every: 20 * time.Millisecond, Timeout: 300 * time.Millisecond})
	served := serve(t, sites)
	runner := start(t, "runner", looks)
	stopped := stopAndGo(t, runner, served.done)
	require.NoError(t, runner.in.Close())
	var rec recording
	require.NoError(t, runner.out.Decode(&rec), "the runner's recording")

	sc := score{modes: map[string]int{}}
	for i := range sites {
		require.Len(t, served.facts[i], len(sites[i].Steps), "site %d: the servers did not report every outage", i)
		newJudge(t, looks[i], rec, i, served, &sc).run()
	}
	var gaps time.Duration
	for _, g := range rec.Gaps {
		gaps += time.Duration(g.To - g.From)
	}
	t.Logf("stopped %v in all; %d gaps of %v in all recorded", stopped, len(rec.Gaps), gaps)
	t.Logf("%d outages matched (%d of them merged with another), %d not to be seen, %d wrong statements and %d more where the machine held requests up; by mode %v",
		sc.matched, sc.merged, sc.missed, sc.wrong, sc.excused, sc.modes)
	require.Zero(t, sc.wrong)
	require.LessOrEqual(t, sc.excused, 1+sc.matched/30, "the machine holds up too many requests for this test to say anything")
	require.GreaterOrEqual(t, gaps, stopped, "the runner did not notice all of its stops")
	require.Greater(t, sc.matched, 30)
}

// stopAndGo stops and continues the process at random until done, and for half a
// second more lets it run; it returns for how long the process was stopped.
func stopAndGo(t *testing.T, p *process, done <-chan struct{}) (stopped time.Duration) {
	r := rand.New(rand.NewPCG(3, 0))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-done
		cancel()
	}()
	for wait(ctx, time.Second+time.Duration(r.Int64N(2e9))) {
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
		begin := time.Now()
		wait(t.Context(), 200*time.Millisecond+time.Duration(r.Int64N(28e8)))
		stopped += time.Since(begin)
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
	}
	wait(t.Context(), 500*time.Millisecond)
	return stopped
}
