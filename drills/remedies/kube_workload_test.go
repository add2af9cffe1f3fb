package remedies_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

func replicas(t *testing.T, f *fakeCluster) int {
	t.Helper()
	n, _, err := unstructured.NestedInt64(f.stored(t, "apps", "deployments", "api").Object, "spec", "replicas")
	require.NoError(t, err)
	return int(n)
}

func TestScaleUpAndBack(t *testing.T) {
	for _, params := range []map[string]any{{"replicas": 5}, {"by": 2}} {
		t.Run(fmt.Sprint(params), func(t *testing.T) {
			f := newFakeCluster(t, deployment("api", 3))
			f.rolling(t, allReady)
			f.conflict()
			r, log := with(t, "workload-scale-up", params), &scopedBook{scope: "run-1/more"}
			require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
			assert.Equal(t, 5, replicas(t, f))
			assert.Equal(t, []topology.Step{
				{Name: "scale deployment/api to 5", Detail: "was to have 3"}, {Name: "wait for 5 ready pods"},
			}, log.steps)
			require.Len(t, log.undos, 1)
			assert.Equal(t, "scale deployment/api in namespace shop back to 3", log.undos[0].Says)
			assert.JSONEq(t, `{"metadata":{"annotations":{"firedrill.dev/scaled-up.ef7a383c":"{\"from\":3,\"to\":5,\"back\":3}"}},"spec":{"replicas":5}}`,
				f.patches(t)[1], "only what changes")

			again := &scopedBook{scope: "run-1/more"}
			require.NoError(t, r.Apply(t.Context(), f.pods(t), again))
			assert.Equal(t, 5, replicas(t, f))
			assert.Empty(t, again.undos)
			assert.Equal(t, "is to have as many already", again.steps[0].Detail)

			twice(t, r, log.undos[0])
			assert.Equal(t, 3, replicas(t, f))
			assert.Empty(t, f.stored(t, "apps", "deployments", "api").GetAnnotations())
		})
	}
}

// A step that was announced and not done is undone by doing nothing.
func TestScaleUpThatWasInterrupted(t *testing.T) {
	f := newFakeCluster(t, deployment("api", 3))
	f.rolling(t, allReady)
	r, log := with(t, "workload-scale-up", map[string]any{"by": 1}), &scopedBook{book: book{breakAt: 1}, scope: "s"}
	require.ErrorIs(t, r.Apply(t.Context(), f.pods(t), log), errInterrupted)
	assert.Equal(t, 3, replicas(t, f))
	twice(t, r, log.undos[0])
	assert.Empty(t, f.patches(t))

	log = &scopedBook{book: book{breakAt: 2}, scope: "s"}
	require.ErrorIs(t, r.Apply(t.Context(), f.pods(t), log), errInterrupted)
	again := &scopedBook{scope: "s"}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), again))
	assert.Equal(t, 4, replicas(t, f), "it carries on, and adds nothing twice")
	twice(t, r, log.undos[0])
	assert.Equal(t, 3, replicas(t, f))
}

// A fault has scaled it to 0; whoever takes the remedy back does not do so again.
func TestScaleUpOfWhatAFaultScaledDown(t *testing.T) {
	for to, back := range map[int]int{2: 3, 3: 3, 5: 3} {
		f := newFakeCluster(t, deployment("api", 0))
		f.rolling(t, allReady)
		target := f.pods(t)
		for _, m := range []string{"api-1", "api-2", "api-3"} {
			target.State.Members = append(target.State.Members, topology.MemberState{
				Member: m, Role: topology.Instance, Labels: map[string]string{"app": "api", "pod-template-hash": "1"},
			})
		}
		target.State.Members = append(target.State.Members, topology.MemberState{Member: "x", Labels: map[string]string{"app": "other"}})
		r, log := with(t, "workload-scale-up", map[string]any{"replicas": to}), &scopedBook{scope: "s"}
		require.NoError(t, r.Apply(t.Context(), target, log))
		twice(t, r, log.undos[0])
		assert.Equal(t, back, replicas(t, f), "to %d", to)

		f.set(t, deployment("api", 0), "deployments")
		require.NoError(t, r.Apply(t.Context(), target, log))
		d := deployment("api", 3) // as the revert of the fault does
		d.Annotations = f.stored(t, "apps", "deployments", "api").GetAnnotations()
		f.set(t, d, "deployments")
		twice(t, r, log.undos[1])
		assert.Equal(t, 3, replicas(t, f))
	}
}

func TestScaleUpLeavesWhatOthersSet(t *testing.T) {
	f := newFakeCluster(t, deployment("api", 3))
	f.rolling(t, allReady)
	r, log := with(t, "workload-scale-up", map[string]any{"replicas": 5}), &scopedBook{scope: "s"}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
	d := deployment("api", 9)
	d.Annotations = f.stored(t, "apps", "deployments", "api").GetAnnotations()
	f.set(t, d, "deployments")
	err := r.(drills.Reverter).Revert(t.Context(), log.undos[0])
	require.ErrorContains(t, err, "deployment/api in namespace shop: API server https://fake.example:6443 (fake): somebody else scaled it to 9")
	assert.Equal(t, 9, replicas(t, f))

	other := deployment("api", 3) // another one of its name
	other.UID = "uid-2"
	f.set(t, other, "deployments")
	require.ErrorIs(t, r.(drills.Reverter).Revert(t.Context(), log.undos[0]), drills.ErrGone)
}

