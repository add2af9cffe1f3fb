package probes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/lab/vendor"
	"firedrill/probes/probetest"
)

// startVendor starts a simulated vendor that ends with the test.
func startVendor(t testing.TB, tokenDelay time.Duration) *vendor.Vendor {
	t.Helper()
	v, err := vendor.Start(vendor.Config{
		Name: "v1", Listen: "127.0.0.1:0", Key: "sk-test", Models: []string{"m", "e", "r"}, Dimension: 64, Seed: 1, TokenDelay: tokenDelay,
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, v.Close()) })
	return v
}

// vendorSubject is a route that leads to one vendor, whose key is in a file.
func vendorSubject(t testing.TB, v *vendor.Vendor, client drills.Client, identify string) drills.Subject {
	s := llmSubject(strings.TrimPrefix(v.URL(), "http://"), client)
	s.Component = llmComponent(`,"key":"file:testdata/llm.key"` + identify)
	return s
}

// failing is every mode of a vendor, with what it takes.
func failing() []vendor.Mode {
	const delay = spec.Duration(80 * time.Millisecond)
	var all []vendor.Mode
	for _, name := range vendor.Modes() {
		m := vendor.Mode{Name: name, After: 2}
		switch name {
		case vendor.Status:
			m.Status = 503
		case vendor.Latency, vendor.SlowFirstToken:
			m.Delay = delay
		case vendor.WrongEmbedding:
			m.Dimension = 48
		}
		all = append(all, m)
	}
	return append(
		all, vendor.Mode{Name: vendor.Stall, After: 2, Delay: delay}, vendor.Mode{Name: vendor.WrongEmbedding}, vendor.Mode{Name: vendor.Cut},
		vendor.Mode{Name: vendor.Status, Status: 502}, vendor.Mode{Name: vendor.Status, Status: 529},
	)
}

// ending is what a request comes to for who asked, by the vendor's own log of it.
func ending(e vendor.Entry, m vendor.Mode) (timeline.Outcome, timeline.Class) {
	streamed := func(outcome timeline.Outcome, class, otherwise timeline.Class) (timeline.Outcome, timeline.Class) {
		if e.Stream {
			return outcome, class
		}
		return timeline.Failed, otherwise
	}
	switch e.Mode {
	case vendor.Reset:
		return timeline.Failed, timeline.Reset
	case vendor.Unauthorized, vendor.Forbidden:
		return timeline.Failed, timeline.Auth
	case vendor.RateLimited, vendor.Quota:
		return timeline.Failed, timeline.RateLimited
	case vendor.Status, vendor.ModelGone:
		return timeline.Failed, timeline.Error
	case vendor.Cut:
		return streamed(timeline.Cut, timeline.Truncated, timeline.Reset)
	case vendor.MalformedSSE:
		return timeline.Failed, timeline.WrongAnswer
	case vendor.GarbledSSE:
		return timeline.Cut, timeline.Truncated
	case vendor.TruncatedJSON:
		return streamed(timeline.Cut, timeline.Truncated, timeline.WrongAnswer)
	case vendor.HTML:
		return streamed(timeline.Wrong, timeline.WrongAnswer, timeline.WrongAnswer)
	case vendor.EmptyChoice, vendor.WrongModel, vendor.WrongEmbedding:
		return timeline.Wrong, timeline.WrongAnswer
	case vendor.BlackHole:
		return timeline.Unanswered, timeline.Timeout
	case vendor.Stall:
		if m.Delay == 0 {
			return timeline.Unanswered, timeline.Timeout
		}
	}
	return timeline.Whole, timeline.OK
}

// Every mode of a vendor is what its own log says it was, request by request.
func TestLLMAgreesWithTheVendor(t *testing.T) {
	t.Parallel()
	for _, m := range failing() {
		t.Run(fmt.Sprintf("%s/%d/%s", m.Name, m.Status+m.Dimension+m.After, m.Delay), func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct{ kind, with string }{
				{"llm-chat", `{"stream":true}`}, {"llm-chat", `{}`}, {"llm-embedding", `{}`}, {"llm-rerank", `{}`},
			} {
				t.Run(c.kind+c.with, func(t *testing.T) {
					t.Parallel()
					bothClients(t, func(t *testing.T, client drills.Client) { agrees(t, m, c.kind, c.with, client) })
				})
			}
		})
	}
}

// agrees looks at a vendor before, in and after a mode.
func agrees(t *testing.T, m vendor.Mode, kind, with string, client drills.Client) {
	v := startVendor(t, time.Millisecond)
	identify := `,"identify":{"by":"header","header":"X-Vendor"}`
	if kind == "llm-chat" {
		identify = `` // by the fingerprint
	}
	s := vendorSubject(t, v, client, identify)
	p := open(t, build(t, kind, with), s)
	for _, m := range []vendor.Mode{{}, m, {}} {
		require.NoError(t, v.SetMode(m))
		o := lookUntil(t, p, v, m)
		es := v.ByID(o.Request.ID)
		if m.Name == vendor.Refused {
			assert.Equal(t, timeline.Failed, o.Request.Outcome)
			// A kept connection that is cut just before the request is reset, not refused.
			assert.Contains(t, []timeline.Class{timeline.Refused, timeline.Reset}, o.Class)
			assert.Empty(t, es)
			continue
		}
		require.Len(t, es, 1, "%s: nothing is asked twice", o.Detail)
		outcome, class := ending(es[0], m)
		assert.Equal(t, outcome, o.Request.Outcome, "%s %s: %s", m.Name, es[0].Mode, o.Detail)
		assert.Equal(t, class, o.Class, "%s: %s", m.Name, o.Detail)
		assert.Equal(t, es[0].Status, o.Request.Status)
		assert.NotContains(t, o.Detail, "sk-test")
		compareFirst(t, s.Clock, es[0], o)
		compareCounts(t, es[0], o)
	}
}

