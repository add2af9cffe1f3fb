package injectors

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
)

// fault makes a fault from its parameters.
func fault(t *testing.T, kind, with string) drills.Injector {
	t.Helper()
	i, err := All(builtin.Kinds()).Build(kind, json.RawMessage(with))
	require.NoError(t, err)
	return i
}

// sees asks the witness.
func sees(t *testing.T, i drills.Injector, to drills.Target, u drills.Undo, within time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return i.(drills.Confirmer).Confirm(ctx, to, u)
}

// briefly reverts for a moment.
func briefly(t *testing.T, i drills.Injector, u drills.Undo) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	return i.Revert(ctx, u)
}

func TestPodKill(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.target(f.api(nil), 2)
	i := fault(t, "pod-kill", `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Equal(t, "wait until api-1-0, api-1-1 are replaced", u.Says)
	assert.Empty(t, f.asked(), "nothing was touched")
	_, err = sees(t, i, to, u, 50*time.Millisecond)
	require.ErrorContains(t, err, "pod shop/api-1-0 is still there, and was not asked to end")
	require.NoError(t, i.Revert(t.Context(), u), "nothing to undo")

	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Equal(t, []string{"api-1-2"}, f.podNames())
	for _, a := range f.client.Actions() {
		if d, ok := a.(clienttesting.DeleteAction); ok {
			o := d.GetDeleteOptions()
			assert.Equal(t, "uid-"+d.GetName(), string(*o.Preconditions.UID), "never the one that takes its place")
			assert.Equal(t, int64(0), *o.GracePeriodSeconds)
		}
	}
	_, err = sees(t, i, to, u, 50*time.Millisecond)
	require.ErrorContains(t, err, "is gone from the API server, but the endpoints of Service api still have it")
	f.unserved("uid-api-1-0", "uid-api-1-1")
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "pod shop/api-1-0 is gone from the API server, the endpoints of Service api no longer have it; "+
		"pod shop/api-1-1 is gone from the API server, the endpoints of Service api no longer have it", by)

	require.ErrorContains(t, briefly(t, i, u), "deployment/api in namespace shop has 1 of 3 pods")
	f.add(pod("api-1-3"))
	require.ErrorContains(t, briefly(t, i, u), "has 2 of 3 pods")
	f.add(pod("api-1-4"))
	require.NoError(t, i.Revert(t.Context(), u))
	require.NoError(t, i.Revert(t.Context(), u))
	f.allowed(i, to.Component)

	f.remove(deploymentsResource, "shop", "api")
	require.ErrorIs(t, i.Revert(t.Context(), u), drills.ErrGone)
}

func TestPodKillGrace(t *testing.T) {
	for with, want := range map[string]*int64{`{}`: new(int64(0)), `{"grace":"30s"}`: new(int64(30)), `{"grace":"workload"}`: nil} {
		assert.Equal(t, want, fault(t, "pod-kill", with).(*podKill).grace, with)
	}
	for with, want := range map[string]string{
		`{"grace":"soon"}`: "grace:", `{"grace":"1500ms"}`: "whole seconds", `{"through":"magic"}`: "want native or chaos-mesh",
		`{"grace":"workload","through":"chaos-mesh"}`: "Chaos Mesh cannot leave it to the pod",
	} {
		_, err := All(builtin.Kinds()).Build("pod-kill", json.RawMessage(with))
		assert.ErrorContains(t, err, want, with)
	}
}

// A pod that is asked to end and takes its time is not gone, and is what the fault is.
func TestPodKillOfAPodThatTakesItsTime(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.target(f.api(map[string]any{"service": ""}), 1)
	i := fault(t, "pod-kill", `{"grace":"workload"}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	p := pod("api-1-0")
	p.DeletionTimestamp, p.Finalizers = new(metav1.Now()), []string{"x"}
	update(f, "pods", p)
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "pod shop/api-1-0 is asked to end", by)
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	update(f, "pods", p)
	by, err = sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "pod shop/api-1-0 is asked to end, its kubelet says that its containers have ended", by)
	require.ErrorContains(t, briefly(t, i, u), "has 2 of 3 pods")
}

