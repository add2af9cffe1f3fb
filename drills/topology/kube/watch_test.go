package kube

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	ktest "k8s.io/client-go/testing"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// watched is an adapter that is being watched, on an API server that is not real.
type watched struct {
	*Pods
	client *fake.Clientset
	// down is what the API server answers with while it is set.
	down atomic.Pointer[error]

	mu      sync.Mutex
	streams map[string]watch.Interface
	seen    []topology.Change
}

func startWatch(t *testing.T, objects ...runtime.Object) *watched {
	t.Helper()
	w := &watched{client: fake.NewClientset(objects...), streams: map[string]watch.Interface{}}
	w.Pods = &Pods{Spec: PodsSpec{Access: Access{Context: t.Name()}, Namespace: "shop", Selector: "app=api", Service: "api"}}
	t.Cleanup(w.Spec.Use(&Cluster{Client: w.client, Namespace: "shop", Says: "API server test"}))
	w.client.PrependReactor("list", "*", func(ktest.Action) (bool, runtime.Object, error) {
		if err := w.down.Load(); err != nil {
			return true, nil, *err
		}
		return false, nil, nil
	})
	w.client.PrependWatchReactor("*", func(a ktest.Action) (bool, watch.Interface, error) {
		opts := metav1.ListOptions{}
		if o, ok := a.(ktest.WatchActionImpl); ok {
			opts = o.ListOptions
		}
		s, err := w.client.Tracker().Watch(a.GetResource(), a.GetNamespace(), opts)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.streams[a.GetResource().Resource] = s
		return true, s, err
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- w.Watch(ctx, func(c topology.Change) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, c)
		})
	}()
	t.Cleanup(func() { stop(); assert.NoError(t, <-ended) })
	w.open(t, 4)
	return w
}

// open waits until so many streams are watched.
func (w *watched) open(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.streams) == n
	}, 30*time.Second, time.Millisecond)
}

// cut ends all watches, as an API server that goes away does.
func (w *watched) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.streams {
		s.Stop()
	}
	clear(w.streams)
}

// tells waits until this is all that was told since the last time.
func (w *watched) tells(t *testing.T, want ...string) []topology.Change {
	t.Helper()
	var seen []topology.Change
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		seen = w.seen
		return len(seen) >= len(want)
	}, 30*time.Second, time.Millisecond, "want %v", want)
	var got []string
	for _, c := range seen {
		s := c.What
		if c.Member != "" {
			s = c.Member + " " + s
		}
		if c.Detail != "" {
			s += ": " + c.Detail
		}
		got = append(got, s)
	}
	assert.Equal(t, want, got)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = w.seen[len(seen):]
	return seen
}

func (w *watched) put(t *testing.T, p *corev1.Pod) {
	t.Helper()
	_, err := w.client.CoreV1().Pods("shop").Update(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
}

func (w *watched) add(t *testing.T, p *corev1.Pod) {
	t.Helper()
	_, err := w.client.CoreV1().Pods("shop").Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (w *watched) remove(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, w.client.CoreV1().Pods("shop").Delete(t.Context(), name, metav1.DeleteOptions{}))
}

// slice makes these pods the endpoints of the Service; "!api-1" is one that is
// terminating.
func slice(pods ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Name: "api-x", Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "api"},
	}}
	for _, p := range pods {
		ending := p[0] == '!'
		if ending {
			p = p[1:]
		}
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Name: p, UID: types.UID(p)},
			Conditions: discoveryv1.EndpointConditions{Ready: new(!ending), Terminating: new(ending)},
		})
	}
	return s
}

func fresh(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "shop", UID: types.UID(name), Labels: map[string]string{"app": "api"}, CreationTimestamp: metav1.Unix(1000, 0),
		OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "api-5d", Controller: new(true)}},
	}}
}

func on(p *corev1.Pod, node string) *corev1.Pod {
	p = p.DeepCopy()
	p.Spec.NodeName = node
	return p
}

func ran(p *corev1.Pod, restarts int32) *corev1.Pod {
	p = p.DeepCopy()
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "api", ContainerID: string('a' + restarts), RestartCount: restarts,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(1002, 0)}},
	}}
	if restarts > 0 {
		p.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "Error"}
	}
	return p
}

func ready(p *corev1.Pod, is corev1.ConditionStatus) *corev1.Pod {
	p = p.DeepCopy()
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: is, LastTransitionTime: metav1.Unix(1003, 0), Message: "why"}}
	return p
}

