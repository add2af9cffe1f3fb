package remedies_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubetesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

func ago(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-d)) }

func node(name string, ready corev1.ConditionStatus, since time.Duration) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid-1"},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeReady, Status: ready, LastTransitionTime: ago(since)},
		}},
	}
}

// pod is one of api that somebody has done something to.
func pod(name string, of ...func(*corev1.Pod)) *corev1.Pod {
	p := running(name, map[string]string{"app": "api"})
	for _, do := range of {
		do(p)
	}
	return p
}

func terminating(since time.Duration, grace int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		at := ago(since)
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &at, &grace
	}
}

func finalizer(p *corev1.Pod) { p.Finalizers = []string{"example.com/keep"} }

func on(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func crashing(since time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions[0].Status, p.Status.Conditions[0].LastTransitionTime = corev1.ConditionFalse, ago(since)
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "main", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		}}
	}
}

// endedAgain is how kubelets show a container of a crash loop for as long as they hold
// it back, some of the time.
func endedAgain(exit, restarts int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		crashing(2 * time.Minute)(p)
		p.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
		c := &p.Status.ContainerStatuses[0]
		c.State, c.RestartCount = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: exit}}, restarts
	}
}

// deletions are the pods that were deleted, with their grace (-1: their own).
func (f *fakeCluster) deletions() map[string]int64 {
	found := map[string]int64{}
	for _, a := range f.objects.Actions() {
		d, ok := a.(kubetesting.DeleteActionImpl)
		if !ok {
			continue
		}
		found[d.Name] = -1
		if g := d.DeleteOptions.GracePeriodSeconds; g != nil {
			found[d.Name] = *g
		}
	}
	return found
}

func TestDeleteStuckPods(t *testing.T) {
	for _, c := range []struct {
		says   string
		pod    *corev1.Pod
		params map[string]any
		// error is what is said, step what was done; grace is that of the deletion.
		error, step string
		grace       int64
	}{
		{says: "well", pod: pod("p")},
		{says: "within its grace", pod: pod("p", terminating(-20*time.Second, 30))},
		{says: "not long past it", pod: pod("p", terminating(30*time.Second, 30))},
		{says: "past its grace", pod: pod("p", terminating(2*time.Minute, 30)), error: "with.force: true would delete it"},
		{
			says: "past its grace, forced", pod: pod("p", terminating(2*time.Minute, 30)), params: map[string]any{"force": true},
			step: "it was Terminating, and past its grace for 2m0s",
		},
		{
			says: "kept by a finalizer", pod: pod("p", terminating(2*time.Minute, 0), finalizer),
			error: "with.finalizers: true would remove example.com/keep",
		},
		{
			says: "both", pod: pod("p", terminating(2*time.Minute, 30), finalizer), params: map[string]any{"finalizers": true},
			error: "with.force: true",
		},
		{says: "crashes since just now", pod: pod("p", crashing(5*time.Second))},
		{
			says: "crashes", pod: pod("p", crashing(2*time.Minute)), grace: -1,
			step: "it was CrashLoopBackOff of container main, and not ready for 2m0s",
		},
		{
			says: "crashes, and is shown as ended", pod: pod("p", endedAgain(1, 4)), grace: -1,
			step: "it was CrashLoopBackOff of container main, and not ready for 2m0s",
		},
		{says: "ended for the first time", pod: pod("p", endedAgain(1, 0))},
		{says: "ended well", pod: pod("p", endedAgain(0, 1))},
		{says: "on a lost node", pod: pod("p", on("node-lost")), error: "pod/p in namespace shop is Unknown: node node-lost has been lost for 3m0s: API server https://fake.example:6443 (fake): with.force"},
		{
			says: "on a lost node, forced", pod: pod("p", on("node-lost")), params: map[string]any{"force": true},
			step: "it was Unknown: node node-lost has been lost for 3m0s",
		},
		{says: "on a node that says it is not ready", pod: pod("p", on("node-sick"))},
		{says: "on a node that is no more", pod: pod("p", on("node-gone"), crashing(2*time.Minute)), error: "node node-gone has been lost"},
		{says: "not that long", pod: pod("p", crashing(2*time.Minute)), params: map[string]any{"after": "5m"}},
	} {
		t.Run(c.says, func(t *testing.T) {
			f := newFakeCluster(t, c.pod, deployment("api", 1),
				node("node-a", corev1.ConditionTrue, time.Hour), node("node-sick", corev1.ConditionFalse, time.Hour),
				node("node-lost", corev1.ConditionUnknown, 3*time.Minute))
			if c.params == nil {
				c.params = map[string]any{}
			}
			log := &book{}
			err := with(t, "pod-delete-stuck", c.params).Apply(t.Context(), f.pods(t), log)
			if c.error != "" {
				require.ErrorContains(t, err, c.error)
				assert.Empty(t, f.deletions())
				return
			}
			require.NoError(t, err)
			if c.step == "" {
				assert.Empty(t, f.deletions())
				assert.Equal(t, "find stuck pods", log.steps[0].Name)
				return
			}
			assert.Equal(t, map[string]int64{"p": c.grace}, f.deletions())
			assert.Equal(t, []topology.Step{{Name: "delete stuck pod", Member: "p", Detail: c.step}}, log.steps)
			assert.Empty(t, log.undos)
		})
	}
}

