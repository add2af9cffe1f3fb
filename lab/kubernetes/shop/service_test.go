package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shop serves until stop is called; done is closed once it has ended.
func shop(t *testing.T, o options) (url string, stop func(), done <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o.address = l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		assert.NoError(t, ignoreClosed(serve(ctx, o)))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	require.Eventually(t, func() bool { return get(t, "http://"+o.address+"/healthz", "") == 200 }, 30*time.Second, 10*time.Millisecond)
	return "http://" + o.address, cancel, ended
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// get returns the status, 0 if there was no answer.
func get(t *testing.T, url, id string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if !assert.NoError(t, err) {
		return 0
	}
	req.Header.Set("X-Request-Id", id)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

func TestReadiness(t *testing.T) {
	url, _, _ := shop(t, options{readyAfter: time.Hour})
	assert.Equal(t, http.StatusServiceUnavailable, get(t, url+"/ready", ""))
	assert.Equal(t, http.StatusOK, get(t, url+"/", ""), "it answers all the same")
	url, _, _ = shop(t, options{})
	assert.Equal(t, http.StatusOK, get(t, url+"/ready", ""))
}

func TestDrainingAnswersUnready(t *testing.T) {
	url, stop, done := shop(t, options{drain: 2 * time.Second})
	stop()
	require.Eventually(t, func() bool { return get(t, url+"/ready", "") == http.StatusServiceUnavailable }, time.Second, 10*time.Millisecond)
	assert.Equal(t, http.StatusOK, get(t, url+"/", ""))
	<-done
	assert.Zero(t, get(t, url+"/", ""))
}

// A request that is in flight is answered and written down, or cut by a pod that ends
// abruptly.
func TestRequestsInFlight(t *testing.T) {
	for abrupt, want := range map[bool]int{false: http.StatusOK, true: 0} {
		log := filepath.Join(t.TempDir(), "book.jsonl")
		url, stop, done := shop(t, options{abrupt: abrupt, log: log})
		status := make(chan int, 1)
		require.Eventually(t, func() bool { return !answering() }, 30*time.Second, 5*time.Millisecond)
		go func() { status <- get(t, url+"/?wait=700ms", "slow") }()
		require.Eventually(t, answering, 30*time.Second, 5*time.Millisecond)
		stop()
		assert.Equal(t, want, <-status, "abrupt: %v", abrupt)
		<-done
		if abrupt {
			continue // its handler may not have come to writing
		}
		b, err := os.ReadFile(log)
		require.NoError(t, err)
		var line answered
		require.NoError(t, json.Unmarshal([]byte(strings.TrimSpace(string(b))), &line))
		assert.Equal(t, "slow", line.ID)
		assert.Equal(t, http.StatusOK, line.Status)
		assert.GreaterOrEqual(t, line.Seconds, 0.7)
	}
}

// answering tells whether a request is in its handler: that it was written does not
// mean that the server has taken it.
func answering() bool {
	stacks := make([]byte, 1<<20)
	return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*service).answer(")
}