func up(name string) *corev1.Pod {
	return ready(ran(on(fresh(name), "node-a"), 0), corev1.ConditionTrue)
}

func leaving(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = new(metav1.Unix(2010, 0)), new(int64(10))
	return p
}

func pulledBy(pod string, count int32) *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: pod + ".1", Namespace: "shop", UID: types.UID("e-" + pod)},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: pod, UID: types.UID(pod)},
		Reason:         "Pulled", Message: "it is there", Count: count, LastTimestamp: metav1.Unix(1001, 0),
	}
}

func TestWatchTellsWhatChanges(t *testing.T) {
	w := startWatch(t, up("api-1"), slice("api-1"), pulledBy("api-1", 1))
	events, slices := w.client.CoreV1().Events("shop"), w.client.DiscoveryV1().EndpointSlices("shop")

	w.put(t, leaving(up("api-1")))
	deleting := w.tells(t, "api-1 deleting: grace 10 s")
	assert.Equal(t, int64(2000), deleting[0].Stamp.Unix(), "when it was asked, not when it must have ended")
	_, err := slices.Update(t.Context(), slice("!api-1"), metav1.UpdateOptions{})
	require.NoError(t, err)
	w.tells(t, "api-1 unserving: terminating")
	w.put(t, leaving(ready(up("api-1"), corev1.ConditionFalse)))
	w.tells(t, "api-1 unready: it was asked to end")
	w.remove(t, "api-1")
	w.tells(t, "api-1 gone")

	killed := leaving(up("api-0"))
	killed.DeletionGracePeriodSeconds = new(int64(0))
	assert.Empty(t, changes(up("api-0"), killed), "it is gone in a moment")
	killed.Finalizers = []string{"example.com/keep"}
	assert.Len(t, changes(up("api-0"), killed), 1, "or stays")

	p := fresh("api-2")
	w.add(t, p)
	created := w.tells(t, "api-2 created: by replicaset/api-5d")
	assert.Equal(t, int64(1000), created[0].Stamp.Unix())
	p = on(p, "node-b")
	w.put(t, p)
	w.tells(t, "api-2 scheduled: node-b")
	_, err = events.Create(t.Context(), pulledBy("api-2", 1), metav1.CreateOptions{})
	require.NoError(t, err)
	w.tells(t, "api-2 image: it is there")
	w.put(t, ran(p, 0))
	started := w.tells(t, "api-2 started")
	assert.Equal(t, int64(1002), started[0].Stamp.Unix())
	w.put(t, up("api-2"))
	w.tells(t, "api-2 ready")
	_, err = slices.Update(t.Context(), slice("!api-1", "api-2"), metav1.UpdateOptions{})
	require.NoError(t, err)
	w.tells(t, "api-2 serving")

	// A container that died and was started again is both, though nobody saw it.
	w.put(t, ready(ran(p, 1), corev1.ConditionTrue))
	w.tells(t, "api-2 unready: container api had ended: exit code 137: Error", "api-2 started", "api-2 ready")
	_, err = events.Update(t.Context(), pulledBy("api-2", 2), metav1.UpdateOptions{})
	require.NoError(t, err)
	w.tells(t, "api-2 image: it is there")

	// A pod that was thrown out stays, and is gone.
	failed := ready(ran(p, 1), corev1.ConditionFalse)
	failed.Status.Phase, failed.Status.Reason = corev1.PodFailed, "Evicted"
	w.put(t, failed)
	w.tells(t, "api-2 unready: not ready: why", "api-2 gone: Failed: Evicted")
	w.remove(t, "api-2")
	require.NoError(t, slices.Delete(t.Context(), "api-x", metav1.DeleteOptions{}))
	w.tells(t, "api-2 unserving: removed")
}

