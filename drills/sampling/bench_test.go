package sampling_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// BenchmarkLateness samples for 5 s at a fixed rate, in ten series, and reports
// how late the samples started and how many were lost.
func BenchmarkLateness(b *testing.B) {
	for _, rate := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("%dps", rate), func(b *testing.B) {
			for b.Loop() {
				report(b, many(b, 10, 5*time.Second, sampling.Series{
					Every: 10 * time.Second / time.Duration(rate), Timeout: time.Second,
					Observer: probe(func(context.Context) sampling.Observation {
						return sampling.Observation{Class: timeline.OK}
					}),
				}), rate*5)
			}
		})
	}
}

// BenchmarkHangingTarget samples at 1,000/s a target that accepts and does not
// answer for 30 s, for as long as that and half as long again: 30,000 samples are
// under way at once. They share a hundred TCP connections, as a connection for
// each is a matter of the limit of open files, not of the sampler.
// FIREDRILL_BENCH_HANG shortens the 30 s.
func BenchmarkHangingTarget(b *testing.B) {
	hang := 30 * time.Second
	if text := os.Getenv("FIREDRILL_BENCH_HANG"); text != "" {
		var err error
		hang, err = time.ParseDuration(text)
		require.NoError(b, err, "FIREDRILL_BENCH_HANG")
	}
	conns := deaf(b, 100)
	length := hang * 3 / 2
	for b.Loop() {
		samples := many(b, 1, length, sampling.Series{
			Every: time.Millisecond, Timeout: hang,
			Observer: probe(func(ctx context.Context) sampling.Observation {
				c := conns[rand.IntN(len(conns))]
				if _, err := c.Write([]byte("?")); err != nil {
					return sampling.Observation{Class: sampling.ClassOf(err), Detail: err.Error()}
				}
				<-ctx.Done() // nothing ever comes to be read
				return sampling.Observation{Class: sampling.ClassOf(ctx.Err())}
			}),
		})
		for _, s := range samples {
			if s.Class != timeline.NoData {
				require.Equal(b, timeline.Timeout, s.Class, s.Detail)
			}
		}
		report(b, samples, int(length/time.Millisecond))
	}
}

// deaf returns connections to a target that accepts and never answers.
func deaf(b *testing.B, n int) (conns []net.Conn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { _ = ln.Close() })
	for range n {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(b, err)
		b.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
		other, err := ln.Accept()
		require.NoError(b, err)
		b.Cleanup(func() { _ = other.Close() })
	}
	return conns
}

// many runs so many copies of a series, spread over its rhythm.
func many(b *testing.B, copies int, length time.Duration, s sampling.Series) (out []timeline.Sample) {
	ctx, cancel := context.WithTimeout(b.Context(), length)
	defer cancel()
	clock := timeline.NewClock()
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range copies {
		series := s
		series.Index, series.Phase = i, sampling.Spread(1, i, s.Every)
		all.Go(func() {
			err := series.Run(ctx, clock, func(s timeline.Sample) {
				mu.Lock()
				defer mu.Unlock()
				out = append(out, s)
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
	all.Wait()
	return out
}

// report reports lateness and losses. Lost are samples that have no record or
// could not be made for want of a lane, a descriptor or a port: there must be
// none. Paused are those that the machine did not let the runner make in time,
// be it that the benchmark ended before.
func report(b *testing.B, samples []timeline.Sample, want int) {
	var late []timeline.Offset
	lost, paused := max(0, want-len(samples)-10), 0 // the last of ten series may be due just after the end
	for _, s := range samples {
		switch {
		case s.Class != timeline.NoData:
			late = append(late, s.Start-s.Due)
		case strings.HasPrefix(s.Detail, "the runner was"), s.Detail == "stopped before it could start":
			paused++
		default:
			lost++
		}
	}
	slices.Sort(late)
	b.ReportMetric(time.Duration(late[len(late)/2]).Seconds()*1e3, "late-p50-ms")
	b.ReportMetric(time.Duration(late[len(late)*99/100]).Seconds()*1e3, "late-p99-ms")
	b.ReportMetric(float64(len(samples)), "samples")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(paused), "paused")
	b.ReportMetric(0, "ns/op")
	require.Zero(b, lost, "samples lost")
}
