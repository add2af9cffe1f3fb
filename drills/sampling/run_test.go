package sampling_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

const ms = timeline.Offset(time.Millisecond)

// probe is an observer made of a function.
type probe func(ctx context.Context) sampling.Observation

func (p probe) Observe(ctx context.Context) sampling.Observation { return p(ctx) }

// answers answers after a time, or says timeout at its deadline.
func answers(after time.Duration) probe {
	return func(ctx context.Context) sampling.Observation {
		select {
		case <-time.After(after):
			return sampling.Observation{Class: timeline.OK, By: "db-1"}
		case <-ctx.Done():
			return sampling.Observation{Class: timeline.Timeout, Detail: "still waiting"}
		}
	}
}

// sampled runs a series for a time and returns its samples by number, and when
// Run returned.
func sampled(t *testing.T, s sampling.Series, length time.Duration) ([]timeline.Sample, timeline.Offset) {
	t.Helper()
	clock := timeline.NewClock()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var mu sync.Mutex
	var out []timeline.Sample
	require.NoError(t, s.Run(ctx, clock, func(s timeline.Sample) {
		mu.Lock()
		defer mu.Unlock()
		out = append(out, s)
	}))
	ended := clock.Now()
	slices.SortFunc(out, func(a, b timeline.Sample) int { return int(a.N - b.N) })
	for n, s := range out {
		require.Equal(t, int64(n), s.N, "every number is there once")
	}
	return out, ended
}

func TestSamplesAreDueWhateverHappenedToTheOnesBefore(t *testing.T) {
	for name, after := range map[string]time.Duration{"prompt": time.Millisecond, "slow": 90 * time.Millisecond, "never": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := sampling.Series{
					Index: 3, Every: 10 * time.Millisecond, Timeout: 100 * time.Millisecond,
					Phase: 7 * time.Millisecond, Observer: answers(after),
				}
				got, _ := sampled(t, s, 205*time.Millisecond)
				require.Len(t, got, 20)
				for n, s := range got {
					due := 7*ms + timeline.Offset(n)*10*ms
					require.Equal(t, 3, s.Series)
					require.Equal(t, due, s.Due)
					require.Equal(t, due, s.Start)
					require.Equal(t, due+min(timeline.Offset(after), 100*ms), s.End)
					require.Equal(t, after < time.Minute, s.Class == timeline.OK)
				}
			})
		})
	}
}

func TestConcurrencyCapCostsNoDataAndIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, _ := sampled(t, sampling.Series{
			Every: 10 * time.Millisecond, Timeout: 100 * time.Millisecond,
			Concurrency: 3, Observer: answers(time.Hour),
		}, 95*time.Millisecond)
		require.Len(t, got, 10)
		for n, s := range got {
			if n < 3 {
				require.Equal(t, timeline.Timeout, s.Class)
				require.Equal(t, "still waiting", s.Detail)
				continue
			}
			due := timeline.Offset(n) * 10 * ms
			require.Equal(t, timeline.Sample{
				N: int64(n), Due: due, Start: due, End: due, Class: timeline.NoData,
				Detail: "3 samples were under way already",
			}, s)
		}
	})
}

func TestDefaultConcurrencyLosesNothingToATargetThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, _ := sampled(t, sampling.Series{
			Every: time.Millisecond, Timeout: 30 * time.Second, Observer: answers(time.Hour),
		}, 60*time.Second-time.Microsecond)
		require.Len(t, got, 60_000)
		for _, s := range got {
			require.Equal(t, timeline.Timeout, s.Class)
		}
	})
}

// A probe that does not keep to its deadline is not waited for, its late answer
// is not believed, and it goes on holding its lane.
func TestProbeThatOverrunsIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf := probe(func(context.Context) sampling.Observation {
			<-time.After(time.Second)
			return sampling.Observation{Class: timeline.OK}
		})
		got, ended := sampled(t, sampling.Series{
			Every: 10 * time.Millisecond, Timeout: 50 * time.Millisecond, Concurrency: 4, Observer: deaf,
		}, 95*time.Millisecond)
		require.Len(t, got, 10)
		require.Equal(t, timeline.Timeout, got[3].Class)
		require.Equal(t, "no answer within 50ms", got[3].Detail)
		require.InDelta(t, float64(80*ms), float64(got[3].End), float64(5*ms))
		require.Equal(t, timeline.NoData, got[9].Class, "the lanes are not free before the probes return")
		require.Less(t, ended, 100*ms)
		<-time.After(2 * time.Second) // fake time: the probes end
	})
}

