package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// One pod of three is killed, by the Kubernetes API and by Chaos Mesh: what the
// report says is what the pods' own books say and what a client apart saw.
func TestPodKill(t *testing.T) {
	l := cluster(t)
	for _, injector := range []string{"native", "chaos-mesh"} {
		t.Run(injector, func(t *testing.T) {
			d := l.drills(t, "api", marked(t, injector), "--var", "injector="+injector)
			require.Equal(t, verdict.ExitMet, d.out.code, d.out.stderr)
			assert.Equal(t, "topology", d.Recovery.By)
			require.Len(t, d.Faults, 1)
			require.Len(t, d.Faults[0].Targets, 1)
			d.countsWhatWasServed(t, l, injector)
			d.agreesWithTheClientApart(t)
			d.replaced(t, 1)
			t.Log(d.Sentence)
			l.whole(t)
		})
	}
}

// All replicas are killed at once: a real outage, whose end the pods themselves know.
func TestEveryPodIsKilled(t *testing.T) {
	l := cluster(t)
	d := l.drills(t, "api", marked(t, "all"), "--var", "count=3")
	require.Equal(t, verdict.ExitMet, d.out.code, d.out.stderr)
	require.Len(t, d.Faults[0].Targets, 3)
	d.countsWhatWasServed(t, l, "all")
	d.agreesWithTheClientApart(t)
	d.replaced(t, 3)

	// The first answer of a pod that was not there before.
	var first time.Time
	for pod, book := range l.books(t) {
		for _, s := range book {
			if slices.Contains(d.replacements(), pod) && (first.IsZero() || s.Time.Before(first)) {
				first = s.Time
			}
		}
	}
	require.False(t, first.IsZero(), "no replacement answered anything")
	var rto *verdict.ObjectiveResult
	for i, o := range d.Objectives {
		if o.Name == "rto" {
			rto = &d.Objectives[i]
		}
	}
	require.NotNil(t, rto)
	require.NotNil(t, rto.Actual.Hi)
	for _, p := range d.Probes {
		if p.Kind != "http" {
			continue
		}
		require.NotEmpty(t, p.Outages, p.Name)
		end := p.Outages[len(p.Outages)-1].End
		require.NotNil(t, end.Hi, p.Name)
		t.Logf("%s/%s: up again within [%s, %s] of the first answer of a new pod", p.Name, p.Client, end.Lo.Sub(first), end.Hi.Sub(first))
		assert.False(t, end.Hi.Before(first), "%s says that it was up before any new pod had answered", p.Name)
	}
	t.Log(d.Sentence)
	l.whole(t)
}

// marked is the quick scenario, whose requests can be told from others in the books.
func marked(t *testing.T, mark string, replace ...string) string {
	t.Helper()
	return podKill(t, append([]string{`path: \$\{path\}`, `path: ${path}` + "\n        headers: {X-Request-Id: " + probeID(t, mark) + "}"}, replace...)...)
}

func probeID(t *testing.T, mark string) string {
	return strings.NewReplacer("/", "-", " ", "-").Replace("probe-" + t.Name() + "-" + mark)
}

// countsWhatWasServed: for each pod, as many good samples as it wrote down; one that
// it answered and that never arrived may be more.
func (d *podDrill) countsWhatWasServed(t *testing.T, l *clusterLab, mark string) {
	t.Helper()
	all, err := d.rec.ReadSamples()
	require.NoError(t, err)
	good, lost := map[string]int{}, 0
	for _, s := range slices.Concat(all...) {
		switch {
		case d.rec.Started.Plan.Series[s.Series].Kind != "http":
		case s.Class.Good():
			good[s.By]++
		case s.Class.Bad():
			lost++
		}
	}
	require.NotEmpty(t, good)
	for pod, book := range l.books(t) {
		n := 0
		for _, s := range book {
			if s.ID == probeID(t, mark) {
				n++
			}
		}
		assert.LessOrEqual(t, good[pod], n, "%s wrote down less than it is said to have answered", pod)
		assert.LessOrEqual(t, n, good[pod]+lost, "%s wrote down more than was asked", pod)
		delete(good, pod)
	}
	assert.Empty(t, good, "pods that answered and are not known")
}

// replaced: every target's loss is told with the phases of its replacement, in order.
func (d *podDrill) replaced(t *testing.T, n int) {
	t.Helper()
	require.Len(t, d.Losses, n)
	for _, loss := range d.Losses {
		assert.Contains(t, d.Faults[0].Targets, loss.Member)
		assert.NotEmpty(t, loss.Replacement, loss.Member)
		assert.NotContains(t, d.Faults[0].Targets, loss.Replacement)
		require.NotEmpty(t, loss.Phases)
		for i, p := range loss.Phases {
			assert.LessOrEqual(t, p.From, p.To, "%s of %s", p.Name, loss.Member)
			assert.LessOrEqual(t, p.Failed, p.Samples)
			if i > 0 {
				assert.GreaterOrEqual(t, p.From, loss.Phases[i-1].From-1e-9, "%s of %s", p.Name, loss.Member)
			}
			t.Logf("%s -> %s: %-20s %7.3f .. %7.3f s, %d of %d requests failed", loss.Member, loss.Replacement, p.Name, p.From, p.To, p.Failed, p.Samples)
		}
	}
}

