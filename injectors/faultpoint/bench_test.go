package faultpoint_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/injectors/faultpoint"
)

const (
	// streamsAtOnce streams have eventsEach events, one every eventEvery.
	streamsAtOnce = 500
	eventsEach    = 40
	eventEvery    = 50 * time.Millisecond
)

// bench starts a vendor and a fault point in front of it, both in processes of
// their own, and returns their addresses.
func bench(b *testing.B, tls *topology.FaultPointTLS) (direct, through string) {
	b.Helper()
	direct, through = freeAddress(b), freeAddress(b)
	spawn(b, "paced", direct)
	cfg, err := json.Marshal(faultpoint.Config{
		Socket: socketPath(b), TLS: tls, Points: []faultpoint.Point{{Member: "a", Listen: through, Upstream: "http://" + direct}},
	})
	require.NoError(b, err)
	spawn(b, "faultpoint", string(cfg))
	for _, addr := range []string{direct, through} {
		require.Eventually(b, func() bool {
			c, err := net.Dial("tcp", addr)
			if err == nil {
				c.Close()
			}
			return err == nil
		}, patience, tick)
	}
	return direct, through
}

// quantile returns one of durations, which it sorts, in microseconds.
func quantile(ds []time.Duration, q float64) float64 {
	slices.Sort(ds)
	return float64(ds[int(q*float64(len(ds)-1))].Nanoseconds()) / 1e3
}

func compare(b *testing.B, direct, through []time.Duration) {
	b.Helper()
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		d, t := quantile(direct, q.at), quantile(through, q.at)
		b.ReportMetric(d, "direct-"+q.name+"-us")
		b.ReportMetric(t, "through-"+q.name+"-us")
		b.ReportMetric(t-d, "added-"+q.name+"-us")
	}
}

// BenchmarkIdleProxy asks the vendor directly and through an idle fault point, in
// turn, on connections that are kept.
func BenchmarkIdleProxy(b *testing.B) { idle(b, nil) }

// BenchmarkIdleProxyWithTLS does so with TLS to the fault point; the vendor has none.
func BenchmarkIdleProxyWithTLS(b *testing.B) { idle(b, certify(b, "127.0.0.1")) }

func idle(b *testing.B, files *topology.FaultPointTLS) {
	direct, through := bench(b, files)
	p := topology.FaultPointSpec{TLS: files, Listen: map[string]string{"a": through}}
	trust, err := p.TLSConfig(through)
	require.NoError(b, err)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: trust}}
	body := chat("bench", false)
	ask := func(at string) time.Duration {
		begin := time.Now()
		resp, err := c.Post(at+"/v1/chat/completions", "application/json", strings.NewReader(body))
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, resp.Body)
		took := time.Since(begin)
		resp.Body.Close()
		require.NoError(b, err)
		return took
	}
	direct, through = "http://"+direct, p.URL("a")
	for range 100 {
		ask(direct)
		ask(through)
	}
	var ds, ts []time.Duration
	b.ResetTimer()
	for range b.N {
		ds, ts = append(ds, ask(direct)), append(ts, ask(through))
	}
	compare(b, ds, ts)
}

// BenchmarkStreams has 500 streams at once, first directly and then through an
// idle fault point. Measured is the age of each event when it arrives.
func BenchmarkStreams(b *testing.B) {
	direct, through := bench(b, nil)
	var ds, ts []time.Duration
	for range b.N {
		ds = append(ds, streams(b, direct)...)
		ts = append(ts, streams(b, through)...)
	}
	compare(b, ds, ts)
}

func streams(b *testing.B, addr string) []time.Duration {
	b.Helper()
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: streamsAtOnce}}
	defer c.CloseIdleConnections()
	for i := range streamsAtOnce {
		wg.Go(func() {
			ages, err := stream(c, addr, chat(fmt.Sprint("s", i), true))
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, ages...)
		})
	}
	wg.Wait()
	return all
}

func stream(c *http.Client, addr, body string) (ages []time.Duration, err error) {
	resp, err := c.Post("http://"+addr+"/", "application/json", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		now := time.Now()
		var sent int64
		if _, err := fmt.Fscanf(bytes.NewReader(in.Bytes()), `data: {"sent":%d}`, &sent); err == nil {
			ages = append(ages, now.Sub(time.Unix(0, sent)))
		}
	}
	if len(ages) != eventsEach {
		return nil, fmt.Errorf("%d events, want %d: %w", len(ages), eventsEach, in.Err())
	}
	return ages, nil
}
