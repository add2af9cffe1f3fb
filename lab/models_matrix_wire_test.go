package lab_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology/builtin"
	"firedrill/injectors"
	"firedrill/lab/vendor"
)

// unharmed are the modes of a fault point that pass the whole answer on.
var unharmed = []string{"", vendor.Latency, vendor.SlowFirstToken}

// eventsBefore is how many events of a stream come before the fault: the first one
// has no text.
const eventsBefore = 3

// underFaults makes every fault of llm-fault in front of the first vendor. It returns
// what reads the fault point's log from then on.
func (l *matrix) underFaults(t *testing.T) (log func() []timeline.Exchange) {
	f, at := l.injector(t, way{mode: vendor.Reset})
	begin, err := f.Prepare(t.Context(), at)
	require.NoError(t, err)
	for _, w := range l.ways(t) {
		if !l.has(w.mode) {
			f, at := l.injector(t, w)
			_, err := f.Prepare(t.Context(), at)
			require.ErrorContains(t, err, "mode: "+w.mode+": the fault point")
			continue
		}
		for qs := range l.inGroups("wire", w.String(), w.mode, w.asks) {
			var cells []*cell
			for _, q := range qs {
				c := l.begin(t, "wire", w.String(), w.mode, q)
				c.wire = &w
				cells = append(cells, c)
			}
			if w.mode == vendor.BlackHole && l.Name == "llm-haproxy" {
				l.retriesLater(t, func() { l.fault(t, w, func() { l.askThrough(t, w, cells) }) }, cells)
			} else {
				l.fault(t, w, func() { l.askThrough(t, w, cells) })
			}
			for _, c := range cells {
				c.end(t)
			}
		}
	}
	return func() (all []timeline.Exchange) {
		for x, err := range f.(drills.Wire).Exchanges(t.Context(), begin) {
			require.NoError(t, err)
			all = append(all, x)
		}
		return all
	}
}

// retriesLater waits, after something was done, until HAProxy, which tries to connect for
// a second, has asked again for clients that left, if it does: what it asks then must not
// meet the next fault.
func (l *matrix) retriesLater(t *testing.T, do func(), cells []*cell) {
	asked := l.served(t)
	do()
	for _, c := range cells {
		asked += len(c.during)
	}
	for begin := time.Now(); l.served(t) < asked && time.Since(begin) < 4*time.Second; {
		<-time.After(50 * time.Millisecond)
	}
}

// askThrough asks while the fault point makes a fault. HAProxy lives on an address for
// a while once the name is gone, and for a minute while the name server only fails.
func (l *matrix) askThrough(t *testing.T, w way, cells []*cell) {
	fresh := 2
	if len(cells) > 1 && !cells[0].endless {
		fresh = 1 // with 5 errors at once, HAProxy takes the vendor out
	}
	l.askEach(t, cells, 1, fresh)
	for _, c := range cells {
		for range w.more {
			c.ask(t, 0, 1)
		}
		for begin := time.Now(); w.mode == dnsMode && w.kind == "" && c.unharmed() && time.Since(begin) < 10*time.Second; <-time.After(100 * time.Millisecond) {
			c.ask(t, 0, 1)
		}
	}
}

// unharmed tells whether the first vendor answered everything so far.
func (c *cell) unharmed() bool {
	return !slices.ContainsFunc(c.during, func(r request) bool { return r.Request.Outcome != timeline.Whole || r.By != c.l.Members[0].Name })
}

// has tells whether the lab's gateway asks in a way that the mode can act on.
func (l *matrix) has(mode string) bool {
	p := l.c.Spec.FaultPoint
	return (mode != tlsMode || p.TLS != nil) && (mode != dnsMode || p.DNS != nil)
}

// injector makes a fault for the first vendor. Health checks pass where the mode acts
// on requests.
func (l *matrix) injector(t *testing.T, w way) (drills.Injector, drills.Target) {
	with := map[string]any{"mode": w.mode, "delay": benignDelay, "after": eventsBefore}
	if !slices.Contains(mute, w.mode) {
		with["paths"] = []string{"/v1/chat/", "/v1/embeddings", "/v1/rerank"}
	}
	maps.Copy(with, w.with)
	b, err := json.Marshal(with)
	require.NoError(t, err)
	f, err := injectors.All(builtin.Kinds()).Build("llm-fault", b)
	require.NoError(t, err, w)
	return f, drills.Target{Component: l.c, Members: l.c.Members[:1]}
}

// fault makes a fault the way a drill does, while do runs.
func (l *matrix) fault(t *testing.T, w way, do func()) {
	f, at := l.injector(t, w)
	undo, err := f.Prepare(t.Context(), at)
	require.NoError(t, err, w)
	require.NoError(t, f.Inject(t.Context(), at, undo), w)
	do()
	require.NoError(t, f.Revert(t.Context(), undo), w)
}

