package lab_test

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology/route"
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
	{"rerank", vendor.OpRerank, "llm-rerank", `{}`},
}

// What a chat is asked as: a stream, or either.
var (
	streams = questions[:1]
	chats   = questions[:2]
)

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
	// wire is the way in which the fault point made the fault; nil: the vendor did.
	wire *way
	// endless tells that the vendor gets the request, and whoever asked waits in vain.
	endless bool
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
	c := &cell{l: l, name: who + " " + label + "/" + q.name, mode: mode, q: q, endless: endless(who, label), clock: timeline.NewClock()}
	c.pooled, c.fresh = c.open(t, drills.Pooled), c.open(t, drills.Fresh)
	c.before = c.look(t, 2, 1, long)
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
	c.during = append(c.during, c.look(t, pooled, fresh, c.within())...)
}

// look asks so many times at once.
func (c *cell) look(t *testing.T, pooled, fresh int, within time.Duration) []request {
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
			r.Observation, _ = probetest.Look(t, p, within)
			r.left = time.Now()
		})
	}
	work.Wait()
	return all
}

// long is how long a client waits where something will come.
const long = 20 * time.Second

// within is how long a client waits while the vendor is failing: long, but where
// nothing will come. Portkey itself waits for 2 s and then asks the next vendor, HAProxy
// for 1 s for a connection, and for 10 s for an answer.
func (c *cell) within() time.Duration {
	switch {
	case c.mode == vendor.BlackHole && c.l.Name == "llm":
		return 8 * time.Second
	case c.mode == vendor.BlackHole && c.wire != nil:
		return 700 * time.Millisecond
	case c.endless:
		return 3 * time.Second
	}
	return long
}

func endless(who, label string) bool {
	return label == vendor.Stall || label == vendor.BlackHole && who == "vendor"
}

// inGroups are the questions that are asked under the same fault: those that wait long
// wait together, if that leaves no doubt that each meets it.
func (l *matrix) inGroups(who, label, mode string, qs []question) iter.Seq[[]question] {
	if endless(who, label) || who == "wire" && slices.Contains(mute, mode) && !l.inTurn {
		return slices.Chunk(qs, len(qs))
	}
	return slices.Chunk(qs, 1)
}

// askEach asks for all cells at once, but in their order where somebody asks all vendors
// in turn: the failing one has then been asked for each.
func (l *matrix) askEach(t *testing.T, cells []*cell, pooled, fresh int) {
	var work sync.WaitGroup
	defer work.Wait()
	for i, c := range cells {
		wait := l.inTurn && i < len(cells)-1
		all := pooled + fresh
		if wait {
			all += l.served(t)
		}
		work.Go(func() { c.ask(t, pooled, fresh) })
		for begin := time.Now(); wait && l.served(t) < all; <-time.After(20 * time.Millisecond) {
			require.Less(t, time.Since(begin), long, "%s: every request gets to a vendor", c.name)
		}
	}
}

// served is how many requests the vendors got, other than health checks.
func (l *matrix) served(t *testing.T) (n int) {
	for _, es := range l.vendorLogs(t) {
		for _, e := range es {
			if e.Op != vendor.OpModels {
				n++
			}
		}
	}
	return n
}

func (c *cell) end(t *testing.T) { assert.NoError(t, c.pooled.(io.Closer).Close()) }

func (c *cell) outcomes() (all []timeline.Outcome) {
	for _, r := range c.during {
		all = append(all, r.Request.Outcome)
	}
	return all
}

// settle waits until the gateway leads to the first vendor, or to all in turn. HAProxy
// with backup servers is told that the vendor is well: its health checks take a second.
func (l *matrix) settle(t *testing.T) {
	for begin := time.Now(); !l.leads(t); <-time.After(50 * time.Millisecond) {
		if l.Name == "llm-haproxy" {
			l.wellAgain(t)
		}
		require.Less(t, time.Since(begin), 30*time.Second, "%s leads to %s again", l.Name, l.Members[0].Name)
	}
}

func (l *matrix) wellAgain(t *testing.T) {
	var with route.HAProxySpec
	require.NoError(t, json.Unmarshal(l.c.Routes[0].Spec.With, &with))
	c, err := net.Dial("unix", with.Socket)
	require.NoError(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c, "set server %s/%s health up\n", with.Backend, l.Members[0].Name)
	require.NoError(t, err)
	said, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Empty(t, strings.TrimSpace(string(said)))
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
