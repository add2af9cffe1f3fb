package kube_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
	"firedrill/lab"
	"firedrill/probes"
)

// told is what a watch of a workload has told.
type told struct {
	*kube.Pods
	*kube.Cluster

	mu  sync.Mutex
	all []toldAt
}

type toldAt struct {
	topology.Change
	at time.Time
}

// watchPods watches a workload until the test ends, and renews the lock meanwhile.
func watchPods(t *testing.T, st lab.Status, app string) *told {
	t.Helper()
	a, c := access(t, st, t.Name(), "")
	w := &told{Cluster: c, Pods: &kube.Pods{Spec: kube.PodsSpec{Access: a, Namespace: lab.ShopNamespace, Workload: "deployment/" + app, Service: app}}}
	w.Component = &topology.Component{Spec: topology.ComponentSpec{Name: app, Kind: kube.PodsKind}, Adapter: w.Pods}
	ctx, stop := context.WithCancel(t.Context())
	var both sync.WaitGroup
	both.Go(func() {
		assert.NoError(t, w.Watch(ctx, func(ch topology.Change) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.all = append(w.all, toldAt{ch, time.Now()})
		}))
	})
	both.Go(func() {
		for tick := time.NewTicker(often); ; {
			_ = w.Lock(ctx, "run-watch") // the API server may be down
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				return
			}
		}
	})
	t.Cleanup(func() {
		stop()
		both.Wait()
		assert.NoError(t, w.Unlock(context.Background(), "run-watch"))
	})
	w.first(t, timeline.MemberEcho, "")
	return w
}

// first waits for the first such change of a member.
func (w *told) first(t *testing.T, what, member string) (found toldAt) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		i := slices.IndexFunc(w.all, func(c toldAt) bool { return c.What == what && c.Member == member })
		if i >= 0 {
			found = w.all[i]
		}
		return i >= 0
	}, 2*soon, often/10, "%s of %q", what, member)
	return found
}

// newcomer waits for a pod that is created after a moment.
func (w *told) newcomer(t *testing.T, after time.Time) (name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.all {
			if c.What == timeline.MemberCreated && c.at.After(after) {
				name = c.Member
			}
		}
		return name != ""
	}, soon, often/10)
	return name
}

// of is what was told of a member, in order.
func (w *told) of(member string) (words []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		if c.Member == member {
			words = append(words, c.What)
		}
	}
	return words
}

func (w *told) anyPod(t *testing.T) string {
	t.Helper()
	var name string
	require.Eventually(t, func() bool {
		st, err := w.Discover(t.Context())
		require.NoError(t, err)
		if len(st.Members) > 0 {
			name = st.Members[0].Member
		}
		return st.Problem == ""
	}, 2*soon, often, "all pods are ready")
	return name
}

func (w *told) kill(t *testing.T, pod string, grace *int64) {
	t.Helper()
	require.NoError(t, w.Client.CoreV1().Pods(lab.ShopNamespace).Delete(t.Context(), pod, metav1.DeleteOptions{GracePeriodSeconds: grace}))
}

// echoes are the measured delays of the watch, in order of size.
func (w *told) echoes() (lags []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.all {
		if c.What == timeline.MemberEcho {
			lags = append(lags, c.Lag)
		}
	}
	slices.Sort(lags)
	return lags
}

// course is what a replacement goes through.
var course = []string{
	timeline.MemberCreated, timeline.MemberScheduled, timeline.MemberImage, timeline.MemberStarted, timeline.MemberReady, timeline.MemberServing,
}

