package kube

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	ktest "k8s.io/client-go/testing"

	"firedrill/drills/kind"
	"firedrill/drills/topology"
)

// controlled is a member with a StatefulSet of so many replicas, and the API server
// that it is in.
func controlled(t *testing.T, replicas int32, with map[string]any) (topology.Control, *fake.Clientset) {
	t.Helper()
	labels := map[string]string{"app": "db"}
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"},
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}},
		Status:     appsv1.StatefulSetStatus{ReadyReplicas: replicas},
	}
	p := ready(on(fresh("db-0"), "node-a"), corev1.ConditionTrue)
	p.Labels = labels
	client := fake.NewClientset(set, p)
	a := Access{Context: t.Name()}
	t.Cleanup(a.Use(&Cluster{
		Client: client, Dynamic: dynamicfake.NewSimpleDynamicClient(scheme.Scheme, set.DeepCopy()), Namespace: "shop", Says: "API server test",
	}))
	all := map[string]any{"context": a.Context, "workload": "statefulset/db"}
	for k, v := range with {
		all[k] = v
	}
	text, err := json.Marshal(all)
	require.NoError(t, err)
	build, err := kind.Of("control", ControlEntry()).Build(ControlKind, text)
	require.NoError(t, err)
	ctl, err := build(topology.MemberSpec{Name: "db-0"})
	require.NoError(t, err)
	return ctl, client
}

// To stop one member must not stop the others.
func TestControlOfASharedWorkload(t *testing.T) {
	const want = "member db-0: statefulset/db in namespace shop has 3 replicas, stopping it would stop them all: give each member a workload of its own, or use pod-kill"
	ctl, client := controlled(t, 3, nil)
	_, err := ctl.Status(t.Context())
	require.EqualError(t, err, want)
	require.EqualError(t, ctl.Stop(t.Context()), want)

	ctl, named := controlled(t, 3, map[string]any{"pod": "db-0"})
	st, err := ctl.Status(t.Context())
	require.NoError(t, err, "which pod the member is, is known")
	assert.True(t, st.Running)
	require.EqualError(t, ctl.(interface{ CanStop(context.Context) error }).CanStop(t.Context()), want)
	require.EqualError(t, ctl.Stop(t.Context()), want)
	for _, a := range append(client.Actions(), named.Actions()...) {
		assert.Equal(t, "get", a.GetVerb(), "nothing is touched")
	}
}

// A workload's own controller may write it between a read and a write.
func TestControlTriesAgainOnConflict(t *testing.T) {
	ctl, client := controlled(t, 1, nil)
	tries := 0
	client.PrependReactor("get", "statefulsets", func(a ktest.Action) (bool, runtime.Object, error) {
		return a.GetSubresource() == "scale", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "db", Namespace: "shop"}}, nil
	})
	client.PrependReactor("update", "statefulsets", func(a ktest.Action) (bool, runtime.Object, error) {
		tries++
		if tries < 3 {
			return true, nil, apierrors.NewConflict(appsv1.Resource("statefulsets"), "db", nil)
		}
		s := a.(ktest.UpdateAction).GetObject().(*autoscalingv1.Scale)
		assert.Zero(t, s.Spec.Replicas)
		return true, s, client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "shop", "db-0")
	})
	require.NoError(t, ctl.Stop(t.Context()))
	assert.Equal(t, 3, tries)
}

// Neither waits longer than the topology file says, whatever the context is.
func TestControlGivesUp(t *testing.T) {
	ctl, client := controlled(t, 1, map[string]any{"stopTimeout": "250ms", "startTimeout": "250ms"})
	client.PrependReactor("*", "statefulsets", func(a ktest.Action) (bool, runtime.Object, error) {
		return a.GetSubresource() == "scale", &autoscalingv1.Scale{}, nil
	})
	began := time.Now()
	require.ErrorContains(t, ctl.Stop(context.WithoutCancel(t.Context())),
		"member db-0: not stopped 250ms after statefulset/db was scaled to 0 (stopTimeout): pod db-0 is still there")
	require.NoError(t, ctl.Start(t.Context()))
	assert.Less(t, time.Since(began), 10*time.Second)

	set, err := client.AppsV1().StatefulSets("shop").Get(t.Context(), "db", metav1.GetOptions{})
	require.NoError(t, err)
	set.Status.ReadyReplicas = 0
	require.NoError(t, client.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("statefulsets"), set, "shop"))
	require.ErrorContains(t, ctl.Start(context.WithoutCancel(t.Context())),
		"member db-0: not ready 250ms after the start (startTimeout): statefulset/db: 0 of 1 pods are ready")
}
