package faultpoint_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/controltest"
	"firedrill/injectors/faultpoint"
)

func TestMain(m *testing.M) {
	controltest.Main(m, map[string]controltest.Role{"faultpoint": faultPoint, "paced": paced})
}

// faultPoint runs a fault point until the standard input ends: its configuration as JSON
func faultPoint(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	var cfg faultpoint.Config
	if err := json.Unmarshal([]byte(args[0]), &cfg); err != nil {
		return 2
	}
	if err := faultpoint.Serve(ctx, cfg, func() { fmt.Println("ready") }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// paced is a vendor in a process of its own, until the standard input ends: ADDRESS.
// Its streams tell with each event when it was sent.
func paced(args []string) int {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println("ready")
	err := http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), `"stream":true`) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, wholeAnswer)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		beat := time.NewTicker(eventEvery)
		defer beat.Stop()
		for range eventsEach {
			<-beat.C
			fmt.Fprintf(w, "data: {\"sent\":%d}\n\n", time.Now().UnixNano())
			http.NewResponseController(w).Flush()
		}
		fmt.Fprint(w, "data: [DONE]\n\n")
	}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// spawn runs the test program as a role, and has it end with the test.
func spawn(t testing.TB, role string, args ...string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = os.Environ()
	for k, v := range controltest.As(role) {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, cmd.Wait())
	})
	_, err = io.ReadFull(out, make([]byte, len("ready\n")))
	require.NoError(t, err)
}
