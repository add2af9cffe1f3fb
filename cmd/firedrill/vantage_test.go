package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/lab"
)

// fromZones is a drill whose probes look from two zones and from the runner. All pods
// are killed at once, so that every one of them sees an outage.
const fromZones = `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: from-zones}
spec:
  objectives: {rto: 1m}
  baseline: 3s
  stable: {for: 2s, samples: 20}
  probes:
    - {name: here, kind: http, target: {component: api}, every: 25ms, timeout: 1s, clients: [fresh], with: {path: /here, memberHeader: X-Served-By}}
    - {name: from-a, kind: http, target: {component: api}, from: {zone: a}, every: 25ms, timeout: 1s, clients: [fresh], with: {path: /from-a, memberHeader: X-Served-By}}
    - {name: from-b, kind: http, target: {component: api}, from: {zone: b}, every: 25ms, timeout: 1s, clients: [fresh, pooled], with: {path: /from-b, memberHeader: X-Served-By}}
  faults:
    - {name: gone, kind: pod-kill, target: {component: api}}
  healAfter: 1m
  limits: {members: 3, sites: 3, duration: 2m}
`

// vantages writes the scenario, with the first of each pair replaced by the second.
func vantages(t *testing.T, replace ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "from-zones.yaml")
	require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(fromZones)), 0o600))
	return path
}

// agents are the pods of probe agents that are there now.
func (l *clusterLab) agents(t *testing.T) []corev1.Pod {
	t.Helper()
	list, err := l.client.CoreV1().Pods(lab.ShopNamespace).List(l.ctx(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=firedrill-agent"})
	require.NoError(t, err)
	return list.Items
}

// agentOn waits for the agent on a node.
func (l *clusterLab) agentOn(t *testing.T, node string) (found corev1.Pod) {
	t.Helper()
	require.Eventually(t, func() bool {
		all := l.agents(t)
		i := slices.IndexFunc(all, func(p corev1.Pod) bool { return p.Spec.NodeName == node && p.Status.Phase == corev1.PodRunning })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	}, time.Minute, 50*time.Millisecond, "no agent runs on %s", node)
	return found
}

// begins starts a drill, and returns what waits for it.
func (l *clusterLab) begins(t *testing.T, scenario, dir string) (runner *os.Process, wait func() output) {
	t.Helper()
	var stderr strings.Builder
	c := l.command(t.Context(), "run", scenario, "--lab", l.lab, "--out", dir)
	c.Stderr = &stderr
	require.NoError(t, c.Start())
	return c.Process, func() output {
		_ = c.Wait()
		return output{code: c.ProcessState.ExitCode(), stderr: stderr.String()}
	}
}

// reaches waits until the drill in dir has begun a phase.
func reaches(t *testing.T, dir, phase string) {
	t.Helper()
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, timeline.EventsFile))
		return strings.Contains(string(b), `"type":"phase-began","data":{"phase":"`+phase+`"}`)
	}, 2*time.Minute, 20*time.Millisecond, "the drill does not reach phase %s", phase)
}

func probe(t *testing.T, r verdict.Result, name, client string) verdict.ProbeResult {
	t.Helper()
	i := slices.IndexFunc(r.Probes, func(p verdict.ProbeResult) bool { return p.Name == name && p.Client == client })
	require.GreaterOrEqual(t, i, 0, name)
	return r.Probes[i]
}

func TestClusterProbesLookFromZones(t *testing.T) {
	l := cluster(t)
	dir := filepath.Join(t.TempDir(), "run")
	began := time.Now()
	out := l.run(t, "run", vantages(t), "--lab", l.lab, "--out", dir)
	set := wallClockSet(began)
	r := l.result(t, dir, out)
	require.Equal(t, verdict.Met, r.Verdict, "%v\n%s", r.Reasons, out.stderr)
	assert.Empty(t, l.agents(t), "the runner's end removes them")
	for _, p := range r.Probes {
		assert.NotEmpty(t, p.Outages, "%s/%s saw nothing", p.Name, p.Client)
		if p.From == "" {
			continue
		}
		t.Logf("%s/%s from %s: %d samples, %d without data, clock known to ± %.2f ms, round trip %.2f ms",
			p.Name, p.Client, p.From, p.Samples, p.NoData, 1e3*p.ClockError, 1e3*p.RoundTrip)
		assert.Equal(t, map[string]string{"from-a": "zone a", "from-b": "zone b"}[p.Name], p.From)
		assert.Positive(t, p.ClockError)
		assert.Less(t, p.ClockError, 0.5, "at its worst, on a machine that is busy")
		assert.Less(t, blind(p), blind(probe(t, r, "here", "fresh"))+0.1, "the runner's own probe is as busy")
	}
	assert.Contains(t, strings.Join(r.Caveats, "\n"), "the clock of the agent in zone b is known to ± ")
	assert.NotContains(t, out.stderr, "UnhandledError", "what the libraries log")
	l.agree(t, dir, set)
	l.whole(t)
}

