package reports

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/reports/reportstest"
)

func limited(name string, limit, measured float64) verdict.ObjectiveResult {
	return verdict.ObjectiveResult{Name: name, Limit: &limit, Measured: &measured}
}

// Neither does what was missed look met, nor the other way round.
func TestTargetsAreNotRoundedAway(t *testing.T) {
	for _, c := range []struct {
		o              verdict.ObjectiveResult
		target, actual string
	}{
		{limited("availability", 0.95, 0.992), "≥ 95 %", "99.2 %"},
		{limited("availability", 0.95, 0.94999), "≥ 95 %", "94.99 %"},
		{limited("availability", 1, 0.999999), "≥ 100 %", "99.99 %"},
		{limited("availability", 0.99995, 0.99996), "≥ 99.995 %", "99.996 %"},
		{limited("fallback", 0.29, 0.29), "≥ 29 %", "29 %"},
		{limited("fallback", 0.99, 0), "≥ 99 %", "0 %"},
		{limited("truncated", 0, 3), "≤ 0", "3"},
		{limited("answered-twice", 10, 12345), "≤ 10", "12,345"},
		{verdict.ObjectiveResult{Name: "first-token-p95", Target: 2, Actual: &verdict.Seconds{Lo: 2.0004, Hi: new(2.0004)}}, "2 s", "2.01 s"},
		{verdict.ObjectiveResult{Name: "first-token-p95", Target: 0.05, Actual: &verdict.Seconds{Lo: 0.05000002, Hi: new(0.05000002)}}, "50 ms", "50.1 ms"},
		{verdict.ObjectiveResult{Name: "first-token-p95", Target: 2, Actual: &verdict.Seconds{Lo: 1.9996, Hi: new(1.9996)}}, "2 s", "2 s"},
		{verdict.ObjectiveResult{Name: "fail-back", Target: 30, Actual: &verdict.Seconds{Lo: 12}}, "30 s", "more than 12 s"},
		{verdict.ObjectiveResult{Name: "fallback", Limit: new(0.99)}, "≥ 99 %", "not measured"},
	} {
		assert.Equal(t, c.target, target(c.o), "%+v", c.o)
		assert.Equal(t, c.actual, actual(c.o).String(), "%+v", c.o)
	}
	assert.Equal(t, "0.1 %", atMost(1e-6, 1), "nothing bad is rounded away")
	assert.Equal(t, "100 %", atLeast(1, 1))
}

func TestSharesAreDrawnAndCountsAreNot(t *testing.T) {
	drawn := map[string]bool{}
	for _, o := range objectives(reportstest.LLMMissed()) {
		drawn[o.Name] = o.Drawn
	}
	assert.Equal(t, map[string]bool{
		"rto": true, "availability": true, "fallback": true, "first-token-p95": true, "fail-back": true,
		"truncated": false, "wrong-embeddings": false, "answered-twice": false, "rejoin": false,
	}, drawn)
	b := newBullet(limited("availability", 0.95, 0.4))
	assert.Equal(t, "95%", b.Target)
	assert.Equal(t, "40%", b.Bar)
	assert.Equal(t, "Availability 40 % against a target of ≥ 95 %.", b.Says)
}

func TestRequests(t *testing.T) {
	r := reportstest.LLMMissed()
	v := requests(r)[0]
	require.Len(t, v.Lists, 1)
	assert.Equal(t, "Truncated answers", v.Lists[0].Name)
	assert.Len(t, v.Lists[0].Rows, 3)
	assert.True(t, v.Lists[0].Open, "three truncated answers are not to be overlooked")
	assert.Equal(t, "1 time", v.Flaps)
	for i, b := range v.Bars {
		n := 0.0
		for _, p := range b.Parts {
			n += p.n
		}
		assert.InDelta(t, float64(r.Requests[0].Stages[i].Requests), n, 1e-9, "the parts of a bar are all requests")
	}

	r.Requests[0].FailBack.Hi, r.Requests[0].AnsweredTwice = nil, nil
	v = requests(r)[0]
	assert.True(t, v.Never)
	assert.Equal(t, "–", v.Classes[5].Count, "not known is not zero")
}