// judgeWire holds every request that a fault point stood in the way of against its
// log and the vendors': what it says of answers that it kept to itself is in the log
// when the vendor has ended.
func (l *matrix) judgeWire(t *testing.T, log func() []timeline.Exchange) {
	var problems []string
	for begin := time.Now(); time.Since(begin) < 15*time.Second; <-time.After(200 * time.Millisecond) {
		if problems = l.wireProblems(log(), l.vendorLogs(t)); len(problems) == 0 {
			break
		}
	}
	assert.Empty(t, strings.Join(problems, "\n"))
}

func (l *matrix) wireProblems(log []timeline.Exchange, vendors map[string][]vendor.Entry) (problems []string) {
	saw := map[string][]timeline.Exchange{}
	for _, x := range log {
		saw[x.ID] = append(saw[x.ID], x)
	}
	l.asked(func(c *cell, r request) {
		if c.wire == nil {
			return
		}
		xs, es := saw[r.Request.ID], vendors[r.Request.ID]
		if r.Request.Outcome == timeline.Unanswered { // a gateway may go on for a client that left
			xs = slices.DeleteFunc(xs, func(x timeline.Exchange) bool { return x.From.After(r.left) })
			es = slices.DeleteFunc(es, func(e vendor.Entry) bool { return e.From.After(r.left) })
		}
		slices.SortStableFunc(xs, func(a, b timeline.Exchange) int { return a.From.Compare(b.From) })
		tries, problem := c.wire.pair(xs, es)
		if problem == "" {
			problem = l.verdict(c, r, tries)
		}
		if problem != "" {
			problems = append(problems, fmt.Sprintf("%s: %s client, request %s: %s: %s\n%+v\n%+v", c.name, r.client, r.Request.ID, r.Detail, problem, xs, es))
		}
	})
	return problems
}

// pair finds for each request that the fault point passed on the vendor's own entry,
// and none for others.
func (w *way) pair(xs []timeline.Exchange, es []vendor.Entry) (tries []try, problem string) {
	for _, x := range xs {
		y := try{vendor: x.Member, names: x.Member, mode: x.Fault, status: x.Status, from: x.From, orderly: true}
		kept := slices.Contains(mute, x.Fault) || x.Fault != "" && w.instead() != 0
		if kept {
			if x.Status != 0 || x.Billed || x.Delivered {
				return nil, fmt.Sprintf("the vendor was not asked, and yet: %+v", x)
			}
			y.status, y.names = w.instead(), "" // no vendor's header is in that answer
			tries = append(tries, y)
			continue
		}
		i := slices.IndexFunc(es, func(e vendor.Entry) bool { return e.Vendor == x.Member })
		if i < 0 {
			return nil, fmt.Sprintf("no vendor knows of %+v", x)
		}
		e := es[i]
		es = slices.Delete(slices.Clone(es), i, i+1)
		if problem := billing(x, e); problem != "" {
			return nil, problem
		}
		y.in, y.out, y.first = e.In, e.Tokens, e.First
		y.left = e.Aborted && x.Fault == ""
		y.whole = slices.Contains(unharmed, x.Fault) && x.Delivered && e.Complete
		if x.Fault == vendor.Cut {
			y.out = eventsBefore - 1
		}
		tries = append(tries, y)
	}
	if len(es) > 0 {
		return nil, fmt.Sprintf("the fault point knows nothing of %+v", es)
	}
	slices.SortStableFunc(tries, func(a, b try) int {
		if a.left != b.left && a.from.Sub(b.from).Abs() < atOnce {
			return map[bool]int{true: -1, false: 1}[a.left]
		}
		return a.from.Compare(b.from)
	})
	return tries, ""
}

// atOnce is how close tries on two connections may be to be read in either order: the
// one that was given up came first.
const atOnce = 50 * time.Millisecond

// billing compares what the fault point and the vendor say of an answer. A client
// that read half an event leaves, or a gateway does, and the request ends at the
// vendor, too.
func billing(x timeline.Exchange, e vendor.Entry) string {
	gone := x.Fault == "" && e.Aborted
	leaves := gone || x.Fault == vendor.MalformedSSE
	switch {
	case e.Mode != "":
		return fmt.Sprintf("the vendor did something itself: %+v", e)
	case !gone && x.Status != e.Status:
		return fmt.Sprintf("status %d, the vendor says %d", x.Status, e.Status)
	case x.Delivered != (slices.Contains(unharmed, x.Fault) && !leaves):
		return fmt.Sprintf("delivered: %t", x.Delivered)
	case !leaves && (!x.Billed || !e.Complete):
		return fmt.Sprintf("billed: %t, complete: %t", x.Billed, e.Complete)
	case !leaves && (x.In != int64(e.In) || x.Out != int64(e.Tokens)):
		return fmt.Sprintf("%d tokens in and %d out, the vendor says %d and %d", x.In, x.Out, e.In, e.Tokens)
	}
	return ""
}