// A runner that slept does not fire at once all that it missed.
func TestPauseIsNoDataNotABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := timeline.NewClock()
		ctx, cancel := context.WithTimeout(t.Context(), 995*time.Millisecond)
		defer cancel()
		var mu sync.Mutex
		var got []timeline.Sample
		// The sink is called from the scheduler for no data only; the cap makes
		// sample 20 such a one, and its sink stands for the pause.
		s := sampling.Series{Every: 10 * time.Millisecond, Timeout: time.Second, Concurrency: 1}
		first := make(chan struct{})
		s.Observer = probe(func(ctx context.Context) sampling.Observation {
			if clock.Now() == 190*ms {
				<-first
			}
			return sampling.Observation{Class: timeline.OK}
		})
		require.NoError(t, s.Run(ctx, clock, func(s timeline.Sample) {
			mu.Lock()
			got = append(got, s)
			mu.Unlock()
			if s.N == 20 {
				close(first)
				<-time.After(505 * time.Millisecond)
			}
		}))
		slices.SortFunc(got, func(a, b timeline.Sample) int { return int(a.N - b.N) })
		require.Len(t, got, 100)
		for n, s := range got {
			switch {
			case n == 20:
				require.Equal(t, timeline.NoData, s.Class)
			case n > 20 && n < 69: // due at 210…680 ms, seen at 705 ms
				require.Equal(t, timeline.NoData, s.Class, "%+v", s)
				require.Equal(t, s.Due, s.Start)
				require.Contains(t, s.Detail, "late")
			case n == 69 || n == 70: // at most 20 ms late: still worth a look
				require.Contains(t, []timeline.Class{timeline.OK, timeline.NoData}, s.Class)
			default:
				require.Equal(t, timeline.OK, s.Class)
				require.Equal(t, s.Due, s.Start)
			}
		}
	})
}

func TestStopLetsSamplesUnderWayFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sampling.Series{Every: 10 * time.Millisecond, Timeout: time.Second, Observer: answers(300 * time.Millisecond)}
		got, ended := sampled(t, s, 95*time.Millisecond)
		require.Len(t, got, 10)
		require.Equal(t, 390*ms, ended)
		for _, s := range got {
			require.Equal(t, timeline.OK, s.Class)
		}
	})
}

func TestGraceEndsWhatIsStillUnderWayAsNoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sampling.Series{
			Every: 10 * time.Millisecond, Timeout: time.Minute, Grace: 200 * time.Millisecond,
			Observer: answers(time.Hour),
		}
		got, ended := sampled(t, s, 95*time.Millisecond)
		require.Len(t, got, 10)
		require.InDelta(t, float64(295*ms), float64(ended), float64(6*ms))
		for _, s := range got {
			require.Equal(t, timeline.NoData, s.Class)
			require.Equal(t, s.Due, s.End)
			require.Equal(t, "stopped before there was an answer", s.Detail)
		}
	})
}

func TestDetailIsCutToItsFirstLine(t *testing.T) {
	for said, want := range map[string]string{
		"one\ntwo":                      "one",
		"\n one\r\ntwo":                 "one",
		strings.Repeat("x", 500):        strings.Repeat("x", 200),
		"x" + strings.Repeat("é", 150):  "x" + strings.Repeat("é", 99),
		strings.Repeat("x", 199) + "é.": strings.Repeat("x", 199),
	} {
		synctest.Test(t, func(t *testing.T) {
			got, _ := sampled(t, sampling.Series{
				Every: time.Second, Timeout: time.Second,
				Observer: probe(func(context.Context) sampling.Observation {
					return sampling.Observation{Class: timeline.Error, Detail: said, Stale: time.Second}
				}),
			}, time.Millisecond)
			require.Equal(t, want, got[0].Detail)
			require.Equal(t, 1000*ms, got[0].Stale)
		})
	}
}

func TestSpreadIsSeededAndWithinTheRhythm(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 100 {
		p := sampling.Spread(42, i, 50*time.Millisecond)
		require.Equal(t, p, sampling.Spread(42, i, 50*time.Millisecond))
		require.GreaterOrEqual(t, p, time.Duration(0))
		require.Less(t, p, 50*time.Millisecond)
		seen[p] = true
	}
	require.Greater(t, len(seen), 90)
}

func TestSeriesThatCannotRunSaysWhy(t *testing.T) {
	for want, s := range map[string]sampling.Series{
		"run series 1: every is 0s; it must be above 0":   {Index: 1, Timeout: 1, Observer: answers(0)},
		"run series 2: timeout is 0s; it must be above 0": {Index: 2, Every: 1, Observer: answers(0)},
		"run series 3: it has no probe":                   {Index: 3, Every: 1, Timeout: 1},
	} {
		require.EqualError(t, s.Run(t.Context(), timeline.NewClock(), nil), want)
	}
}
