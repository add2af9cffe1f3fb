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
func TestClusterPodKill(t *testing.T) {
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

// What the library has for clusters can be planned on this one: each names who would be
// hit and how it is undone, and nothing is touched.
func TestClusterPlansTheLibrary(t *testing.T) {
	l := cluster(t)
	for name, want := range map[string]string{
		"pod-kill":      `fault pod-gone \(pod-kill\) +api-\S+`,
		"pod-partition": `fault cut-off \(chaos-mesh\) +api-\S+`,
		"node-drain":    `fault node-gone \(node-drain\) +node-\S+ +uncordon node-`,
	} {
		before := l.untouched(t)
		out := l.run(t, "plan", name, "--lab", l.lab)
		assert.Zero(t, out.code, out.stderr)
		assert.Regexp(t, want, out.stdout)
		assert.Equal(t, before, l.untouched(t))
	}
}

// All replicas are killed at once: a real outage, whose end the pods themselves know.
func TestClusterEveryPodIsKilled(t *testing.T) {
	l := cluster(t)
	d := l.drills(t, "api", marked(t, "all"), "--var", "count=3")
	require.Equal(t, verdict.ExitMet, d.out.code, d.out.stderr)
	require.Len(t, d.Faults[0].Targets, 3)
	d.countsWhatWasServed(t, l, "all")
	d.agreesWithTheClientApart(t)
	d.replaced(t, 3)

	d.containsTheTruth(t, l)
	t.Log(d.Sentence)
	l.whole(t)
}

// containsTheTruth: the moment from which clients were served again, as a client apart
// and the pods' own books know it, is within what the report says, and so is the time
// that it took.
func (d *podDrill) containsTheTruth(t *testing.T, l *clusterLab) {
	t.Helper()
	p := d.httpProbe(t, "fresh")
	every := time.Duration(p.Every * float64(time.Second))
	slack := d.slack(t) + 2*every
	from, down, up := d.downApart(t, 2*every+slack)
	i := slices.IndexFunc(p.Outages, func(o verdict.Outage) bool { return o.End.Hi != nil && !o.End.Hi.Before(from) && !o.Start.Lo.After(up) })
	require.GreaterOrEqual(t, i, 0, "the client apart was failed from %s to %s, and no outage is reported then", from, down)
	end := p.Outages[i].End
	t.Logf("up again between %s and %s after the client apart failed for the last time, reported: between %s and %s after that (slack %s)",
		time.Duration(0), up.Sub(down), end.Lo.Sub(down), end.Hi.Sub(down), slack)
	assert.False(t, end.Lo.After(up.Add(slack)), "the report says that it was down when the client apart was served again")
	assert.False(t, end.Hi.Before(down.Add(-slack)), "the report says that it was up when the client apart was still failed")

	first := d.firstServed(t, l)
	t.Logf("a new pod answered a client first %s after that", first.Sub(down))
	assert.False(t, end.Hi.Before(first.Add(-slack)), "the report says that it was up before any new pod had answered")
	assert.False(t, end.Lo.After(first.Add(slack)), "the report says that it was down when a new pod answered")

	eff := d.Faults[0].Effective
	require.NotNil(t, eff)
	require.NotNil(t, eff.Hi)
	rto := d.objective(t, "rto").Actual
	require.NotNil(t, rto)
	require.NotNil(t, rto.Hi)
	require.Equal(t, i, len(p.Outages)-1, "clients were failed again later")
	// The slowest of the clients counts: one that waits for an answer when the others
	// are served again may wait for as long as its timeout.
	const timeout = time.Second
	assert.GreaterOrEqual(t, *rto.Hi, (down.Sub(*eff.Hi) - slack).Seconds(), "the client apart knows that it took longer")
	assert.LessOrEqual(t, rto.Lo, (up.Sub(eff.Lo) + slack + timeout).Seconds(), "the client apart knows that it took less")
	assert.LessOrEqual(t, *rto.Hi-rto.Lo, (eff.Hi.Sub(eff.Lo) + slack + 2*timeout).Seconds(), "an interval that wide says nothing")
}

func (d *podDrill) objective(t *testing.T, name string) verdict.ObjectiveResult {
	t.Helper()
	i := slices.IndexFunc(d.Objectives, func(o verdict.ObjectiveResult) bool { return o.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return d.Objectives[i]
}

func (d *podDrill) httpProbe(t *testing.T, client string) verdict.ProbeResult {
	t.Helper()
	i := slices.IndexFunc(d.Probes, func(p verdict.ProbeResult) bool { return p.Kind == "http" && p.Client == client })
	require.GreaterOrEqual(t, i, 0, client)
	return d.Probes[i]
}

// downApart is the last time that the client apart was failed for longer than that: when
// the first of these requests and the last one began, and when the first one after them
// was answered. The service was up again between the latter two.
func (d *podDrill) downApart(t *testing.T, least time.Duration) (from, down, up time.Time) {
	t.Helper()
	for _, run := range d.failedApart(least) {
		if last := run[len(run)-1].from; last.Sub(run[0].from) > least {
			from, down = run[0].from, last
		}
	}
	require.False(t, from.IsZero(), "the client apart was not failed for longer than %s", least)
	i := slices.IndexFunc(d.apart, func(a asked) bool { return a.error == "" && a.from.After(down) })
	require.GreaterOrEqual(t, i, 0, "the client apart was not served again after %s", down)
	return from, down, d.apart[i].to
}

// failedApart are the requests of the client apart that failed, in runs which are further
// apart than that.
func (d *podDrill) failedApart(gap time.Duration) (runs [][]asked) {
	slices.SortFunc(d.apart, func(a, b asked) int { return a.from.Compare(b.from) })
	var last time.Time
	for _, a := range d.apart {
		if a.error == "" {
			continue
		}
		if len(runs) == 0 || a.from.Sub(last) > gap {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], a)
		last = a.from
	}
	return runs
}

// firstServed is when a pod that was not there before the fault answered a client.
func (d *podDrill) firstServed(t *testing.T, l *clusterLab) (first time.Time) {
	t.Helper()
	for pod, book := range l.books(t) {
		for _, s := range book {
			client := strings.HasPrefix(s.ID, "probe-") || strings.HasPrefix(s.ID, "apart-")
			if client && slices.Contains(d.replacements(), pod) && (first.IsZero() || s.Time.Before(first)) {
				first = s.Time
			}
		}
	}
	require.False(t, first.IsZero(), "no replacement answered a client")
	return first
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
	runs := d.failedApart(2 * every)
	failed := slices.Concat(runs...)
	t.Logf("%d of %d requests of the client apart failed; %d outages reported", len(failed), len(d.apart), len(reported))
	meets := func(a asked, s span) bool { return !a.to.Before(s.from) && !a.from.After(s.to) }
	for _, run := range runs {
		from, to := run[0].from, run[len(run)-1].from
		if to.Sub(from) > 2*every+d.slack(t) {
			assert.True(t, slices.ContainsFunc(reported, func(s span) bool {
				return slices.ContainsFunc(run, func(a asked) bool { return meets(a, s) })
			}), "the client apart was failed from %s to %s, and no outage is reported then", from, to)
		}
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
func TestClusterPhasesExplainTheDifference(t *testing.T) {
	l := cluster(t)
	loss := func(component, grace string) (verdict.LossResult, *podDrill) {
		d := l.drills(t, component, marked(t, component), "--var", "grace="+grace)
		require.Equal(t, verdict.ExitMet, d.out.code, d.out.stderr)
		d.replaced(t, 1)
		d.agreesWithTheClientApart(t)
		t.Logf("%s: %s Why: %q", component, d.Sentence, d.Losses[0].Why)
		l.whole(t)
		return d.Losses[0], d
	}
	polite, d := loss("api", "30s")
	seldom, _ := loss("web", "1s")
	never, _ := loss("bare", "1s")

	slow, cut, all := d.failures(t)
	assert.Zero(t, cut, "a pod that takes leave costs nothing")
	assert.LessOrEqual(t, slow, max(1, all/100), "but for what a busy machine does not answer in time")
	assert.GreaterOrEqual(t, long(polite, "ended"), 1.9, "it sleeps for 2 s before it ends")
	assert.GreaterOrEqual(t, long(seldom, "ready"), 2.5, "it is not asked before 3 s")
	assert.Greater(t, long(seldom, "ready"), long(polite, "ready"))
	assert.Less(t, long(never, "ready"), long(seldom, "ready")-1, "nobody asks whether it is ready")
	assert.Positive(t, failed(never, "still failing"), "it is among the endpoints 2 s before it listens")
}

// failures are how many of all requests were not answered in time, and how many failed in
// any other way.
func (d *podDrill) failures(t *testing.T) (slow, cut, all int) {
	t.Helper()
	samples, err := d.rec.ReadSamples()
	require.NoError(t, err)
	for _, s := range slices.Concat(samples...) {
		if d.rec.Started.Plan.Series[s.Series].Kind != "http" {
			continue
		}
		all++
		switch {
		case s.Class == timeline.Timeout:
			slow++
		case s.Class.Bad():
			cut++
		}
	}
	return slow, cut, all
}

// failed is how many requests failed in a phase of a loss.
func failed(l verdict.LossResult, phase string) (n int) {
	for _, p := range l.Phases {
		if p.Name == phase {
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
