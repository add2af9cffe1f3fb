package injectors

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology/builtin"
)

func (f *fakeCluster) node(name string) *corev1.Node {
	f.t.Helper()
	return get[*corev1.Node](f, nodesResource, "", name)
}

// taintedByController does what the node controller does with a cordoned node.
func (f *fakeCluster) taintedByController(name string) {
	f.t.Helper()
	n := f.node(name)
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	update(f, "nodes", n)
}

func TestNodeCordon(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.nodes(1)
	i := fault(t, "node-cordon", `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Equal(t, "uncordon node-a", u.Says)
	require.NoError(t, i.Revert(t.Context(), u), "before inject")

	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.True(t, f.node("node-a").Spec.Unschedulable)
	assert.False(t, f.node("node-b").Spec.Unschedulable)
	_, err = sees(t, i, to, u, 50*time.Millisecond)
	require.ErrorContains(t, err, "node node-a does not have the taint node.kubernetes.io/unschedulable")
	f.taintedByController("node-a")
	_, err = sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	require.NoError(t, i.(drills.Holder).Held(t.Context(), u))

	require.NoError(t, i.Revert(t.Context(), u))
	assert.False(t, f.node("node-a").Spec.Unschedulable)
	assert.Empty(t, f.node("node-a").Annotations)
	require.ErrorContains(t, i.(drills.Holder).Held(t.Context(), u), "somebody has changed it")

	n := f.node("node-a")
	n.Spec.Unschedulable = true
	update(f, "nodes", n)
	require.NoError(t, i.Revert(t.Context(), u))
	assert.True(t, f.node("node-a").Spec.Unschedulable, "somebody else's cordon stays")
	_, err = i.Prepare(t.Context(), to)
	require.ErrorContains(t, err, "node-a is cordoned already")
	f.allowed(i, to.Component)

	n.UID = "another"
	update(f, "nodes", n)
	require.ErrorIs(t, i.Revert(t.Context(), u), drills.ErrGone)
	f.remove(nodesResource, "", "node-a")
	require.ErrorIs(t, i.Revert(t.Context(), u), drills.ErrGone)
}

func TestNodeFaultsRefuse(t *testing.T) {
	for kind, with := range map[string]string{"node-cordon": `{}`, "node-drain": `{}`, "node-taint": `{"key":"k"}`} {
		t.Run(kind, func(t *testing.T) {
			f := newFake(t)
			i := fault(t, kind, with)
			_, err := i.Prepare(t.Context(), f.nodes(2))
			assert.ErrorContains(t, err, "it would leave none of the 2 nodes to take pods")
			_, err = i.Prepare(t.Context(), f.target(f.api(nil), 1))
			assert.ErrorContains(t, err, "member api-1-0 is a pod: this fault acts on nodes")
			n := f.node("node-a")
			n.Status.Conditions = nil
			update(f, "nodes", n)
			_, err = i.Prepare(t.Context(), f.nodes(1))
			assert.ErrorContains(t, err, "node node-a is not ready")
			assert.Empty(t, f.asked())
		})
	}
}

func TestNodeTaint(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	n := f.node("node-a")
	n.Spec.Taints = []corev1.Taint{{Key: "other", Effect: "NoSchedule"}, {Key: "drill", Effect: "NoExecute"}}
	update(f, "nodes", n)
	to := f.nodes(1)
	i := fault(t, "node-taint", `{"key":"drill","value":"x"}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Equal(t, "remove taint drill=x:NoSchedule from node-a", u.Says)
	_, err = sees(t, i, to, u, 50*time.Millisecond)
	require.ErrorContains(t, err, "does not have the taint drill=x:NoSchedule")

	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Len(t, f.node("node-a").Spec.Taints, 3)
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "read back: node-a now has the taint drill=x:NoSchedule", by)
	require.NoError(t, i.(drills.Holder).Held(t.Context(), u))
	_, err = i.Prepare(t.Context(), to)
	require.ErrorContains(t, err, "node-a has a taint drill with effect NoSchedule already")

	f.taintedByController("node-a") // what others do meanwhile stays
	require.NoError(t, i.Revert(t.Context(), u))
	now := f.node("node-a")
	assert.Equal(t, append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: "NoSchedule"}), now.Spec.Taints)
	assert.Empty(t, now.Annotations)
	now.Spec.Taints = append(now.Spec.Taints, corev1.Taint{Key: "drill", Value: "x", Effect: "NoSchedule"})
	update(f, "nodes", now)
	require.NoError(t, i.Revert(t.Context(), u))
	assert.Equal(t, now.Spec.Taints, f.node("node-a").Spec.Taints, "the same taint of somebody else stays")
	f.allowed(i, to.Component)

	for with, want := range map[string]string{
		`{"key":""}`: "key:", `{"key":"k","value":"a b"}`: "value:", `{"key":"k","effect":"Never"}`: "want NoSchedule, PreferNoSchedule or NoExecute",
	} {
		_, err := All(builtin.Kinds()).Build("node-taint", json.RawMessage(with))
		assert.ErrorContains(t, err, want, with)
	}
}