func TestScaleUpRefuses(t *testing.T) {
	owned := deployment("api", 1)
	yes := true
	owned.OwnerReferences = []metav1.OwnerReference{{Kind: "Shop", Name: "main", Controller: &yes}}
	f := newFakeCluster(t, owned, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: "shop"}})
	for workload, says := range map[string]string{
		"daemonset/agent": "as many pods as there are nodes", "deployment/api": "belongs to Shop main",
		"statefulset/none": "look at statefulset/none in namespace shop: API server https://fake.example:6443 (fake): statefulsets.apps \"none\" not found",
	} {
		log := &scopedBook{}
		err := with(t, "workload-scale-up", map[string]any{"replicas": 2, "workload": workload}).Apply(t.Context(), f.pods(t), log)
		require.ErrorContains(t, err, says)
		assert.Empty(t, log.intents)
	}
	none := drills.Target{Component: f.component(t, kube.PodsKind, map[string]any{"selector": "app=api"})}
	err := with(t, "workload-scale-up", map[string]any{"replicas": 2}).Apply(t.Context(), none, &book{})
	require.ErrorContains(t, err, "give with.workload")
}

func TestScaleUpWithinItsTime(t *testing.T) {
	f := newFakeCluster(t, deployment("api", 1))
	f.rolling(t, func(o *unstructured.Unstructured) map[string]any {
		o.SetGeneration(2)
		return map[string]any{"readyReplicas": int64(1), "observedGeneration": int64(2)}
	})
	log := &scopedBook{}
	err := with(t, "workload-scale-up", map[string]any{"replicas": 2, "timeout": "250ms"}).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "1 of 2 pods are ready (not so after 250ms)")
	assert.NotEmpty(t, log.steps[1].Err)
	assert.Len(t, log.undos, 1)
}

func TestRolloutRestart(t *testing.T) {
	f := newFakeCluster(t, deployment("api", 2))
	f.rolling(t, allReady)
	f.conflict()
	r, log := with(t, "rollout-restart", map[string]any{}), &scopedBook{scope: "run-1/anew"}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
	assert.Equal(t, []string{"restart deployment/api", "wait for the rollout"}, log.intents)
	assert.Contains(t, log.steps[0].Detail, "not taken back")
	at := func() string {
		s, _, err := unstructured.NestedString(f.stored(t, "apps", "deployments", "api").Object,
			"spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
		require.NoError(t, err)
		return s
	}
	first := at()
	assert.NotEmpty(t, first)
	again := &scopedBook{scope: "run-1/anew"}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), again))
	assert.Equal(t, first, at(), "not once more in the same drill")
	assert.Empty(t, again.undos)
	twice(t, r, log.undos[0])
	assert.Empty(t, f.stored(t, "apps", "deployments", "api").GetAnnotations())
	assert.Equal(t, first, at(), "no rollback")
	require.NoError(t, r.Apply(t.Context(), f.pods(t), &scopedBook{scope: "run-2/anew"}))
	assert.NotEqual(t, first, at(), "another drill restarts it")
}

func TestRolloutRestartRefuses(t *testing.T) {
	paused := deployment("api", 1)
	paused.Spec.Paused = true
	on := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"}}
	on.Spec.UpdateStrategy.Type = appsv1.OnDeleteStatefulSetStrategyType
	f := newFakeCluster(t, paused, on, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: "shop"}})
	for workload, says := range map[string]string{
		"deployment/api": "paused", "statefulset/db": "OnDelete", "replicaset/old": "does not replace its pods",
	} {
		log := &book{}
		err := with(t, "rollout-restart", map[string]any{"workload": workload}).Apply(t.Context(), f.pods(t), log)
		require.ErrorContains(t, err, says)
		assert.Empty(t, log.intents)
	}
}

// What is left of a rollout is said the way kubectl rollout status does.
func TestRolloutRestartWaits(t *testing.T) {
	num := func(kv ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = int64(kv[i+1].(int))
		}
		return m
	}
	sets := []struct {
		workload string
		status   map[string]any
		says     string
	}{
		{"deployment/api", num("observedGeneration", 6), "has not seen the change"},
		{"deployment/api", num("observedGeneration", 7, "updatedReplicas", 1), "1 of 2 pods are new"},
		{"deployment/api", num("observedGeneration", 7, "updatedReplicas", 2, "replicas", 3), "1 old pods are still there"},
		{"deployment/api", num("observedGeneration", 7, "updatedReplicas", 2, "replicas", 2, "availableReplicas", 1), "1 of 2 pods are available"},
		{"deployment/api", map[string]any{"observedGeneration": int64(7), "conditions": []any{
			map[string]any{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "too slow"},
		}}, "does not get on: too slow"},
		{"statefulset/db", num("observedGeneration", 7, "readyReplicas", 2), "2 of 3 pods are ready"},
		{"statefulset/db", num("observedGeneration", 7, "readyReplicas", 3, "updatedReplicas", 1), "1 of 2 pods are new"},
		{"daemonset/agent", num("observedGeneration", 7, "desiredNumberScheduled", 2, "updatedNumberScheduled", 2, "numberAvailable", 1), "1 of 2 pods are available"},
	}
	for _, s := range sets {
		three, one := int32(3), int32(1)
		db := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"}}
		db.Spec.Replicas, db.Spec.UpdateStrategy.RollingUpdate = &three, &appsv1.RollingUpdateStatefulSetStrategy{Partition: &one}
		f := newFakeCluster(t, deployment("api", 2), db, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent", Namespace: "shop"}})
		f.rolling(t, func(o *unstructured.Unstructured) map[string]any { o.SetGeneration(7); return s.status })
		r := with(t, "rollout-restart", map[string]any{"workload": s.workload, "timeout": "250ms"})
		require.ErrorContains(t, r.Apply(t.Context(), f.pods(t), &book{}), s.says, s.workload)
	}
}