func TestPodFaultsRefuse(t *testing.T) {
	naked, static, sick, replaced := pod("api-1-0"), pod("api-1-0"), pod("api-1-0"), pod("api-1-0")
	naked.OwnerReferences = nil
	static.OwnerReferences = []metav1.OwnerReference{owner("v1", "Node", "node-a")}
	sick.Status.Conditions = nil
	replaced.UID = "another"
	for name, c := range map[string]struct {
		with map[string]any
		n    int
		now  *corev1.Pod
		want string
	}{
		"naked":    {nil, 1, naked, "pod shop/api-1-0 has no controller: nobody would bring it back"},
		"static":   {nil, 1, static, "is a static pod of node node-a"},
		"sick":     {nil, 1, sick, "pod shop/api-1-0 is not ready"},
		"replaced": {nil, 1, replaced, "is not the one any more that was chosen"},
		"too many": {map[string]any{"minAvailable": 2}, 2, pod("api-1-0"), "it would leave 1 of the 3 ready pods of api, fewer than 2: with.minAvailable is 2"},
	} {
		for _, kind := range []string{"pod-kill", "pod-evict"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				f := newFake(t)
				to := f.target(f.api(c.with), c.n)
				update(f, "pods", c.now)
				_, err := fault(t, kind, `{}`).Prepare(t.Context(), to)
				assert.ErrorContains(t, err, c.want)
				assert.Empty(t, f.asked())
			})
		}
	}
	t.Run("nodes", func(t *testing.T) {
		f := newFake(t)
		_, err := fault(t, "pod-kill", `{}`).Prepare(t.Context(), f.nodes(1))
		assert.ErrorContains(t, err, "member node-a is a node: this fault acts on pods")
	})
	t.Run("no place", func(t *testing.T) {
		newFake(t)
		m := &topology.Member{Spec: topology.MemberSpec{Name: "db-1", Address: "127.0.0.1:1"}}
		_, err := fault(t, "pod-kill", `{}`).Prepare(t.Context(), drills.Target{Component: &topology.Component{}, Members: []*topology.Member{m}})
		assert.ErrorContains(t, err, "give it the control kubernetes")
	})
}

// Members of other kinds of components can be pods, too, by name or alone in a
// workload.
func TestPodKillOfAMemberOfAnotherKind(t *testing.T) {
	for with, want := range map[string]string{
		`"pod":"api-1-1"`:             "",
		`"workload":"deployment/api"`: "deployment/api in namespace shop has 3 pods: name the one",
		`"pod":"nobody"`:              "member db-1: there is no pod shop/nobody",
	} {
		f := newFake(t)
		m := &topology.Member{Spec: topology.MemberSpec{Name: "db-1", Control: &topology.ControlSpec{
			Kind: "kubernetes", With: json.RawMessage(`{"kubeconfig":"` + f.access.Kubeconfig + `",` + with + `}`),
		}}}
		to := drills.Target{Component: &topology.Component{Members: []*topology.Member{m}}, Members: []*topology.Member{m}}
		i := fault(t, "pod-kill", `{}`)
		u, err := i.Prepare(t.Context(), to)
		if want != "" {
			assert.ErrorContains(t, err, want)
			continue
		}
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), to, u))
		assert.Equal(t, []string{"api-1-0", "api-1-2"}, f.podNames())
	}
}

// forbid makes the API server refuse the next so many evictions, tried ones included.
func (f *fakeCluster) forbid(times int) {
	f.client.PrependReactor("create", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if times--; times < 0 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	})
}

