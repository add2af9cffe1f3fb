// Package probetest is the suite that every kind of probe must pass, and the
// misbehaving services that it passes it against.
package probetest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// Suite is a kind of probe and the classes that it must report.
type Suite struct {
	Kind drills.ProbeKind
	// Subject makes what the probe looks at; nil for just an address.
	Subject func(t *testing.T, address string) drills.Subject
	// Correct is the address of a service that answers as it should.
	Correct string
	// Babble is what the garbage service says.
	Babble []byte
	// Refused, Hanging, Cut and Garbage are the classes that the probe may report of
	// a service that refuses connections, never answers, cuts connections, or says
	// Babble. Nil leaves the case out.
	Refused, Hanging, Cut, Garbage []timeline.Class
}

// How each look is bounded, and how many are under way at once.
const (
	// Timeout is for looks at services that never answer.
	Timeout = 300 * time.Millisecond
	// Patience is for looks at those that do, however busy the machine is.
	Patience = 10 * time.Second
	Lanes    = 8
	// slack is what a busy machine may add to a deadline.
	slack = 5 * time.Second
)

// Conform runs the suite for every class of client that the kind has.
func Conform(t *testing.T, s Suite) {
	clients := []drills.Client{drills.Fresh, drills.Pooled}
	if c, ok := s.Kind.(interface{ Clients() []drills.Client }); ok {
		clients = c.Clients()
	}
	for _, client := range clients {
		for _, b := range s.behaviours() {
			t.Run(fmt.Sprintf("%s/%s", client, b.name), func(t *testing.T) { s.observe(t, client, b) })
		}
	}
}

// behaviour is one way a service can be.
type behaviour struct {
	name    string
	address func(t testing.TB) string
	want    []timeline.Class
}

func (s Suite) behaviours() []behaviour {
	serve := func(h func(net.Conn)) func(testing.TB) string {
		return func(t testing.TB) string { return Serve(t, h) }
	}
	var bs []behaviour
	for _, b := range []behaviour{
		{"correct", func(testing.TB) string { return s.Correct }, []timeline.Class{timeline.OK}},
		{"refused", Refuse, s.Refused},
		{"hanging", serve(Hang), s.Hanging},
		{"cut", serve(Reset), s.Cut},
		{"garbage", serve(Say(s.Babble)), s.Garbage},
	} {
		if b.want != nil {
			bs = append(bs, b)
		}
	}
	return bs
}

// observe looks Lanes at a time, twice over, and then that nothing is left.
func (s Suite) observe(t *testing.T, client drills.Client, b behaviour) {
	address := b.address(t)
	subject := drills.Subject{Address: address}
	if s.Subject != nil {
		subject = s.Subject(t, address)
	}
	timeout := Patience
	if slices.Contains(b.want, timeline.Timeout) {
		timeout = Timeout
	}
	subject.Client, subject.Timeout, subject.Lanes, subject.Clock = client, timeout, Lanes, timeline.NewClock()
	fds, goroutines := FDs(t), runtime.NumGoroutine()
	p, err := s.Kind.Open(t.Context(), subject)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range Lanes {
		wg.Go(func() {
			for range 2 {
				o, took := Look(t, p, timeout)
				assert.Contains(t, b.want, o.Class, "detail: %s", o.Detail)
				assert.Less(t, took, timeout+slack, "Observe must return by its deadline")
				assert.NotContains(t, o.Detail, "\n")
			}
		})
	}
	wg.Wait()
	if c, ok := p.(io.Closer); ok {
		require.NoError(t, c.Close())
	}
	assert.Eventually(t, func() bool { return FDs(t) <= fds && runtime.NumGoroutine() <= goroutines+1 },
		10*time.Second, 20*time.Millisecond, // + 1: Eventually's own
		"before: %d descriptors, %d goroutines", fds, goroutines)
	if t.Failed() {
		t.Logf("after: %d descriptors, %d goroutines", FDs(t), runtime.NumGoroutine())
	}
}

// Look observes once within timeout and says how long it took.
func Look(t testing.TB, p drills.Probe, timeout time.Duration) (drills.Observation, time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	start := time.Now()
	return p.Observe(ctx), time.Since(start)
}

// FDs counts the descriptors that this process has open.
func FDs(t testing.TB) int {
	t.Helper()
	es, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(es)
}
