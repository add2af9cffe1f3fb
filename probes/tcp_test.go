package probes_test

import (
	"bufio"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

// build makes a kind from the "with" of a file.
func build(t testing.TB, kind, with string) drills.ProbeKind {
	t.Helper()
	k, err := probes.All().Build(kind, []byte(with))
	require.NoError(t, err)
	return k
}

// clients asks a kind for its classes of clients.
func clients(k drills.ProbeKind) []drills.Client { return k.(probes.Chooser).Clients() }

// one is a set of one class.
func one(c timeline.Class) []timeline.Class { return []timeline.Class{c} }

// pong answers every line "PING <x>" with "PONG".
func pong(c net.Conn) {
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Fprint(c, "PONG\r\n")
	}
}

func TestTCPConforms(t *testing.T) {
	t.Run("connect", func(t *testing.T) {
		either := []timeline.Class{timeline.OK, timeline.Reset}
		probetest.Conform(t, probetest.Suite{
			Kind: build(t, "tcp", `{}`), Correct: probetest.Serve(t, pong), Babble: []byte("x"),
			Refused: one(timeline.Refused), Hanging: one(timeline.OK), Cut: either, Garbage: one(timeline.OK),
		})
	})
	t.Run("exchange", func(t *testing.T) {
		probetest.Conform(t, probetest.Suite{
			Kind: build(t, "tcp", `{"send":"PING\n","expect":"^PONG"}`), Correct: probetest.Serve(t, pong), Babble: []byte("NO\n\n"),
			Refused: one(timeline.Refused), Hanging: one(timeline.Timeout), Cut: one(timeline.Reset), Garbage: one(timeline.WrongAnswer),
		})
	})
}

func TestTCPClients(t *testing.T) {
	fresh := []drills.Client{drills.Fresh}
	assert.Equal(t, fresh, clients(build(t, "tcp", `{}`)))
	assert.Equal(t, fresh, clients(build(t, "tcp", `{"expect":"^SSH-"}`)), "a banner comes once per connection")
	assert.Equal(t, []drills.Client{drills.Fresh, drills.Pooled}, clients(build(t, "tcp", `{"send":"a","expect":"b"}`)))

	_, err := build(t, "tcp", `{}`).Open(t.Context(), drills.Subject{Address: "127.0.0.1:1", Client: drills.Pooled})
	assert.ErrorContains(t, err, `clients: "pooled"`)
	_, err = build(t, "tcp", `{}`).Open(t.Context(), drills.Subject{Client: drills.Fresh})
	assert.ErrorContains(t, err, "no address")
	_, err = probes.All().Build("tcp", []byte(`{"expect":"("}`))
	assert.ErrorContains(t, err, "expect")
}

// The rest of an earlier answer must not pass for an answer of a service that
// has none any more: a connection with leftovers is replaced.
func TestTCPPooledDoesNotReadOldAnswers(t *testing.T) {
	more, said := make(chan bool), make(chan bool)
	address := probetest.Serve(t, func(c net.Conn) {
		bufio.NewScanner(c).Scan()
		fmt.Fprint(c, "PONG\n")
		if <-more {
			fmt.Fprint(c, "PONG\n")
			said <- true
			probetest.Hang(c)
		}
	})
	defer close(more)
	p := open(t, build(t, "tcp", `{"send":"PING\n","expect":"PONG"}`), drills.Subject{Address: address, Client: drills.Pooled, Lanes: 1})
	for range 3 {
		o, _ := probetest.Look(t, p, probetest.Patience)
		require.Equal(t, timeline.OK, o.Class, o.Detail)
		more <- true
		<-said
	}
}