func TestNodeTaintNoExecute(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	stays := pod("api-1-0")
	stays.Spec.Tolerations = []corev1.Toleration{{Key: "drill", Operator: corev1.TolerationOpExists}}
	update(f, "pods", stays)
	elsewhere := pod("api-1-1")
	elsewhere.Spec.NodeName = "node-b"
	update(f, "pods", elsewhere)
	to := f.nodes(1)
	i := fault(t, "node-taint", `{"key":"drill","effect":"NoExecute"}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	require.NoError(t, i.Inject(t.Context(), to, u))
	_, err = sees(t, i, to, u, 50*time.Millisecond)
	require.ErrorContains(t, err, "pod shop/api-1-2 is still there")
	f.remove(podsResource, "shop", "api-1-2")
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "pod shop/api-1-2 is gone from the API server", by)
	f.allowed(i, to.Component)

	naked := pod("naked")
	naked.OwnerReferences = nil
	f.add(naked)
	_, err = fault(t, "node-taint", `{"key":"another","effect":"NoExecute"}`).Prepare(t.Context(), to)
	require.ErrorContains(t, err, "pod shop/naked has no controller")
}

func TestNodeDrain(t *testing.T) {
	t.Parallel()
	daemon, static, done := pod("daemon"), pod("static"), pod("done")
	daemon.OwnerReferences = []metav1.OwnerReference{owner("apps/v1", "DaemonSet", "d")}
	static.OwnerReferences = []metav1.OwnerReference{owner("v1", "Node", "node-a")}
	done.Status.Phase = corev1.PodSucceeded
	daemon.Labels, static.Labels = nil, nil
	f := newFake(t, daemon, static, done)
	elsewhere := pod("api-1-1")
	elsewhere.Spec.NodeName = "node-b"
	update(f, "pods", elsewhere)
	to := f.nodes(1)
	i := fault(t, "node-drain", `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Equal(t, "uncordon node-a, wait until 2 pods are replaced", u.Says)
	_, err = fault(t, "node-drain", `{"patience":"0s"}`).Prepare(t.Context(), to)
	require.ErrorContains(t, err, "PodDisruptionBudget shop/api (minAvailable 2) forbids it")
	assert.Len(t, f.podNames(), 6)

	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.True(t, f.node("node-a").Spec.Unschedulable)
	assert.Equal(t, []string{"api-1-1", "daemon", "done", "static"}, f.podNames())
	f.taintedByController("node-a")
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Contains(t, by, "the taint node.kubernetes.io/unschedulable on node-a; pod shop/api-1-0 is gone")
	require.ErrorContains(t, briefly(t, i, u), "is not replaced yet")
	assert.False(t, f.node("node-a").Spec.Unschedulable, "uncordoned before others can come")
	f.allowed(i, to.Component)
}

func TestNodeDrainOfACordonedNode(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	n := f.node("node-b")
	n.Spec.Unschedulable = true
	update(f, "nodes", n)
	to := f.nodes(2)
	to.Members = to.Members[1:]
	i := fault(t, "node-drain", `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	require.NoError(t, i.Inject(t.Context(), to, u))
	require.NoError(t, i.Revert(t.Context(), u))
	assert.True(t, f.node("node-b").Spec.Unschedulable, "as it was")
	assert.Empty(t, f.node("node-b").Annotations)
}

func TestNodeDrainRefuses(t *testing.T) {
	naked, scratch := pod("naked"), pod("scratch")
	naked.OwnerReferences = nil
	scratch.Spec.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
	for with, c := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{
		`{}`:                          {scratch, "pod shop/scratch has data in the emptyDir volume cache"},
		`{"deleteEmptyDirData":true}`: {naked, "pod shop/naked has no controller"},
	} {
		f := newFake(t, c.pod)
		_, err := fault(t, "node-drain", with).Prepare(t.Context(), f.nodes(1))
		assert.ErrorContains(t, err, c.want)
	}
	f := newFake(t, scratch)
	_, err := fault(t, "node-drain", `{"deleteEmptyDirData":true}`).Prepare(t.Context(), f.nodes(1))
	assert.NoError(t, err)
}
