package probes

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktest "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// podsOf is a component of two pods on an API server that is not real.
func podsOf(t *testing.T, service string, objects ...runtime.Object) (*topology.Component, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset(append(objects, kubePod("api-1", true), kubePod("api-2", true))...)
	a := &kube.Pods{Spec: kube.PodsSpec{Access: kube.Access{Context: t.Name()}, Namespace: "shop", Selector: "app=api", Replicas: 2, Service: service}}
	t.Cleanup(a.Spec.Use(&kube.Cluster{Client: client, Namespace: "shop", Says: "API server test"}))
	a.Component = &topology.Component{Spec: topology.ComponentSpec{Name: "api", Kind: kube.PodsKind}, Adapter: a}
	return a.Component, client
}

func kubePod(name string, ready bool) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": "api"}}}
	if ready {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	} else {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "api", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		}}
	}
	return p
}

func openKube(t *testing.T, c *topology.Component, with string) (drills.Probe, error) {
	t.Helper()
	k, err := All().Build("kubernetes", []byte(with))
	require.NoError(t, err)
	return k.Open(t.Context(), drills.Subject{Component: c, Client: drills.Fresh})
}

func look(t *testing.T, p drills.Probe) (timeline.Class, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	o := p.Observe(ctx)
	return o.Class, o.Detail
}

func says(t *testing.T, p drills.Probe, class timeline.Class, detail string) {
	t.Helper()
	c, d := look(t, p)
	assert.Equal(t, class, c)
	assert.Equal(t, detail, d)
}

func TestKubernetesPods(t *testing.T) {
	c, client := podsOf(t, "")
	p, err := openKube(t, c, "")
	require.NoError(t, err)
	says(t, p, timeline.OK, "")
	pods := client.CoreV1().Pods("shop")
	_, err = pods.Update(t.Context(), kubePod("api-2", false), metav1.UpdateOptions{})
	require.NoError(t, err)
	says(t, p, timeline.Error, "1 of 2 pods ready: api-2: container api waits: CrashLoopBackOff")
	require.NoError(t, pods.Delete(t.Context(), "api-2", metav1.DeleteOptions{}))
	says(t, p, timeline.Error, "1 of 2 pods ready: there are no others")
	enough, err := openKube(t, c, `{"minReady": 1}`)
	require.NoError(t, err)
	says(t, enough, timeline.OK, "")
}

func TestKubernetesEndpoints(t *testing.T) {
	endpoint := func(pod string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
	}
	slice := func(name string, es ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "api"}}, Endpoints: es,
		}
	}
	c, _ := podsOf(t, "api", slice("v4", endpoint("api-1", nil), endpoint("api-2", new(false))), slice("v6", endpoint("api-1", new(true))))
	p, err := openKube(t, c, `{"minEndpoints": 1}`)
	require.NoError(t, err)
	says(t, p, timeline.OK, "")
	p, err = openKube(t, c, `{"minEndpoints": 2}`)
	require.NoError(t, err)
	says(t, p, timeline.Error, "1 of 2 endpoints of service api ready")
}

func TestKubernetesBudgets(t *testing.T) {
	budget := func(name, app string, allowed int32) *policyv1.PodDisruptionBudget {
		return &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
			Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed, CurrentHealthy: 2, ExpectedPods: 2, DesiredHealthy: 1},
		}
	}
	c, client := podsOf(t, "", budget("api", "api", 1), budget("web", "web", 0))
	p, err := openKube(t, c, `{"minDisruptions": 1}`)
	require.NoError(t, err)
	says(t, p, timeline.OK, "")
	budgets := client.PolicyV1().PodDisruptionBudgets("shop")
	_, err = budgets.Update(t.Context(), budget("api", "api", 0), metav1.UpdateOptions{})
	require.NoError(t, err)
	says(t, p, timeline.Error, "budget api allows 0 disruptions, want 1: 2 of 2 pods healthy, 1 needed")
	require.NoError(t, budgets.Delete(t.Context(), "api", metav1.DeleteOptions{}))
	says(t, p, timeline.Error, "of the budgets api, 0 are there")
}

// What the API server does not answer is not the same as what it refuses.
func TestKubernetesWithoutAnswer(t *testing.T) {
	c, client := podsOf(t, "")
	p, err := openKube(t, c, "")
	require.NoError(t, err)
	var with error
	client.PrependReactor("list", "pods", func(ktest.Action) (bool, runtime.Object, error) { return true, nil, with })
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, k := range []struct {
		err    error
		class  timeline.Class
		detail string
	}{
		{apierrors.NewUnauthorized("Unauthorized"), timeline.Auth, "API server test does not accept the credentials: have they expired?"},
		{apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no")), timeline.Auth, "not allowed at API server test: grant it"},
		{apierrors.NewInternalError(errors.New("etcd")), timeline.Error, "list the pods app=api in namespace shop: API server test: Internal error"},
		{dial, timeline.Refused, "connection refused"},
		{context.DeadlineExceeded, timeline.Timeout, "deadline exceeded"},
		{errors.New("client rate limiter Wait returned an error"), timeline.NoData, "client rate limiter"},
	} {
		with = k.err
		class, detail := look(t, p)
		assert.Equal(t, k.class, class, "%v", k.err)
		assert.Contains(t, detail, k.detail)
	}
}

func TestKubernetesRefusesWhatItCannotLookAt(t *testing.T) {
	c, _ := podsOf(t, "")
	unwanted, _ := podsOf(t, "")
	unwanted.Adapter.(*kube.Pods).Spec.Replicas = 0
	for _, k := range []struct {
		c          *topology.Component
		with, want string
	}{
		{nil, "", "give it a target"},
		{&topology.Component{Spec: topology.ComponentSpec{Name: "db", Kind: "mysql"}}, "", "component db is of kind mysql: want kubernetes"},
		{c, `{"minEndpoints": 1}`, "the component has no service in the topology"},
		{c, `{"minDisruptions": 1}`, "no PodDisruptionBudget in namespace shop speaks for the pods app=api"},
		{unwanted, "", "nobody says how many pods are wanted"},
	} {
		_, err := openKube(t, k.c, k.with)
		require.ErrorContains(t, err, k.want)
	}
	k, err := All().Build("kubernetes", nil)
	require.NoError(t, err)
	_, err = k.Open(t.Context(), drills.Subject{Component: c, Client: drills.Pooled})
	require.ErrorContains(t, err, "pooled")
}

func TestKubernetesPrivileges(t *testing.T) {
	c, _ := podsOf(t, "api")
	k, err := All().Build("kubernetes", []byte(`{"minDisruptions": 1, "minEndpoints": 1}`))
	require.NoError(t, err)
	var got []string
	for _, p := range k.(drills.Privileged).Privileges(c) {
		assert.Equal(t, "shop", p.Namespace)
		got = append(got, p.Group+"/"+p.Resource)
	}
	assert.Equal(t, []string{"/pods", "policy/poddisruptionbudgets", "discovery.k8s.io/endpointslices"}, got)
}
