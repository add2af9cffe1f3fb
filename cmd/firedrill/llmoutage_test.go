package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/injectors/faultpoint"
	"firedrill/lab/vendor"
)

// The first vendor answers 503, in the library's own scenario as it stands there: the
// gateway asks the next one within the same request, and nobody notices.
func TestVendorOutageIsMetByTheGateway(t *testing.T) {
	l := served(t, "llm")
	a := l.drills(t, "llm-vendor-outage")
	require.Equal(t, verdict.ExitMet, a.out.code, a.out.stderr)
	a.agrees(t)
	r := a.Requests[0]
	assert.Equal(t, "topology", a.Recovery.By)
	assert.Equal(t, r.Requests, r.Whole)
	assert.Equal(t, "vendor-b", r.Expected)
	assert.Zero(t, a.objective(t, "rto").Actual.Lo, "clients saw nothing")
	hit := a.hit(faultpoint.Status)
	assert.NotEmpty(t, hit)
	same(t, hit, a.where(func(e vendor.Entry) bool { return e.Vendor == "vendor-b" && e.Complete }), "what vendor-a refused, vendor-b answered")
	assert.Empty(t, a.where(func(e vendor.Entry) bool { return e.Vendor == "selfhosted-c" }))
	a.says(t, "report.html", "by vendor-b")
	t.Log(a.Sentence)
	l.whole(t)
}

// A stream that ends too early is no error to a gateway: no other vendor is asked,
// and the drill lists each answer that its user took for whole.
func TestVendorThatCutsStreamsIsMissed(t *testing.T) {
	l := served(t, "llm")
	a := l.drills(t, outage(t, `mode: status`, "mode: cut", `rto: 10s`, "rto: 2s"))
	require.Equal(t, verdict.ExitMissed, a.out.code, a.out.stderr)
	a.agrees(t)
	assert.Contains(t, a.missed(), "truncated")
	cut := a.hit(faultpoint.Cut)
	same(t, cut, a.where(func(e vendor.Entry) bool {
		return slices.Contains(cut, e.ID) && e.Vendor == "vendor-a" && e.Complete
	}), "the vendor itself answered in full")
	streams := a.where(func(e vendor.Entry) bool { return e.Stream && slices.Contains(cut, e.ID) })
	require.NotEmpty(t, streams)
	same(t, streams, a.listed(t, "truncated"), "streams")
	same(t, a.where(func(e vendor.Entry) bool { return !e.Stream && slices.Contains(cut, e.ID) }), a.listed(t, "failed"), "the others")
	assert.Equal(t, len(streams), int(*a.objective(t, "truncated").Measured))
	a.says(t, "report.html", streams...)
	require.Len(t, a.Remedies, 1)
	assert.Contains(t, a.Remedies[0].Error, "route models-gateway is fixed: it cannot be switched")
	t.Log(a.Sentence)
	l.whole(t)
}

// HAProxy notices by its health checks. When the vendor is back, requests go back to
// it, and the time for that is what the vendors' own logs say.
func TestVendorOutageBehindHealthChecks(t *testing.T) {
	l := served(t, "llm-haproxy")
	a := l.drills(t, outage(t, `healAfter: 1s`, "healAfter: 20s"))
	a.agrees(t)
	assert.Equal(t, "topology", a.Recovery.By, a.out.stderr)
	assert.Equal(t, "vendor-b", a.Requests[0].Expected)
	assert.Positive(t, a.Requests[0].Stages[1].By["vendor-b"])
	assert.Equal(t, verdict.Met, a.objective(t, "rto").Verdict)
	back := a.Requests[0].FailBack
	require.NotNil(t, back)
	require.NotNil(t, back.Hi, "it is seen to come about")
	_, reverting := event[timeline.Reverting](t, a)
	_, reverted := event[timeline.Reverted](t, a)
	truth := a.backFor(t, "vendor-a")
	require.True(t, truth.After(reverting), "vendor-a served nothing before: %s", truth.Sub(reverting))
	assert.LessOrEqual(t, back.Lo, truth.Sub(reverted).Seconds())
	assert.GreaterOrEqual(t, *back.Hi, truth.Sub(reverting).Seconds())
	assert.Zero(t, a.Requests[0].Flaps)
	t.Logf("%s Fail-back within [%.3f, %.3f] s, by the vendors' logs after %.3f s", a.Sentence, back.Lo, *back.Hi, truth.Sub(reverting).Seconds())
	l.whole(t)
}