// Only the finalizers of a pod that has ended are removed; with them it goes.
func TestDeleteStuckPodOfFinalizers(t *testing.T) {
	f := newFakeCluster(t, pod("p", terminating(time.Hour, 0), finalizer), deployment("api", 1))
	f.objects.PrependReactor("patch", "pods", func(a kubetesting.Action) (bool, runtime.Object, error) {
		return true, nil, f.objects.Tracker().Delete(a.GetResource(), "shop", "p")
	})
	r := with(t, "pod-delete-stuck", map[string]any{"finalizers": true})
	require.NoError(t, r.Apply(t.Context(), f.pods(t), &book{}))
	assert.Empty(t, f.deletions(), "it is deleted already")
	assert.Equal(t, []string{`{"metadata":{"finalizers":null}}`}, f.patches(t))
}

func TestDeleteStuckDoesWhatItMay(t *testing.T) {
	f := newFakeCluster(t, pod("crashing", crashing(time.Hour)), pod("held", terminating(time.Hour, 30)), deployment("api", 2),
		node("node-a", corev1.ConditionTrue, time.Hour))
	log := &book{}
	err := with(t, "pod-delete-stuck", map[string]any{}).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "pod/held")
	assert.Equal(t, map[string]int64{"crashing": -1}, f.deletions())
	assert.Len(t, log.steps, 1)
}

func nodesTarget(t *testing.T, f *fakeCluster) drills.Target {
	c := f.component(t, kube.NodesKind, map[string]any{})
	st, err := c.Adapter.Discover(t.Context())
	require.NoError(t, err)
	return drills.Target{Component: c, State: st}
}

func cordonedNode(name string) *corev1.Node {
	n := node(name, corev1.ConditionTrue, time.Hour)
	n.Spec.Unschedulable = true
	return n
}

func (f *fakeCluster) cordoned(t *testing.T, name string) bool {
	spec, _ := f.stored(t, "", "nodes", name).Object["spec"].(map[string]any)
	is, _ := spec["unschedulable"].(bool)
	return is
}

func TestNodeUncordon(t *testing.T) {
	f := newFakeCluster(t, node("node-a", corev1.ConditionTrue, time.Hour), cordonedNode("node-b"), cordonedNode("node-c"))
	target := nodesTarget(t, f) // before the drill: node-c was not
	for i, m := range target.State.Members {
		if m.Member == "node-c" {
			target.State.Members[i].Facts[kube.CordonedFact] = "false"
		}
	}
	r, log := with(t, "node-uncordon", map[string]any{}), &book{}
	require.NoError(t, r.Apply(t.Context(), target, log))
	assert.False(t, f.cordoned(t, "node-b"))
	assert.False(t, f.cordoned(t, "node-c"))
	assert.Equal(t, []topology.Step{
		{Name: "uncordon", Member: "node-b", Detail: "it was cordoned before the drill, and will be again"},
		{Name: "uncordon", Member: "node-c", Detail: "it stays so after the drill"},
		{Name: "wait until nodes take pods", Detail: "3 nodes are schedulable"},
	}, log.steps)
	assert.Equal(t, []string{`{"metadata":{},"spec":{"unschedulable":null}}`, `{"metadata":{},"spec":{"unschedulable":null}}`}, f.bodies(t))
	require.Len(t, log.undos, 1)

	again := &book{}
	for _, name := range []string{"node-b", "node-c"} { // the two fakes do not know of each other
		_, err := f.client.CoreV1().Nodes().Update(t.Context(), node(name, corev1.ConditionTrue, time.Hour), metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, r.Apply(t.Context(), target, again))
	assert.Len(t, again.steps, 1)

	twice(t, r, log.undos[0])
	assert.True(t, f.cordoned(t, "node-b"))
	assert.False(t, f.cordoned(t, "node-c"))
}

func TestNodeUncordonWaitsForTheTaint(t *testing.T) {
	n := node("node-a", corev1.ConditionTrue, time.Hour)
	n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable}}
	f := newFakeCluster(t, n)
	err := with(t, "node-uncordon", map[string]any{"timeout": "250ms"}).Apply(t.Context(), nodesTarget(t, f), &book{})
	require.ErrorContains(t, err, "node/node-a: API server https://fake.example:6443 (fake): it is uncordoned and still has the taint")

	err = with(t, "node-uncordon", map[string]any{}).Apply(t.Context(), f.pods(t), &book{})
	require.ErrorContains(t, err, "of kind kubernetes: nodes are uncordoned of one of kind kubernetes-nodes")
	err = with(t, "pod-delete-stuck", map[string]any{}).Apply(t.Context(), nodesTarget(t, f), &book{})
	require.ErrorContains(t, err, "of kind kubernetes-nodes: stuck pods are deleted of one of kind kubernetes")
}
