package vendor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"

	"firedrill/lab/vendor"
)

// slow lets tokens take so long that tests can do something in between.
func slow(c *vendor.Config) { c.TokenDelay = 20 * time.Millisecond }

// underway starts a stream that takes a while, and returns when it has begun. The
// channel has what was heard of it in the end.
func underway(ctx context.Context, t *testing.T, v *vendor.Vendor, id string) <-chan heard {
	t.Helper()
	out := make(chan heard, 1)
	api := client(t, v)
	go func() {
		out <- stream(ctx, api, id, strings.Repeat("long ", 200)+vendor.Exactly+strings.Repeat("word ", 500))
	}()
	require.Eventually(t, func() bool {
		e := v.ByID(id)
		return len(e) == 1 && e[0].Tokens > 0
	}, 10*time.Second, time.Millisecond)
	return out
}

func TestRefusedCutsAndComesBack(t *testing.T) {
	t.Parallel()
	v := start(t, slow)
	api := client(t, v)
	require.NoError(t, chat(t.Context(), api, "before", canary).err)
	running := underway(t.Context(), t, v, "running")
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Refused}))
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Refused}), "twice is no error")

	h := <-running
	require.Error(t, h.err)
	require.NotEmpty(t, h.text)
	e := entry(t, v, "running")
	require.Equal(t, vendor.Refused, e.Mode)
	require.False(t, e.Complete || e.Aborted, "%+v", e)
	require.Equal(t, "refused", why(chat(t.Context(), api, "refused", canary).err))
	require.Empty(t, v.ByID("refused"))
	require.Eventually(t, func() bool { return v.Health().Open == 0 }, 10*time.Second, time.Millisecond)
	accepted := v.Health().Accepted
	require.Equal(t, 2, accepted)

	require.NoError(t, v.SetMode(vendor.Mode{}))
	require.NoError(t, chat(t.Context(), api, "after", canary).err)
	require.Equal(t, accepted+1, v.Health().Accepted)
}

func TestRefusedCannotComeBackToATakenAddress(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Refused}))
	address := strings.TrimPrefix(v.URL(), "http://")
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	require.ErrorContains(t, v.SetMode(vendor.Mode{}), "listen on "+address)
	require.Equal(t, vendor.Refused, v.Health().Mode.Name)
	require.NoError(t, l.Close())
	require.NoError(t, v.SetMode(vendor.Mode{}))
}

func TestBlackHoleSwallowsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	v := start(t, slow)
	api := client(t, v)
	require.NoError(t, chat(t.Context(), api, "before", canary).err)
	ctx, leave := context.WithCancel(t.Context())
	running := underway(ctx, t, v, "running")
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.BlackHole}))
	require.Eventually(t, func() bool { return v.ByID("running")[0].Mode == vendor.BlackHole }, 10*time.Second, time.Millisecond)

	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.Equal(t, "timeout", why(chat(short, api, "swallowed", canary).err), "on a connection that was open before")
	require.Equal(t, 2, v.Health().Accepted)

	// What is gone does not come back; what is asked now is answered.
	require.NoError(t, v.SetMode(vendor.Mode{}))
	require.NoError(t, chat(t.Context(), api, "after", canary).err)
	require.True(t, v.ByID("running")[0].To.IsZero())
	leave()
	require.ErrorIs(t, (<-running).err, context.Canceled)
	e := entry(t, v, "running")
	require.True(t, e.Aborted)
	require.False(t, e.Complete)
}

func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	v := start(t, slow)
	ctx, leave := context.WithCancel(t.Context())
	running := underway(ctx, t, v, "1")
	leave()
	<-running
	e := entry(t, v, "1")
	require.True(t, e.Aborted)
	require.False(t, e.Complete)
	require.Empty(t, e.Mode)
}

func TestShareAndModels(t *testing.T) {
	t.Parallel()
	const n = 200
	run := func(seed uint64) (failed string) {
		v := start(t, nil)
		api := client(t, v)
		require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Status, Status: 503, Share: 0.3, Seed: seed, Models: []string{"m"}}))
		for i := range n {
			q := question(fmt.Sprint("m", i), canary)
			_, err := api.Chat.Completions.New(t.Context(), q)
			e := v.ByID(fmt.Sprint("m", i))[0]
			require.Equal(t, err != nil, e.Mode == vendor.Status)
			require.Equal(t, err == nil, e.Complete)
			failed += fmt.Sprint(e.Status/100 - 2)
			if i%10 == 0 {
				q.Model = "n"
				_, err := api.Chat.Completions.New(t.Context(), q)
				require.NoError(t, err, "another model")
			}
		}
		return failed
	}
	one := run(1)
	require.Equal(t, one, run(1), "the same seed")
	require.NotEqual(t, one, run(2), "another seed")
	require.InDelta(t, 0.3*n, strings.Count(one, "3"), 25)
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	for wait, want := range map[int]string{0: "", 1500: "2"} {
		require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.RateLimited, RetryAfter: ms(wait)}))
		var head *http.Response
		api := client(t, v)
		_, err := api.Chat.Completions.New(t.Context(), question("1", canary), option.WithResponseInto(&head))
		require.Error(t, err)
		require.Equal(t, want, head.Header.Get("Retry-After"))
	}
}

