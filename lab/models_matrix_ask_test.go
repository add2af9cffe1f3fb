package lab_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/lab/vendor"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

// question is what a probe asks.
type question struct{ name, op, kind, with string }

var questions = []question{
	{"stream", vendor.OpChat, "llm-chat", `{"stream":true}`},
	{"chat", vendor.OpChat, "llm-chat", `{}`},
	{"embedding", vendor.OpEmbedding, "llm-embedding", `{}`},
}

// matrix is a lab with all that was asked in it.
type matrix struct {
	*modelLab
	manners
	cells []*cell
	// settled counts the requests that waited for the gateway to be as it was.
	settled int
}

// newMatrix brings a lab up as somebody who is not root: then the labs stand in the
// tests' own network namespace, at addresses that differ, where probes reach them.
func newMatrix(t *testing.T, name string) *matrix {
	return &matrix{modelLab: upModels(t, newCaller(t, 64242), name), manners: mannersOf[name]}
}

// cell is one fault at one vendor while one question was asked.
type cell struct {
	l          *matrix
	name, mode string
	// wire tells that the fault was made by the fault point.
	wire bool
	// skips tells that the gateway may have found out by then whom not to ask.
	skips          bool
	clock          timeline.Clock
	q              question
	pooled, fresh  drills.Probe
	before, during []request
	// came is what came of the requests that were meant for the failing vendor.
	came []string
}

// request is one look of a probe.
type request struct {
	drills.Observation
	client drills.Client
	// amid tells that the vendor was failing.
	amid  bool
	clock timeline.Clock
	// left is when the client had its answer, or went away.
	left time.Time
}

// begin waits until the gateway is as it was, and asks once on each connection
// that is kept, and once for the reference of embeddings.
func (l *matrix) begin(t *testing.T, who, label, mode string, q question) *cell {
	l.settle(t)
	c := &cell{l: l, name: who + " " + label + "/" + q.name, mode: mode, q: q, wire: who == "wire", clock: timeline.NewClock()}
	c.pooled, c.fresh = c.open(t, drills.Pooled), c.open(t, drills.Fresh)
	c.before = c.look(t, 2, 1)
	l.cells = append(l.cells, c)
	return c
}

func (c *cell) open(t *testing.T, client drills.Client) drills.Probe {
	k, err := probes.All().Build(c.q.kind, []byte(c.q.with))
	require.NoError(t, err)
	p, err := k.Open(t.Context(), drills.Subject{
		Component: c.l.c, Address: c.l.Route, Client: client, Lanes: 2, Clock: c.clock, RunID: "matrix",
	})
	require.NoError(t, err)
	return p
}

// ask asks while the vendor is failing.
func (c *cell) ask(t *testing.T, pooled, fresh int) {
	c.during = append(c.during, c.look(t, pooled, fresh)...)
}

// look asks so many times at once.
func (c *cell) look(t *testing.T, pooled, fresh int) []request {
	all := make([]request, pooled+fresh)
	var work sync.WaitGroup
	for i := range all {
		r := &all[i]
		r.clock = c.clock
		p := c.fresh
		if r.client = drills.Fresh; i < pooled {
			p, r.client = c.pooled, drills.Pooled
		}
		work.Go(func() {
			r.Observation, _ = probetest.Look(t, p, c.within())
			r.left = time.Now()
		})
	}
	work.Wait()
	return all
}

// within is how long a client waits: long, but where nothing will come. Portkey
// itself waits for 2 s and then asks the next vendor, HAProxy for 1 s for a
// connection.
func (c *cell) within() time.Duration {
	switch {
	case c.mode == vendor.BlackHole && c.l.Name == "llm":
		return 8 * time.Second
	case c.mode == vendor.BlackHole, c.mode == vendor.Stall && !strings.Contains(c.name, "short"):
		return 700 * time.Millisecond
	}
	return 20 * time.Second
}

func (c *cell) end(t *testing.T) { assert.NoError(t, c.pooled.(io.Closer).Close()) }

func (c *cell) outcomes() (all []timeline.Outcome) {
	for _, r := range c.during {
		all = append(all, r.Request.Outcome)
	}
	return all
}

// settle waits until the gateway leads to the first vendor, or to all in turn.
func (l *matrix) settle(t *testing.T) {
	for begin := time.Now(); !l.leads(t); <-time.After(50 * time.Millisecond) {
		require.Less(t, time.Since(begin), 30*time.Second, "%s leads to %s again", l.Name, l.Members[0].Name)
	}
}

// leads asks as often as there are vendors in turn.
func (l *matrix) leads(t *testing.T) bool {
	n := 1
	if l.inTurn {
		n = len(l.Members)
	}
	by := map[string]bool{}
	for range n {
		l.settled++
		a := l.modelLab.ask(t, "/chat/completions", map[string]any{
			"model": l.cfg.Models.Chat, "user": fmt.Sprint("settle-", l.settled), "max_tokens": 1,
			"messages": []any{map[string]any{"role": "user", "content": "Are you there?"}},
		})
		if a.err != nil || a.status != http.StatusOK {
			return false
		}
		by[a.by] = true
	}
	return len(by) == n && by[l.Members[0].Name]
}

// asked are all requests of the lab's cells, with their cells.
func (l *matrix) asked(each func(c *cell, r request)) {
	for _, c := range l.cells {
		for _, r := range c.before {
			each(c, r)
		}
		for _, r := range c.during {
			r.amid = true
			each(c, r)
		}
	}
}