// lookUntil looks for so long that a vendor that goes on for ever has got as far as it
// will: 200 ms are plenty, but for a machine with other things to do.
func lookUntil(t *testing.T, p drills.Probe, v *vendor.Vendor, m vendor.Mode) drills.Observation {
	t.Helper()
	const patience = 20 * time.Second
	if m.Name != vendor.BlackHole && (m.Name != vendor.Stall || m.Delay > 0) {
		o, _ := probetest.Look(t, p, patience)
		return o
	}
	for within := 200 * time.Millisecond; ; within *= 4 {
		o, _ := probetest.Look(t, p, within)
		es := v.ByID(o.Request.ID)
		far := len(es) == 1 && es[0].Status == o.Request.Status && (m.Name == vendor.BlackHole || es[0].Status != 0)
		if far && es[0].Stream && m.Name == vendor.Stall {
			far = es[0].Tokens == m.After && strings.Contains(o.Detail, fmt.Sprintf("after %d pieces", m.After))
		}
		if far || 4*within > patience {
			return o
		}
	}
}

// answered tells whether a client can have seen a piece of the answer.
func answered(e vendor.Entry, o timeline.Request) bool {
	if e.Stream {
		return e.Tokens > 0
	}
	return e.Status == 200 && o.Outcome != timeline.Failed && o.Outcome != timeline.Unanswered && e.Mode != vendor.EmptyChoice && e.Mode != vendor.HTML
}

// compareFirst holds the first token against the vendor's clock, which is this
// process's own: it cannot be seen before it was sent.
func compareFirst(t *testing.T, clock timeline.Clock, e vendor.Entry, o drills.Observation) {
	t.Helper()
	if !answered(e, *o.Request) {
		assert.Zero(t, o.Request.First, o.Detail)
		return
	}
	assert.GreaterOrEqual(t, o.Request.First, clock.At(e.First))
	if m := e.Mode; m == vendor.Latency || m == vendor.SlowFirstToken {
		assert.GreaterOrEqual(t, o.Request.First, clock.At(e.From.Add(80*time.Millisecond)))
	}
	if e.Mode == vendor.Stall && e.Stream {
		assert.Positive(t, o.Request.Stall)
	}
	if e.Mode == vendor.Stall && e.Stream && o.Request.Outcome == timeline.Whole {
		// The third piece came after the pause, two waits after the first, however late that was seen.
		assert.GreaterOrEqual(t, o.Request.First+2*o.Request.Stall, clock.At(e.First.Add(80*time.Millisecond)))
	}
}

func compareCounts(t *testing.T, e vendor.Entry, o drills.Observation) {
	t.Helper()
	switch o.Request.Outcome {
	case timeline.Whole, timeline.Wrong:
		if e.Mode == vendor.HTML {
			return
		}
		if e.Mode == vendor.EmptyChoice && e.Stream {
			assert.Zero(t, o.Request.Out) // it counts nothing then
			return
		}
		assert.EqualValues(t, e.In, o.Request.In)
		assert.Equal(t, "v1", o.By)
		if e.Op == vendor.OpChat && e.Mode != vendor.EmptyChoice {
			assert.EqualValues(t, e.Tokens, o.Request.Out)
		}
	case timeline.Cut:
		assert.Equal(t, "v1", o.By)
		if e.Mode == vendor.Cut || e.Mode == vendor.TruncatedJSON && e.Stream {
			assert.Contains(t, o.Detail, fmt.Sprintf("after %d pieces", e.Tokens))
		}
	case timeline.Unanswered:
		if e.Stream && e.Tokens > 0 {
			assert.Equal(t, "v1", o.By)
			assert.Contains(t, o.Detail, fmt.Sprintf("stalled after %d pieces", e.Tokens))
		}
	}
}

// An index is corrupted when another model embeds: by its dimension or, which no
// dimension tells, by where its vectors lie.
func TestLLMEmbeddingOfAnotherVendor(t *testing.T) {
	t.Parallel()
	bothClients(t, func(t *testing.T, client drills.Client) {
		v := startVendor(t, 0)
		p := open(t, build(t, "llm-embedding", `{"dimension":64}`), vendorSubject(t, v, client, ""))
		for _, c := range []struct {
			mode   vendor.Mode
			class  timeline.Class
			detail string
		}{
			{vendor.Mode{}, timeline.OK, "^$"},
			{vendor.Mode{Name: vendor.WrongEmbedding, Dimension: 32}, timeline.WrongAnswer, "^dimension 32, want 64$"},
			{vendor.Mode{Name: vendor.WrongEmbedding}, timeline.WrongAnswer, `^cosine distance \d(\.\d+)? to the reference, allowed 0.05$`},
			{vendor.Mode{}, timeline.OK, "^$"},
		} {
			require.NoError(t, v.SetMode(c.mode))
			o, _ := probetest.Look(t, p, 5*time.Second)
			assert.Equal(t, c.class, o.Class, o.Detail)
			assert.Regexp(t, c.detail, o.Detail)
		}
	})
}