func TestPodEvict(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.target(f.api(nil), 1)
	i := fault(t, "pod-evict", `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Len(t, f.podNames(), 3, "an eviction that is only tried leaves the pod")
	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Equal(t, []string{"api-1-1", "api-1-2"}, f.podNames())
	f.unserved("uid-api-1-0")
	_, err = sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	f.add(pod("api-1-3"))
	require.NoError(t, i.Revert(t.Context(), u))
	f.allowed(i, to.Component)
}

func TestPodEvictHeedsBudgets(t *testing.T) {
	budget := func(status policyv1.PodDisruptionBudgetStatus, min int32) *policyv1.PodDisruptionBudget {
		return &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"}, Status: status,
			Spec: policyv1.PodDisruptionBudgetSpec{
				MinAvailable: new(intstr.FromInt32(min)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}},
			},
		}
	}
	allows := policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, ExpectedPods: 3, DesiredHealthy: 2, DisruptionsAllowed: 1}
	never := policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, ExpectedPods: 3, DesiredHealthy: 3}
	const patient = `{"patience":"5s"}`
	for name, c := range map[string]struct {
		status policyv1.PodDisruptionBudgetStatus
		min    int32
		with   string
		n      int
		want   string
	}{
		"one":          {allows, 2, `{}`, 1, ""},
		"two":          {allows, 2, `{}`, 2, "PodDisruptionBudget shop/api (minAvailable 2) forbids it: 3 of its 3 pods are healthy, 2 must stay so, so 1 may be evicted now, and 2 are to be"},
		"two in time":  {allows, 2, patient, 2, ""},
		"never":        {never, 3, `{}`, 1, "it never allows an eviction"},
		"never, still": {never, 3, patient, 1, "PodDisruptionBudget shop/api (minAvailable 3) forbids it"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			update(f, "poddisruptionbudgets", budget(c.status, c.min))
			_, err := fault(t, "pod-evict", c.with).Prepare(t.Context(), f.target(f.api(nil), c.n))
			if c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
	t.Run("refused meanwhile", func(t *testing.T) {
		f := newFake(t)
		to := f.target(f.api(nil), 1)
		i := fault(t, "pod-evict", `{}`)
		u, err := i.Prepare(t.Context(), to)
		require.NoError(t, err)
		update(f, "poddisruptionbudgets", budget(policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 2, ExpectedPods: 3, DesiredHealthy: 2}, 2))
		f.forbid(1)
		err = i.Inject(t.Context(), to, u)
		require.ErrorContains(t, err, "evict pod shop/api-1-0: PodDisruptionBudget shop/api (minAvailable 2) forbids it: 2 of its 3 pods are healthy, 2 must stay so")
		f.forbid(2)
		require.NoError(t, fault(t, "pod-evict", patient).Inject(t.Context(), to, u), "tried again")
		assert.Len(t, f.podNames(), 2)
	})
}

// However many pods there are, they are looked at together: the client's own limit of
// requests is for the deletions.
func TestPodKillOfMany(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	n := int32(103)
	d := get[*appsv1.Deployment](f, deploymentsResource, "shop", "api")
	d.Spec.Replicas = &n
	update(f, "deployments", d)
	for i := range 100 {
		f.add(pod(fmt.Sprintf("api-2-%d", i)))
	}
	to := f.target(f.api(map[string]any{"workload": "", "selector": "app=api", "service": ""}), 103)
	i := fault(t, "pod-kill", `{}`)
	f.client.ClearActions()
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Less(t, len(f.client.Actions()), 10)
	f.client.ClearActions()
	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Len(t, f.client.Actions(), 103)
	assert.Empty(t, f.podNames())
	f.client.ClearActions()
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Equal(t, 103, strings.Count(by, "is gone from the API server"))
	assert.Less(t, len(f.client.Actions()), 10)
	for i := range 103 {
		f.add(pod(fmt.Sprintf("api-3-%d", i)))
	}
	f.client.ClearActions()
	require.NoError(t, i.Revert(t.Context(), u))
	assert.Less(t, len(f.client.Actions()), 10)
	f.allowed(i, to.Component)
}
