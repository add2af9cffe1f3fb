package sampling_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
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

// BenchmarkHangingTarget samples at 1,000/s, over TCP, a target that accepts and
// does not answer for 30 s, for as long as that and half as long again.
// FIREDRILL_BENCH_HANG shortens the 30 s.
func BenchmarkHangingTarget(b *testing.B) {
	hang := 30 * time.Second
	if text := os.Getenv("FIREDRILL_BENCH_HANG"); text != "" {
		var err error
		hang, err = time.ParseDuration(text)
		require.NoError(b, err, "FIREDRILL_BENCH_HANG")
	}
	// The ports of one pair of addresses do not suffice for so many connections.
	var targets []string
	for i := range 4 {
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.%d:0", i+1))
		require.NoError(b, err)
		b.Cleanup(func() { _ = ln.Close() })
		go accept(ln)
		targets = append(targets, ln.Addr().String())
	}
	length := hang * 3 / 2
	for b.Loop() {
		samples := many(b, 1, length, sampling.Series{
			Every: time.Millisecond, Timeout: hang, Observer: probe(func(ctx context.Context) sampling.Observation {
				return hangOn(ctx, targets[int(time.Now().UnixMicro())%len(targets)])
			}),
		})
		for _, s := range samples {
			require.Contains(b, []timeline.Class{timeline.Timeout, timeline.NoData}, s.Class, s.Detail)
		}
		report(b, samples, int(length/time.Millisecond))
	}
}

// accept accepts connections and keeps them open until the other side closes.
func accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}()
	}
}

// hangOn waits for a byte that does not come.
func hangOn(ctx context.Context, addr string) sampling.Observation {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		defer c.Close()
		deadline, _ := ctx.Deadline()
		_ = c.SetDeadline(deadline)
		_, err = c.Read(make([]byte, 1))
	}
	return sampling.Observation{Class: sampling.ClassOf(err), Detail: fmt.Sprint(err)}
}

// many runs so many copies of a series, spread over its rhythm.
func many(b *testing.B, copies int, length time.Duration, s sampling.Series) (out []timeline.Sample) {
	ctx, cancel := context.WithTimeout(b.Context(), length)
	defer cancel()
	clock := timeline.NewClock()
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range copies {
		s.Index, s.Phase = i, sampling.Spread(1, i, s.Every)
		all.Go(func() {
			err := s.Run(ctx, clock, func(s timeline.Sample) {
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

// report reports lateness and losses; want is how many samples were due.
func report(b *testing.B, samples []timeline.Sample, want int) {
	var late []timeline.Offset
	lost := max(0, want-len(samples)-10) // the last ones of ten series may be due just after the end
	for _, s := range samples {
		if s.Class == timeline.NoData {
			lost++
			continue
		}
		late = append(late, s.Start-s.Due)
	}
	slices.Sort(late)
	b.ReportMetric(time.Duration(late[len(late)/2]).Seconds()*1e3, "late-p50-ms")
	b.ReportMetric(time.Duration(late[len(late)*99/100]).Seconds()*1e3, "late-p99-ms")
	b.ReportMetric(float64(len(samples)), "samples")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(0, "ns/op")
}