// Of the requests that are not listed the page says how many, and where they are.
func TestLongListsOfRequests(t *testing.T) {
	r := reportstest.LLMMissed()
	q := &r.Requests[0]
	q.IDs["truncated"] = nil
	for i := range 1000 {
		q.IDs["truncated"] = append(q.IDs["truncated"], verdict.RequestID{ID: fmt.Sprint("r-", i), Probe: "chat/fresh"})
	}
	q.Unlisted = map[string]uint64{"truncated": 234}
	p := rendered(t, reportstest.Fixture{Name: "many", Result: r})
	has(t, p, "Truncated answers: 1,234 requests, the first 200 shown")
	has(t, p, "Not listed here: 800 requests in result.json, 234 requests in the record&#39;s samples only.")
	has(t, p, ">r-199<")
	lacks(t, p, ">r-200<")
	lacks(t, p, `<details open`)
	var b bytes.Buffer
	require.NoError(t, Markdown(&b, r))
	has(t, b.String(), "Truncated answers, 1,234 requests, the first 12 shown; result.json has more:")
	lacks(t, b.String(), "`r-12`")
}

// A partial outage is one row, and stands for the short ones that it is made of.
func TestPartialOutageIsOneRow(t *testing.T) {
	at := func(s int) verdict.Instants {
		lo := time.Unix(int64(s), 0)
		hi := lo.Add(time.Second)
		return verdict.Instants{Lo: lo, Hi: &hi}
	}
	p := verdict.ProbeResult{Name: "chat", Client: "fresh"}
	for s := range 50 {
		p.Outages = append(p.Outages, verdict.Outage{Start: at(10 * s), End: at(10*s + 2), Length: verdict.Seconds{Lo: 1}, Cause: "gone"})
	}
	p.Partial = []verdict.PartialResult{
		{Start: p.Outages[5].Start, End: p.Outages[20].End, Bad: 128, Samples: 412, Share: 128.0 / 412, Class: "error"},
		{Start: p.Outages[30].Start, End: verdict.Instants{Lo: p.Outages[49].End.Lo}, Bad: 3, Samples: 9, Share: 1.0 / 3, Class: "error"},
	}
	out, more := outages(verdict.Result{Probes: []verdict.ProbeResult{p}}, time.Unix(0, 0))
	require.Len(t, out, 5+1+9+1)
	assert.Zero(t, more)
	assert.True(t, out[5].Partial)
	assert.Equal(t, "31 % of 412", out[5].Bad)
	assert.Equal(t, "gone", out[5].Cause)
	assert.Equal(t, "error", out[5].Class)
	assert.False(t, out[6].Partial)
	assert.True(t, out[15].Partial)
	assert.Equal(t, "not while the drill looked", out[15].End)
	assert.True(t, strings.HasPrefix(out[15].Length, "more than"), out[15].Length)

	bands := []verdict.Band{{State: "good", From: 0, To: 10}, {State: "bad", From: 10, To: 12}, {State: "good", From: 12, To: 20}, {State: "bad", From: 20, To: 22}, {State: "good", From: 22, To: 60}}
	s := verdict.PartialResult{Start: at(10), End: at(22), Share: 0.31}
	var states []string
	for _, b := range withPartial(bands, []verdict.PartialResult{s}, time.Unix(0, 0)) {
		states = append(states, fmt.Sprint(b.State, " ", b.From, " ", b.To))
	}
	assert.Equal(t, []string{"good 0 10", "partial 10 23", "good 23 60"}, states)
}

func TestJUnitTellsOfRequests(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, JUnit(&b, reportstest.LLMMissed()))
	var s junit.Testsuites
	require.NoError(t, xml.Unmarshal(b.Bytes(), &s))
	got := map[string]string{}
	for _, p := range *s.Suites[0].Properties {
		got[p.Name] = p.Value
	}
	for name, want := range map[string]string{
		"truncated.llm.limit": "0", "truncated.llm.measured": "3", "availability.llm.limit": "0.95", "availability.llm.measured": "1",
		"first-token-p95.llm.target_s": "2", "requests.llm.truncated": "3", "requests.llm.whole": "795", "requests.llm.flaps": "1",
	} {
		assert.Equal(t, want, got[name], name)
	}
	assert.NotContains(t, got, "truncated.llm.target_s", "a count is no duration")
}
