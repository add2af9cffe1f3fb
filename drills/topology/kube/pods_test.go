package kube

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktest "k8s.io/client-go/testing"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// found is an adapter on an API server that has these objects and is not real.
func found(t *testing.T, objects ...runtime.Object) (*Pods, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(objects...)
	a := &Pods{Component: &topology.Component{Spec: topology.ComponentSpec{Name: "api", Kind: PodsKind}}}
	a.Spec = PodsSpec{
		Access: Access{Context: t.Name()}, Namespace: "shop", Selector: "app=api", Replicas: 2, Port: 8080,
		RoleLabel: "role", Settle: spec.Duration(time.Second),
	}
	t.Cleanup(a.Spec.Use(&Cluster{Client: client, Namespace: "shop", Says: "API server test"}))
	return a, client
}

// aPod is one that is ready, on a node of zone b.
func aPod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": "api", "role": "replica"}},
		Spec:       corev1.PodSpec{NodeName: "node-b"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func unready(p *corev1.Pod) {
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "api", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
	}}
}

func zoneB() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-b", Labels: map[string]string{corev1.LabelTopologyZone: "b"}}}
}

func TestDiscoverPods(t *testing.T) {
	now := metav1.Now()
	a, _ := found(t, zoneB(), aPod("one"), aPod("two", unready),
		aPod("going", func(p *corev1.Pod) { p.DeletionTimestamp, p.Finalizers = &now, []string{"test/keep"} }),
		aPod("done", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		aPod("other", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }))
	st, err := a.Discover(t.Context())
	require.NoError(t, err)
	require.Len(t, st.Members, 2, "who is going, or has ended, is no member")
	one, two := st.Members[0], st.Members[1]
	assert.Equal(t, topology.Replica, one.Role)
	assert.Empty(t, one.Problem)
	assert.Equal(t, "b", one.Spec.Site)
	assert.Equal(t, "10.0.0.1:8080", one.Spec.Address)
	assert.Equal(t, topology.Down, two.Role)
	assert.Equal(t, "container api waits: CrashLoopBackOff", two.Problem)
	assert.Equal(t, "1 of 2 pods app=api in namespace shop are ready", st.Problem)
	place, err := PlaceOf(*one.Spec)
	require.NoError(t, err)
	assert.Equal(t, Place{Access: a.Spec.Access, Namespace: "shop", Pod: "one"}, place)
}

func TestDiscoverNobody(t *testing.T) {
	a, _ := found(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		aPod("web", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }))
	st, err := a.Discover(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "no pod fits app=api in namespace shop: the pods there have app=web", st.Problem)
	a.Spec.Selector = "tier=front"
	st, err = a.Discover(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "no pod fits tier=front in namespace shop: none of the 1 pods there has such a label", st.Problem)
}

// Members that stay are the same as before, with whatever is remembered of them.
func TestEnrol(t *testing.T) {
	a, client := found(t, zoneB(), aPod("one"), aPod("two"))
	kinds := topology.Kinds{}
	enrol := func() []*topology.Member {
		st, err := a.Discover(t.Context())
		require.NoError(t, err)
		for i := range st.Members {
			st.Members[i].Spec.Control = nil // its catalogue is not here
		}
		require.NoError(t, kinds.Enrol(a.Component, st))
		return a.Component.Members
	}
	before := enrol()
	require.Len(t, before, 2)
	require.NoError(t, client.CoreV1().Pods("shop").Delete(t.Context(), "one", metav1.DeleteOptions{}))
	_, err := client.CoreV1().Pods("shop").Create(t.Context(), aPod("three"), metav1.CreateOptions{})
	require.NoError(t, err)
	after := enrol()
	require.Len(t, after, 2)
	assert.Equal(t, "three", after[0].Name())
	assert.Same(t, before[1], after[1])
}

func TestRestoreWaitsForAsManyAsBefore(t *testing.T) {
	a, client := found(t, zoneB(), aPod("one"), aPod("two"))
	keep, err := a.Discover(t.Context())
	require.NoError(t, err)
	_, err = a.Restore(t.Context(), keep, nil)
	require.NoError(t, err)
	require.NoError(t, client.CoreV1().Pods("shop").Delete(t.Context(), "one", metav1.DeleteOptions{}))
	_, err = a.Restore(t.Context(), keep, nil)
	assert.ErrorContains(t, err, "restore api: not back after 1s: 1 pods are ready, 2 were before the drill")
}

// Whoever has no valid credentials is not waited for until everything else is over.
func TestRestoreWithoutCredentials(t *testing.T) {
	a, client := found(t, zoneB(), aPod("one"), aPod("two"))
	keep, err := a.Discover(t.Context())
	require.NoError(t, err)
	client.PrependReactor("list", "pods", func(ktest.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewUnauthorized("expired")
	})
	_, err = a.Restore(t.Context(), keep, nil)
	assert.ErrorContains(t, err, "API server test does not accept the credentials: have they expired?")
}

func TestPodsSpecIsChecked(t *testing.T) {
	for with, says := range map[string]string{
		`{}`:                              "workload or selector is needed",
		`{"workload": "api"}`:             `workload "api": want deployment/NAME`,
		`{"workload": "job/api"}`:         `workload "job/api": want deployment/NAME`,
		`{"selector": "app in (a"}`:       "with.selector: ",
		`{"selector": "app=a", "x": "y"}`: `unknown field "x"`,
	} {
		build, err := kind.Of("component", Kind()).Build(PodsKind, []byte(with))
		if assert.Error(t, err, fmt.Sprint(with, build)) {
			assert.Contains(t, err.Error(), says)
		}
	}
}