func TestModesThatCannotBe(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	for want, m := range map[string]vendor.Mode{
		`mode "burnt": want one of refused,`:     {Name: "burnt"},
		"share 1.5: want more than 0":            {Name: vendor.Reset, Share: 1.5},
		"take reset for a share":                 {Name: vendor.Refused, Share: 0.5},
		"status 200: want one from 400 to 599":   {Name: vendor.Status, Status: 200},
		"mode latency: delay: want more than 0s": {Name: vendor.Latency},
		`ops: "chats": want models, chat`:        {Name: vendor.Reset, Ops: []string{"chats"}},
		"must not be negative":                   {Name: vendor.Cut, After: -1},
	} {
		require.ErrorContains(t, v.SetMode(m), want)
	}
	require.Equal(t, vendor.Mode{}, v.Health().Mode)
	require.NoError(t, v.Close())
	require.ErrorIs(t, v.SetMode(vendor.Mode{}), http.ErrServerClosed)
}

func TestConfigsThatCannotBe(t *testing.T) {
	t.Parallel()
	taken := start(t, nil)
	good := vendor.Config{Name: "v", Listen: "127.0.0.1:0", Models: []string{"m"}}
	for want, change := range map[string]func(*vendor.Config){
		"name: give the vendor one":        func(c *vendor.Config) { c.Name = "" },
		"models: name at least one":        func(c *vendor.Config) { c.Models = nil },
		"loopback addresses only":          func(c *vendor.Config) { c.Listen = "0.0.0.0:0" },
		`listen "here": want an IP`:        func(c *vendor.Config) { c.Listen = "here" },
		"address already in use":           func(c *vendor.Config) { c.Listen = strings.TrimPrefix(taken.URL(), "http://") },
		"must not be negative":             func(c *vendor.Config) { c.Dimension = -1 },
		"open log: open /nonexistent/log:": func(c *vendor.Config) { c.Log = "/nonexistent/log" },
	} {
		cfg := good
		change(&cfg)
		_, err := vendor.Start(cfg)
		require.ErrorContains(t, err, want)
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	path := socket(t)
	file := filepath.Join(filepath.Dir(path), "log")
	// A process that died leaves its socket.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())

	admin := vendor.NewAdmin(path)
	_, err = admin.Health(t.Context())
	require.ErrorContains(t, err, "vendor at "+path+": does it run?")
	ctx, stop := context.WithCancel(t.Context())
	cfg := vendor.Config{Name: "v1", Listen: "127.0.0.1:0", Key: key, Models: []string{"m"}, Admin: path, Log: file}
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- vendor.Serve(ctx, cfg, func(url string) { ready <- url }) }()
	url := <-ready

	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = vendor.Start(cfg)
	require.ErrorContains(t, err, "another process listens there")

	require.NoError(t, admin.SetMode(t.Context(), vendor.Mode{Name: vendor.Cut, After: 1}))
	require.ErrorContains(t, admin.SetMode(t.Context(), vendor.Mode{Name: "burnt"}), `vendor v1: mode "burnt"`)
	health, err := admin.Health(t.Context())
	require.NoError(t, err)
	require.Equal(t, vendor.Health{Name: "v1", URL: url, Mode: vendor.Mode{Name: vendor.Cut, After: 1}}, health)

	api := client(t, start(t, nil), option.WithBaseURL(url+"/v1"))
	require.Equal(t, `"cana"`, stream(t.Context(), api, "1", canary).String())
	require.NoError(t, admin.SetMode(t.Context(), vendor.Mode{}))
	require.NoError(t, chat(t.Context(), api, "2", canary).err)
	all, err := admin.Log(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
	one, err := admin.ByID(t.Context(), "2")
	require.NoError(t, err)
	require.Equal(t, all[1:], one)
	require.True(t, one[0].Complete)
	require.Equal(t, []any{"v1", "1", vendor.OpChat, "m", true, vendor.Cut, 1, false}, []any{
		all[0].Vendor, all[0].ID, all[0].Op, all[0].Model, all[0].Stream, all[0].Mode, all[0].Tokens, all[0].Complete,
	})

	stop()
	require.NoError(t, <-ended)
	require.NoFileExists(t, path)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NotContains(t, string(b), key)
	var written []vendor.Entry
	for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
		var e vendor.Entry
		require.NoError(t, d.Decode(&e))
		written = append(written, e)
	}
	require.Equal(t, all, written)
}

// TestManyStreams does not run beside others: it counts goroutines.
func TestManyStreams(t *testing.T) {
	const n = 500
	before := runtime.NumGoroutine()
	v := start(t, func(c *vendor.Config) { c.TokenDelay = 10 * time.Millisecond })
	// None ends before all have begun.
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Stall, After: 3, Delay: ms(4000)}))
	api := client(t, v)
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			h := stream(t.Context(), api, fmt.Sprint(i), "hello")
			if errs[i] = h.err; h.text != vendor.Lorem || h.finish != "stop" {
				errs[i] = errors.Join(h.err, fmt.Errorf("stream %d: %s", i, h))
			}
		})
	}
	require.Eventually(t, func() bool { return v.Health().Running == n }, 20*time.Second, 10*time.Millisecond)
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	log := v.Log()
	require.Len(t, log, n)
	for _, e := range log {
		require.True(t, e.Complete && !e.Aborted, "%+v", e)
		require.Equal(t, log[0].Tokens, e.Tokens)
	}
	require.NoError(t, v.Close())
	require.Zero(t, v.Health().Running)
	before++ // Eventually asks in one of its own
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before }, 10*time.Second, 10*time.Millisecond, "goroutines are left")
}