func (d *podDrill) replacements() (names []string) {
	for _, l := range d.Losses {
		names = append(names, l.Replacement)
	}
	return names
}

// agreesWithTheClientApart: where a client of its own was failed for longer than the
// probes' rhythm, the report has an outage; and what the report is certain of, that
// client saw, too.
func (d *podDrill) agreesWithTheClientApart(t *testing.T) {
	t.Helper()
	type span struct{ from, to time.Time }
	var reported, certain []span
	var every time.Duration
	for _, p := range d.Probes {
		if p.Kind != "http" || p.Client != "fresh" {
			continue
		}
		every = time.Duration(p.Every * float64(time.Second))
		for _, o := range p.Outages {
			require.NotNil(t, o.End.Hi)
			reported = append(reported, span{o.Start.Lo, *o.End.Hi})
			if o.Start.Hi != nil && o.Start.Hi.Before(o.End.Lo) {
				certain = append(certain, span{*o.Start.Hi, o.End.Lo})
			}
		}
	}
	require.Positive(t, every)
	slices.SortFunc(d.apart, func(a, b asked) int { return a.from.Compare(b.from) })
	failed := slices.DeleteFunc(slices.Clone(d.apart), func(a asked) bool { return a.error == "" })
	t.Logf("%d of %d requests of the client apart failed; %d outages reported", len(failed), len(d.apart), len(reported))
	meets := func(a asked, s span) bool { return !a.to.Before(s.from) && !a.from.After(s.to) }
	// Runs of failed requests that are longer than two samples' distance.
	for i := 0; i < len(failed); {
		j := i
		for j+1 < len(failed) && failed[j+1].from.Sub(failed[j].from) <= 2*every {
			j++
		}
		if failed[j].from.Sub(failed[i].from) > 2*every+d.slack(t) {
			assert.True(t, slices.ContainsFunc(reported, func(s span) bool {
				return slices.ContainsFunc(failed[i:j+1], func(a asked) bool { return meets(a, s) })
			}), "the client apart was failed from %s to %s, and no outage is reported then", failed[i].from, failed[j].to)
		}
		i = j + 1
	}
	for _, s := range certain {
		if s.to.Sub(s.from) > 4*every {
			assert.True(t, slices.ContainsFunc(failed, func(a asked) bool { return meets(a, s) }),
				"an outage is reported from %s to %s, and the client apart saw none", s.from, s.to)
		}
	}
}

// slack is how late the runner's samples were at most.
func (d *podDrill) slack(t *testing.T) (late time.Duration) {
	t.Helper()
	all, err := d.rec.ReadSamples()
	require.NoError(t, err)
	for _, s := range slices.Concat(all...) {
		if s.Class != timeline.NoData {
			late = max(late, time.Duration(s.Start-s.Due))
		}
	}
	return late
}

// The same loss costs three workloads differently, and the phases say why: one takes
// leave before it ends, one is asked seldom whether it is ready, and one is never asked
// and gets requests before it listens.
func TestPhasesExplainTheDifference(t *testing.T) {
	l := cluster(t)
	loss := func(component, grace string) verdict.LossResult {
		d := l.drills(t, component, marked(t, component), "--var", "grace="+grace)
		require.Equal(t, verdict.ExitMet, d.out.code, d.out.stderr)
		d.replaced(t, 1)
		d.agreesWithTheClientApart(t)
		t.Logf("%s: %s Why: %q", component, d.Sentence, d.Losses[0].Why)
		l.whole(t)
		return d.Losses[0]
	}
	polite, seldom, never := loss("api", "30s"), loss("web", "1s"), loss("bare", "1s")

	assert.Zero(t, failed(polite, ""), "a pod that takes leave costs nothing")
	assert.GreaterOrEqual(t, long(polite, "ended"), 1.9, "it sleeps for 2 s before it ends")
	assert.GreaterOrEqual(t, long(seldom, "ready"), 2.5, "it is not asked before 3 s")
	assert.Greater(t, long(seldom, "ready"), long(polite, "ready"))
	assert.Less(t, long(never, "ready"), 1.0, "nobody asks whether it is ready")
	assert.Positive(t, failed(never, "still failing"), "it is among the endpoints 2 s before it listens")
}

// failed is how many requests failed in a phase of a loss; "" stands for all.
func failed(l verdict.LossResult, phase string) (n int) {
	for _, p := range l.Phases {
		if phase == "" || p.Name == phase {
			n += p.Failed
		}
	}
	return n
}

// long is how long a phase of a loss took.
func long(l verdict.LossResult, phase string) float64 {
	for _, p := range l.Phases {
		if p.Name == phase {
			return p.To - p.From
		}
	}
	return 0
}