// While the API server is away things change; afterwards they are told, late.
func TestWatchSurvivesTheAPIServer(t *testing.T) {
	w := startWatch(t, up("api-0"), up("api-1"), slice("api-0", "api-1"))
	err := error(apierrors.NewUnauthorized("token expired"))
	w.down.Store(&err)
	began := time.Now()
	w.cut()
	var said []topology.Change
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		said, w.seen = append(said, w.seen...), nil
		return len(said) > 0
	}, 30*time.Second, time.Millisecond)
	require.Len(t, said, 1, "whichever stream is first")
	assert.Equal(t, timeline.MemberSilence, said[0].What)
	assert.Contains(t, said[0].Detail, "in namespace shop: API server test does not accept the credentials: have they expired? token expired")
	assert.Empty(t, said[0].Member)

	w.remove(t, "api-0")
	w.add(t, up("api-0a"))
	other := fresh("api-1") // like a pod of a StatefulSet
	other.UID = "another"
	w.remove(t, "api-1")
	w.add(t, other)
	require.NoError(t, w.client.Tracker().Delete(discoveryv1.SchemeGroupVersion.WithResource("endpointslices"), "shop", "api-x"))
	w.tells(t)
	w.down.Store(nil)
	w.open(t, 4)
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.seen) == 10
	}, 30*time.Second, time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	count := map[string]int{}
	for _, c := range w.seen {
		count[c.Member+" "+c.What]++
		assert.GreaterOrEqual(t, c.Lag, time.Duration(0))
		if c.What == timeline.MemberHeard || c.What == timeline.MemberGone {
			assert.Greater(t, c.Lag, 50*time.Millisecond, c.What)
			assert.LessOrEqual(t, c.Lag, time.Since(began)+time.Minute, c.What)
		}
	}
	assert.Equal(t, map[string]int{
		" heard": 1, "api-0 gone": 1, "api-1 gone": 1, "api-1 created": 1, "api-0a created": 1, "api-0a scheduled": 1,
		"api-0a started": 1, "api-0a ready": 1, "api-0 unserving": 1, "api-1 unserving": 1,
	}, count)
}

// A watch that just ends, as each does now and then, is not worth a word.
func TestWatchIsRenewed(t *testing.T) {
	w := startWatch(t, up("api-0"), slice("api-0"))
	w.cut()
	w.open(t, 4)
	w.put(t, leaving(up("api-0")))
	w.tells(t, "api-0 deleting: grace 10 s")
}

// Whoever may not read events and leases still sees the pods.
func TestWatchWithoutTheRest(t *testing.T) {
	client := fake.NewClientset(up("api-0"))
	a := &Pods{Spec: PodsSpec{Access: Access{Context: t.Name()}, Namespace: "shop", Selector: "app=api"}}
	t.Cleanup(a.Spec.Use(&Cluster{Client: client, Namespace: "shop"}))
	for _, r := range []string{"events", "leases"} {
		client.PrependReactor("list", r, func(ktest.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(corev1.Resource(r), "", errors.New("no"))
		})
	}
	watching := make(chan struct{})
	client.PrependWatchReactor("pods", func(ktest.Action) (bool, watch.Interface, error) {
		s, err := client.Tracker().Watch(corev1.SchemeGroupVersion.WithResource("pods"), "shop")
		close(watching)
		return true, s, err
	})
	ctx, stop := context.WithCancel(t.Context())
	seen, ended := make(chan topology.Change, 10), make(chan error)
	go func() { ended <- a.Watch(ctx, func(c topology.Change) { seen <- c }) }()
	<-watching
	require.Eventually(t, func() bool { // the fake tells nothing of what is there
		_ = client.CoreV1().Pods("shop").Delete(t.Context(), "api-0", metav1.DeleteOptions{})
		return true
	}, 30*time.Second, time.Millisecond)
	assert.Equal(t, timeline.MemberGone, (<-seen).What)
	stop()
	require.NoError(t, <-ended)
	assert.Empty(t, seen)
}

func TestWatchHearsItsOwnLock(t *testing.T) {
	w := startWatch(t)
	require.NoError(t, w.Lock(t.Context(), "run-1"))
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.seen) == 1
	}, 30*time.Second, time.Millisecond)
	assert.Equal(t, timeline.MemberEcho, w.seen[0].What)
	assert.Positive(t, w.seen[0].Lag)
	assert.Less(t, w.seen[0].Lag, 30*time.Second)
}

// The answer to the call and the watch race each other.
func TestEchoesMeetInAnyOrder(t *testing.T) {
	var lags []time.Duration
	e := &echoes{hear: func(d time.Duration) { lags = append(lags, d) }}
	t0 := time.Now()
	e.renewed("1", t0)
	e.saw("1", t0.Add(time.Second))
	e.saw("2", t0.Add(3*time.Second))
	e.renewed("2", t0.Add(time.Second))
	e.saw("other", t0)
	assert.Equal(t, []time.Duration{time.Second, 2 * time.Second}, lags)
	assert.Len(t, e.seen, 1)
	assert.Empty(t, e.called)
}