// backFor is when a vendor was asked for the first time of a row that no other
// vendor's request breaks any more.
func (a *account) backFor(t *testing.T, member string) (at time.Time) {
	t.Helper()
	for _, e := range slices.Backward(a.entries) {
		if e.Vendor != member {
			break
		}
		at = e.From
	}
	require.False(t, at.IsZero(), "%s was not asked at the end", member)
	return at
}

// A gateway that asks the one that it was told to ask: the runner tells it, whether
// the vendor answers errors or is out of quota, and each failed request is counted.
func TestVendorOutageIsHealedByTheRunner(t *testing.T) {
	l := served(t, "llm-manual")
	for _, c := range []struct {
		mode  faultpoint.Mode
		class timeline.Class
	}{{faultpoint.Status, timeline.Error}, {faultpoint.Quota, timeline.RateLimited}} {
		t.Run(string(c.mode), func(t *testing.T) {
			a := l.drills(t, outage(t, `mode: status`, "mode: "+string(c.mode)))
			require.Equal(t, verdict.ExitMissed, a.out.code, a.out.stderr)
			a.agrees(t)
			assert.Equal(t, "runner", a.Recovery.By)
			assert.Equal(t, verdict.Met, a.objective(t, "rto").Verdict)
			assert.Equal(t, []string{"availability", "first-token-p95"}, a.missed())
			hit := a.hit(c.mode)
			same(t, a.apart(t, slices.Clone(hit)), a.apart(t, a.listed(t, "failed")), "requests that failed")
			assert.Empty(t, a.where(func(e vendor.Entry) bool { return slices.Contains(hit, e.ID) }), "no vendor was asked")
			for _, id := range a.apart(t, slices.Clone(hit)) {
				assert.Equal(t, c.class, a.asked[id].Class, id)
			}
			assert.InDelta(t, a.begun(t), *a.objective(t, "availability").Measured, 0.1)
			a.tried(t, "vendor-a", "vendor-b", "switch route models-gateway vendor-b")
			_, detected := event[timeline.Detected](t, a)
			_, confirmed := event[timeline.Confirmed](t, a)
			assert.GreaterOrEqual(t, detected.Sub(confirmed), time.Second, "the gateway had healAfter for itself")
			assert.Equal(t, "clean", a.Cleanup.Verdict)
			t.Log(a.Sentence)
			l.whole(t)
		})
	}
}

// begun is the share of the requests sent from the fault to its revert that no fault
// hit.
func (a *account) begun(t *testing.T) float64 {
	t.Helper()
	_, injecting := event[timeline.Injecting](t, a)
	_, reverting := event[timeline.Reverting](t, a)
	hit, well, all := map[string]bool{}, 0, 0
	for _, x := range a.wire {
		hit[x.ID] = hit[x.ID] || x.Fault != ""
	}
	for id, s := range a.asked {
		if a.at(s.Start).Before(injecting) || a.at(s.End).After(reverting) {
			continue
		}
		if all++; !hit[id] {
			well++
		}
	}
	return float64(well) / float64(all)
}

// apart are those requests that were not under way while a route was switched or its
// proxy reloaded, or the drill had begun to put things back: HAProxy cuts them, and for a
// moment there is nobody to ask.
func (a *account) apart(t *testing.T, ids []string) []string {
	t.Helper()
	_, reverting := event[timeline.Reverting](t, a)
	return slices.DeleteFunc(ids, func(id string) bool {
		s := a.asked[id]
		for _, e := range a.rec.Events {
			step, ok := e.Payload.(timeline.RemedyStep)
			if ok && (strings.HasPrefix(step.Step, "switch") || step.Step == "reload") && s.Start <= e.T && s.End >= step.From {
				return true
			}
		}
		return a.at(s.End).After(reverting)
	})
}

// tried compares what the only remedy did, step by step.
func (a *account) tried(t *testing.T, want ...string) {
	t.Helper()
	require.Len(t, a.Remedies, 1)
	got := []string{}
	for _, s := range a.Remedies[0].Steps {
		name := s.Member
		if s.Name != "try" {
			name = s.Name + " " + s.Member
		}
		got = append(got, name)
	}
	assert.Equal(t, want, got)
}

