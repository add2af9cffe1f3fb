package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/vantage"
)

// The command agent, as another process, makes the probes of its order: here of a
// server that is down for a while.
func TestAgentLooksAsItIsTold(t *testing.T) {
	var mu sync.Mutex
	down := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, "/health", r.URL.Path)
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	set := func(on bool) func() { return func() { mu.Lock(); defer mu.Unlock(); down = on } }
	job := vantage.Job{
		Index: 0, Name: "ask/pooled", Kind: "http", With: []byte(`{"path": "/health"}`), Address: strings.TrimPrefix(srv.URL, "http://"),
		Client: "pooled", Every: 10 * time.Millisecond, Timeout: 500 * time.Millisecond, Concurrency: 60,
	}
	agent := &vantage.Process{Argv: []string{os.Args[0], "agent"}, Env: []string{asProgram + "=1"}, Stderr: os.Stderr}
	clock := timeline.NewClock()
	a, err := vantage.Start(t.Context(), "elsewhere", agent, "r1", []vantage.Job{job}, clock, vantage.Events{})
	require.NoError(t, err)
	assert.Equal(t, version(), a.Ready.Version)

	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	defer time.AfterFunc(500*time.Millisecond, set(true)).Stop()
	defer time.AfterFunc(time.Second, set(false)).Stop()
	classes := map[timeline.Class]int{}
	require.NoError(t, a.Series(0).Run(ctx, clock, func(s timeline.Sample) {
		mu.Lock()
		defer mu.Unlock()
		classes[s.Class]++
	}))
	a.Close()
	require.NoError(t, a.Lost())
	assert.Greater(t, classes[timeline.OK], 50, "%v", classes)
	assert.Greater(t, classes[timeline.Error], 20, "%v", classes)
}

func TestAgentRefusesWhatItDoesNotKnow(t *testing.T) {
	agent := &vantage.Process{Argv: []string{os.Args[0], "agent"}, Env: []string{asProgram + "=1"}}
	job := vantage.Job{Name: "ask/fresh", Kind: "http", With: []byte(`{"nonsense": 1}`), Client: "fresh"}
	_, err := vantage.Start(t.Context(), "elsewhere", agent, "r1", []vantage.Job{job}, timeline.NewClock(), vantage.Events{})
	require.ErrorContains(t, err, "probe agent in elsewhere: the agent has failed: probe ask/fresh: http: with: json: unknown field")
}