// blind is the share of a probe's samples that are without data.
func blind(p verdict.ProbeResult) float64 { return float64(p.NoData) / float64(p.Samples) }

// wallClockSet is by how much the wall clock was set right since then.
func wallClockSet(since time.Time) time.Duration {
	now := time.Now()
	return (now.Round(0).Sub(since.Round(0)) - now.Sub(since)).Abs() // Round drops the monotonic reading
}

// agree compares the samples with the books of the pods, which lie on the same
// machine: every request that was answered was there while its sample says so. The pods
// write down what the wall clock says, which was set right by so much meanwhile.
func (l *clusterLab) agree(t *testing.T, dir string, set time.Duration) {
	t.Helper()
	rec, err := timeline.Read(dir)
	require.NoError(t, err)
	samples, err := rec.ReadSamples()
	require.NoError(t, err)
	books := l.books(t)
	tick := 2*time.Millisecond + set
	for _, e := range rec.Events {
		if c, ok := e.Payload.(timeline.ClockRelated); ok {
			tick = max(tick, 2*time.Millisecond+set+c.Strayed)
			b, _ := json.Marshal(c)
			t.Logf("at %v: %s", time.Duration(e.T), b)
		}
	}
	for i, s := range rec.Started.Plan.Series {
		n, strays := 0, 0
		var errs []timeline.Offset
		for _, x := range samples[i] {
			if !x.Class.Good() {
				continue
			}
			n++
			errs = append(errs, x.Error)
			from, to := rec.Started.StartedAt.Add(time.Duration(x.Start)-tick), rec.Started.StartedAt.Add(time.Duration(x.End)+tick)
			if !slices.ContainsFunc(books[x.By], func(b booked) bool {
				return b.Path == "/"+s.Probe && b.Time.After(from) && b.Time.Before(to)
			}) {
				strays++
			}
		}
		slices.Sort(errs)
		t.Logf("%s: %d good samples, %d without their request in a pod's book, within %s", s.Name(), n, strays, tick)
		require.Greater(t, n, 100)
		assert.Zero(t, strays, s.Name())
		assert.Less(t, time.Duration(errs[len(errs)/2]), 50*time.Millisecond, "%s: how well the clock is known most of the time", s.Name())
	}
}

// An agent that is deleted in the middle of a drill leaves no data, and a drill that
// does not know whether the service recovered.
func TestClusterAgentPodIsDeleted(t *testing.T) {
	l := cluster(t)
	dir := filepath.Join(t.TempDir(), "run")
	_, wait := l.begins(t, vantages(t, "for: 2s", "for: 10s"), dir)
	reaches(t, dir, timeline.PhaseHeal)
	pod := l.agentOn(t, "node-b")
	now := int64(0)
	require.NoError(t, l.client.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
	out := wait()
	r := l.result(t, dir, out)
	assert.Equal(t, verdict.Inconclusive, r.Verdict, "%v\n%s", r.Reasons, out.stderr)
	assert.Contains(t, strings.Join(r.Reasons, "\n"), "its agent in zone b was lost")
	assert.Contains(t, strings.Join(r.Caveats, "\n"), "the agent in zone b is lost, so that there is no data of from-b/fresh, from-b/pooled any more")
	assert.Greater(t, probe(t, r, "from-b", "fresh").NoData, 50)
	assert.Less(t, probe(t, r, "from-a", "fresh").NoData, 50)
	assert.Empty(t, l.agents(t))
	l.whole(t)
}

// The API server goes away and comes back: the agents go on, and what they saw
// meanwhile is in the record.
func TestClusterAgentsOutliveTheAPIServer(t *testing.T) {
	l := cluster(t)
	dir := filepath.Join(t.TempDir(), "run")
	_, wait := l.begins(t, vantages(t, "for: 2s", "for: 15s"), dir)
	reaches(t, dir, timeline.PhaseHeal)
	l.kill(t, "kube-apiserver")
	l.mend(t)
	out := wait()
	r := l.result(t, dir, out)
	assert.NotContains(t, strings.Join(r.Caveats, "\n"), "is lost", out.stderr)
	for _, p := range r.Probes {
		t.Logf("%s/%s: %d samples, %d without data", p.Name, p.Client, p.Samples, p.NoData)
		assert.Less(t, blind(p), blind(probe(t, r, "here", "fresh"))+0.1, p.Name)
	}
	assert.Empty(t, l.agents(t))
	l.whole(t)
}

// A runner that is killed leaves nothing: the watchdog removes the agents.
func TestClusterRunnerWithAgentsIsKilled(t *testing.T) {
	l := cluster(t)
	dir := filepath.Join(t.TempDir(), "run")
	runner, wait := l.begins(t, vantages(t), dir)
	reaches(t, dir, timeline.PhaseBaseline)
	l.agentOn(t, "node-b")
	require.NoError(t, runner.Signal(syscall.SIGKILL))
	wait()
	require.Eventually(t, func() bool { return len(l.agents(t)) == 0 }, time.Minute, 100*time.Millisecond, "an agent is left")
	l.whole(t)
}