// TestWatchOfTheRealCluster: a pod is killed, another asked to end, and the API server
// dies.
func TestWatchOfTheRealCluster(t *testing.T) {
	st := cluster(t)
	w := watchPods(t, st, "api")
	victim := w.anyPod(t)

	called := time.Now()
	w.kill(t, victim, new(int64(0)))
	next := w.newcomer(t, called)
	serving := w.first(t, timeline.MemberServing, next)
	unserving := w.first(t, timeline.MemberUnserving, victim)
	assert.ElementsMatch(t, []string{timeline.MemberGone, timeline.MemberUnserving}, w.of(victim), "without grace nobody asks, and two streams race")
	words := w.of(next)
	assert.ElementsMatch(t, course, words)
	one := []string{timeline.MemberCreated, timeline.MemberScheduled, timeline.MemberStarted, timeline.MemberReady}
	assert.Equal(t, one, slices.DeleteFunc(words, func(s string) bool { return !slices.Contains(one, s) }), "told by one stream")
	assert.Contains(t, w.first(t, timeline.MemberScheduled, next).Detail, "node-")
	assert.InDelta(t, called.Unix(), w.first(t, timeline.MemberCreated, next).Stamp.Unix(), 5)
	t.Logf("killed: gone after %s, unserving after %s, serving after %s", w.first(t, timeline.MemberGone, victim).at.Sub(called),
		unserving.at.Sub(called), serving.at.Sub(called))

	victim = w.anyPod(t)
	w.kill(t, victim, nil)
	w.first(t, timeline.MemberGone, victim)
	w.first(t, timeline.MemberUnserving, victim)
	words = w.of(victim)
	words = slices.DeleteFunc(words, func(s string) bool { return slices.Contains(course, s) })
	assert.ElementsMatch(t, []string{timeline.MemberDeleting, timeline.MemberUnserving, timeline.MemberUnready, timeline.MemberGone}, words)
	words = slices.DeleteFunc(words, func(s string) bool { return s == timeline.MemberUnserving })
	assert.Equal(t, []string{timeline.MemberDeleting, timeline.MemberUnready, timeline.MemberGone}, words, "told by one stream; that of the endpoints races it")
	assert.Equal(t, "grace 10 s", w.first(t, timeline.MemberDeleting, victim).Detail)
	lags := w.echoes()
	require.Greater(t, len(lags), 10)
	t.Logf("from a call to its echo, %d times: median %s, p99 %s, most %s", len(lags), lags[len(lags)/2], lags[len(lags)*99/100], lags[len(lags)-1])

	w.restartAPIServer(t, st)
	victim = w.anyPod(t)
	called = time.Now()
	w.kill(t, victim, new(int64(0)))
	w.first(t, timeline.MemberGone, victim)
	w.first(t, timeline.MemberServing, w.newcomer(t, called))
}

// restartAPIServer kills the API server and has the lab start it again. The watch says
// when it was blind, and for how long.
func (w *told) restartAPIServer(t *testing.T, st lab.Status) {
	t.Helper()
	i := slices.IndexFunc(slices.Concat(st.Members, st.Services), func(m lab.MemberStatus) bool { return filepath.Base(m.Dir) == "kube-apiserver" })
	require.GreaterOrEqual(t, i, 0)
	began := time.Now()
	require.NoError(t, syscall.Kill(slices.Concat(st.Members, st.Services)[i].PID, syscall.SIGKILL))
	silence := w.first(t, timeline.MemberSilence, "")
	assert.Contains(t, silence.Detail, w.Config.Host)
	assert.Less(t, silence.at.Sub(began), 15*time.Second)
	_, err := lab.Up(t.Context(), up.home, clusterLab, func(line string) { t.Log(line) })
	require.NoError(t, err)
	heard := w.first(t, timeline.MemberHeard, "")
	t.Logf("API server killed: silence told after %s, heard again after %s, said to have lasted %s",
		silence.at.Sub(began), heard.at.Sub(began), heard.Lag)
	assert.GreaterOrEqual(t, heard.Lag, heard.at.Sub(silence.at)-time.Second)
	assert.LessOrEqual(t, heard.Lag, heard.at.Sub(began)+time.Second, "at most since the last echo before")
}

// TestProbeOfTheRealCluster: pods, endpoints and budget, and credentials that are not
// accepted.
func TestProbeOfTheRealCluster(t *testing.T) {
	st := cluster(t)
	w := watchPods(t, st, "worker")
	w.anyPod(t)
	ask := func(with string, a kube.Access) (drills.Observation, error) {
		pods := &kube.Pods{Spec: w.Spec}
		pods.Spec.Access = a
		kind, err := probes.All().Build("kubernetes", []byte(with))
		require.NoError(t, err)
		p, err := kind.Open(t.Context(), drills.Subject{Component: &topology.Component{Adapter: pods}, Client: drills.Fresh})
		if err != nil {
			return drills.Observation{}, err
		}
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		return p.Observe(ctx), nil
	}
	kind, err := probes.All().Build("kubernetes", []byte(`{"minDisruptions": 1, "minEndpoints": 2}`))
	require.NoError(t, err)
	p, err := kind.Open(t.Context(), drills.Subject{Component: w.Component, Client: drills.Fresh})
	require.NoError(t, err)
	is := func(class timeline.Class, detail string) {
		t.Helper()
		var o drills.Observation
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), soon)
			defer cancel()
			o = p.Observe(ctx)
			return o.Class == class && strings.Contains(o.Detail, detail)
		}, 2*soon, often/5, "want %s %q, got %v", class, detail, o)
	}
	is(timeline.OK, "")
	w.kill(t, w.anyPod(t), new(int64(0)))
	is(timeline.Error, "1 of 2 pods ready: worker-")
	is(timeline.OK, "")

	o, err := ask(`{"minReady": 5}`, w.Spec.Access)
	require.NoError(t, err)
	assert.Equal(t, timeline.Error, o.Class)
	assert.Equal(t, "2 of 5 pods ready: there are no others", o.Detail)
	stranger, _ := access(t, st, t.Name()+"-stranger", "not-a-token")
	_, err = ask(`{}`, stranger)
	require.ErrorContains(t, err, "does not accept the credentials")
	assert.NotContains(t, err.Error(), "not-a-token")
}