// Both vendors that sell the model are down: the self-hosted one answers. Its chat is
// as good, and its embeddings are another model's, which is seen though nothing
// fails.
func TestAllBoughtVendorsAreDown(t *testing.T) {
	l := served(t, "llm")
	a := l.drills(t, brief(t, "llm-all-vendors-outage", `healAfter: 5s`, "healAfter: 1s", theLongest, "duration: 3s", `rto: 10s`, "rto: 1s"))
	require.Equal(t, verdict.ExitMissed, a.out.code, a.out.stderr)
	a.agrees(t)
	assert.Equal(t, "selfhosted-c", a.Requests[0].Expected)
	assert.Equal(t, verdict.Met, a.objective(t, "fallback").Verdict)
	assert.Subset(t, a.missed(), []string{"rto", "wrong-embeddings"})
	assert.Empty(t, a.listed(t, "failed"))
	wrong := a.where(func(e vendor.Entry) bool {
		return e.Vendor == "selfhosted-c" && e.Op == vendor.OpEmbedding && e.Complete
	})
	require.NotEmpty(t, wrong)
	same(t, wrong, a.listed(t, "wrong"), "embeddings of selfhosted-c")
	for _, r := range a.Requests[0].IDs["wrong"] {
		assert.Equal(t, "dimension 384, want 256", r.What)
		assert.Equal(t, "selfhosted-c", r.By)
	}
	assert.Equal(t, verdict.Met, a.objective(t, "fail-back").Verdict)
	t.Log(a.Sentence)
	l.whole(t)
}

// Every vendor is down: nothing helps, and the report says what was tried and what
// each vendor said to that.
func TestAllVendorsAreDown(t *testing.T) {
	l := served(t, "llm-manual")
	a := l.drills(t, outage(t, theFault, on("all-gone", ""), theMembers, "members: 3", `rto: 10s`, "rto: 1s"))
	require.Equal(t, verdict.ExitMissed, a.out.code, a.out.stderr)
	a.agrees(t)
	assert.Equal(t, "none", a.Recovery.By)
	assert.Empty(t, a.Requests[0].Expected)
	same(t, a.hit(faultpoint.Status), a.listed(t, "failed"), "requests that failed")
	a.tried(t, "vendor-a", "vendor-b", "selfhosted-c")
	for _, s := range a.Remedies[0].Steps {
		assert.Contains(t, s.Error, "503 server_error: ")
		said := s.Member + ": " + s.Error
		assert.Contains(t, a.Remedies[0].Error, said)
		a.says(t, "report.html", said)
	}
	assert.Equal(t, "clean", a.Cleanup.Verdict)
	t.Log(a.Sentence)
	l.whole(t)
}

// Three requests in ten fail: that is neither up nor down.
func TestPartialVendorOutage(t *testing.T) {
	l := served(t, "llm-manual")
	a := l.drills(t, outage(t, `share: 1\.0`, "share: 0.3", `every: 100ms`, "every: 50ms", theRemedy, "", theFailBack, "", theLongest, "duration: 3s", `rto: 10s`, "rto: 1s"))
	require.Equal(t, verdict.ExitMissed, a.out.code, a.out.stderr)
	a.agrees(t)
	hit := a.hit(faultpoint.Status)
	same(t, hit, a.listed(t, "failed"), "requests that failed")
	during := a.Requests[0].Stages[1]
	assert.InDelta(t, 0.3, float64(len(hit))/float64(during.Requests), 0.15)
	partial := map[string]bool{}
	for i, p := range a.Probes {
		for _, stretch := range p.Partial {
			partial[p.Name+"/"+p.Client] = true
			bad, all := 0, 0
			for id, s := range a.asked {
				if s.Series != i || s.Class == timeline.NoData || a.at(s.Start).Before(stretch.Start.Lo) || a.at(s.Start).After(stretch.End.Lo) {
					continue
				}
				if all++; slices.Contains(hit, id) {
					bad++
				}
			}
			assert.Equal(t, bad, stretch.Bad, p.Name)
			assert.Equal(t, all, stretch.Samples, p.Name)
			assert.Less(t, stretch.Share, 0.95)
		}
	}
	rto := a.objective(t, "rto")
	assert.Contains(t, partial, rto.Series)
	assert.Regexp(t, `had not recovered .* \(a partial outage: \d+ % of \d+ requests failed\)$`, rto.Why)
	t.Log(rto.Why, slices.Sorted(maps.Keys(partial)))
	l.whole(t)
}
