package ledger_test

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

const benchLanes = 8

// textures are what can be missing on the primary; every reports a loss.
var textures = []struct {
	name string
	lost func(seq uint64) bool
}{
	{"clean", func(uint64) bool { return false }},
	{"1% lost", func(s uint64) bool { return s*0x9E3779B97F4A7C15>>32%100 == 0 }},
	{"every other lost", func(s uint64) bool { return s%2 == 0 }},
}

// sizes are the numbers of ids; FIREDRILL_BENCH_IDS replaces them (10⁹ in memory
// takes a minute, on disk 15 GB).
func sizes(b *testing.B) []uint64 {
	b.Helper()
	env := os.Getenv("FIREDRILL_BENCH_IDS")
	if env == "" {
		return []uint64{1e7, 1e8}
	}
	n, err := strconv.ParseUint(env, 10, 64)
	require.NoError(b, err)
	return []uint64{n}
}

// rows yields what a member holds: all ids but the lost.
func rows(n uint64, lost func(uint64) bool) iter.Seq2[ledger.ID, error] {
	return func(yield func(ledger.ID, error) bool) {
		for w := range uint16(benchLanes) {
			for s := range n / benchLanes {
				if !lost(s+1) && !yield(ledger.ID{Writer: w + 1, Seq: s + 1}, nil) {
					return
				}
			}
		}
	}
}

func attempted(n uint64) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) {
		for i := range n {
			if !yield(ledger.BenchEntry(i, benchLanes), nil) {
				return
			}
		}
	}
}

// resetPeak makes the process's peak memory count from now on.
func resetPeak(b *testing.B) {
	b.Helper()
	debug.FreeOSMemory()
	require.NoError(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))
}

// peak returns the process's peak resident memory in MB since resetPeak.
func peak(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	require.NoError(b, err)
	return kb / 1000
}

// BenchmarkVerify measures the verification of a ledger whose entries come from
// memory: collecting one reading and comparing.
func BenchmarkVerify(b *testing.B) {
	for _, n := range sizes(b) {
		for _, x := range textures {
			b.Run(fmt.Sprintf("ids=%.0e/%s", float64(n), x.name), func(b *testing.B) {
				entries := func() iter.Seq2[ledger.Entry, error] { return attempted(n) }
				verify(b, n, x.lost, entries)
			})
		}
	}
}

// BenchmarkVerifyFile is the same with the entries on disk.
func BenchmarkVerifyFile(b *testing.B) {
	for _, n := range sizes(b) {
		path := filepath.Join(b.TempDir(), "bench.ledger")
		f, err := os.Create(path)
		require.NoError(b, err)
		require.NoError(b, ledger.WriteBench(f, n, benchLanes))
		require.NoError(b, f.Close())
		for _, x := range textures {
			b.Run(fmt.Sprintf("ids=%.0e/%s", float64(n), x.name), func(b *testing.B) {
				info, err := os.Stat(path)
				require.NoError(b, err)
				entries := func() iter.Seq2[ledger.Entry, error] { return ledger.Read(path) }
				verify(b, n, x.lost, entries)
				b.ReportMetric(float64(info.Size())/float64(n), "B/id")
			})
		}
		require.NoError(b, os.Remove(path))
	}
}

func verify(b *testing.B, n uint64, lost func(uint64) bool, entries func() iter.Seq2[ledger.Entry, error]) {
	b.Helper()
	resetPeak(b)
	cpu := cpuTime(b)
	for b.Loop() {
		began := time.Now()
		rb, err := ledger.Collect(rows(n, lost))
		require.NoError(b, err)
		collected := time.Since(began)
		rb.When, rb.Primary = ledger.Recovered, true
		a, err := ledger.Audit(entries, []ledger.ReadBack{rb}, ledger.Options{})
		require.NoError(b, err)
		count, _ := a.Lost.Count()
		require.Equal(b, n-rb.Rows, count)
		b.ReportMetric(collected.Seconds(), "collect-s")
		b.ReportMetric((time.Since(began) - collected).Seconds(), "audit-s")
	}
	b.ReportMetric((cpuTime(b)-cpu).Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(peak(b), "peak-MB")
}

// cpuTime is what the process has used: on a busy machine it tells more than
// seconds do.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReadBackFile measures writing and reading a reading.
func BenchmarkReadBackFile(b *testing.B) {
	for _, n := range sizes(b) {
		for _, x := range textures {
			b.Run(fmt.Sprintf("ids=%.0e/%s", float64(n), x.name), func(b *testing.B) {
				rb, err := ledger.Collect(rows(n, x.lost))
				require.NoError(b, err)
				path := filepath.Join(b.TempDir(), "readback.jsonl")
				resetPeak(b)
				for b.Loop() {
					_ = os.Remove(path)
					began := time.Now()
					require.NoError(b, ledger.AppendReadBack(path, rb))
					b.ReportMetric(time.Since(began).Seconds(), "write-s")
					began = time.Now()
					_, err := ledger.ReadBacks(path)
					require.NoError(b, err)
					b.ReportMetric(time.Since(began).Seconds(), "read-s")
				}
				info, err := os.Stat(path)
				require.NoError(b, err)
				b.ReportMetric(float64(info.Size())/1e6, "file-MB")
				b.ReportMetric(peak(b), "peak-MB")
			})
		}
	}
}

// BenchmarkEncode and BenchmarkDecode measure the format alone.
func BenchmarkEncode(b *testing.B) {
	require.NoError(b, ledger.WriteBench(io.Discard, uint64(max(b.N, 1)), benchLanes))
}

func BenchmarkDecode(b *testing.B) {
	var content bytes.Buffer
	require.NoError(b, ledger.WriteBench(&content, 1e6, benchLanes))
	path := filepath.Join(b.TempDir(), "bench.ledger")
	require.NoError(b, os.WriteFile(path, content.Bytes(), 0o600))
	for b.Loop() {
		for _, err := range ledger.Read(path) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/entry")
}

// BenchmarkRecord measures what an attempt costs, in eight lanes at once, with a
// ledger and without.
func BenchmarkRecord(b *testing.B) {
	b.Run("ledger", func(b *testing.B) {
		f, _ := create(b)
		recordInLanes(b, func() func() {
			l := lane(b, f)
			at := timeline.Offset(0)
			return func() {
				at += 1e6
				l.Next()
				if err := l.Record(ledger.Acknowledged, at, at+4e5, "db1"); err != nil {
					b.Error(err)
				}
			}
		})
		require.NoError(b, f.Close())
	})
	b.Run("none", func(b *testing.B) { recordInLanes(b, func() func() { return func() {} }) })
}

func recordInLanes(b *testing.B, open func() func()) {
	b.Helper()
	took := make([][]time.Duration, benchLanes)
	var wg sync.WaitGroup
	b.ResetTimer()
	for i := range took {
		record := open()
		wg.Go(func() {
			for range max(b.N/benchLanes, 1) {
				began := time.Now()
				record()
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	b.ReportMetric(float64(all[len(all)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(all[len(all)*99/100].Nanoseconds()), "p99-ns")
	b.ReportMetric(float64(all[len(all)-1].Nanoseconds()), "max-ns")
}
