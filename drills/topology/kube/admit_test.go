package kube

import (
	"errors"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills/topology"
)

// court is an API server that is not real, which a drill asks for admission.
type court struct {
	client *fake.Clientset
	chaos  *dynamicfake.FakeDynamicClient
	// denied are what SelfSubjectAccessReviews answer no to: "verb resource".
	denied map[string]bool
	pods   *Pods
	nodes  *Nodes
}

func openCourt(t *testing.T, objects ...runtime.Object) *court {
	t.Helper()
	objects = append(objects,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
	)
	c := &court{client: fake.NewClientset(), denied: map[string]bool{}}
	for _, o := range objects {
		_ = c.client.Tracker().Add(o) // the first of a name stays
	}
	c.client.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		asked := r.Spec.ResourceAttributes
		r.Status.Allowed = !c.denied[asked.Verb+" "+asked.Resource]
		return true, r, nil
	})
	kinds := map[schema.GroupVersionResource]string{
		chaosKind("podchaos"): "PodChaosList", chaosKind("networkchaos"): "NetworkChaosList", chaosKind("schedules"): "ScheduleList",
		chaosKind("podnetworkchaos"): "PodNetworkChaosList", {Group: litmusGroup, Version: "v1alpha1", Resource: "chaosengines"}: "ChaosEngineList",
	}
	c.chaos = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds)
	access := Access{Context: t.Name()}
	t.Cleanup(access.Use(&Cluster{Client: c.client, Dynamic: c.chaos, Namespace: "shop", Says: "API server https://k (kubeconfig f)"}))
	component := &topology.Component{Spec: topology.ComponentSpec{Name: "api", Kind: PodsKind}}
	c.pods = &Pods{Spec: PodsSpec{Access: access, Namespace: "shop", Selector: "app=api"}, Component: component}
	c.nodes = &Nodes{Spec: NodesSpec{Access: access}, Component: component}
	return c
}

func chaosKind(resource string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: chaosGroup, Version: "v1alpha1", Resource: resource}
}

// install makes the kinds of the chaos tools known.
func (c *court) install() {
	kind := func(name string) metav1.APIResource { return metav1.APIResource{Name: name, Namespaced: true} }
	c.client.Resources = []*metav1.APIResourceList{
		{GroupVersion: chaosGroup + "/v1alpha1", APIResources: []metav1.APIResource{
			kind("podchaos"), kind("networkchaos"), kind("schedules"), kind("podnetworkchaos"), kind("podchaos/status"),
			{Name: "remoteclusters"},
		}},
		{GroupVersion: litmusGroup + "/v1alpha1", APIResources: []metav1.APIResource{kind("chaosengines"), kind("chaosresults")}},
	}
}

// object makes an object of a chaos tool, with fields in pairs of a path and a value.
func (c *court) object(t *testing.T, gvr schema.GroupVersionResource, kind, namespace, name string, fields map[string]any) {
	t.Helper()
	o := &unstructured.Unstructured{Object: fields}
	if fields == nil {
		o.Object = map[string]any{}
	}
	o.SetAPIVersion(gvr.GroupVersion().String())
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	_, err := c.chaos.Resource(gvr).Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (c *court) admit(t *testing.T) error {
	t.Helper()
	return c.pods.Admit(t.Context(), c.pods.Privileges(c.pods.Component))
}

func TestAdmitted(t *testing.T) {
	c := openCourt(t)
	require.NoError(t, c.admit(t))
	require.NoError(t, c.nodes.Admit(t.Context(), c.nodes.Privileges(nil)))
	c.install()
	require.NoError(t, c.admit(t))
}

func TestProtectedNamespacesAreRefused(t *testing.T) {
	c := openCourt(t)
	c.pods.Spec.Namespace = "kube-system"
	assert.ErrorContains(t, c.admit(t), "namespace kube-system at API server https://k (kubeconfig f) must not be drilled: it keeps the cluster")

	marked := map[string]string{protectedKey: "true"}
	for name, meta := range map[string]metav1.ObjectMeta{
		"label": {Name: "shop", Labels: marked}, "annotation": {Name: "shop", Annotations: marked},
	} {
		t.Run(name, func(t *testing.T) {
			c := openCourt(t, &corev1.Namespace{ObjectMeta: meta})
			assert.ErrorContains(t, c.admit(t), "firedrill.dev/protected=true")
			assert.NoError(t, c.nodes.Admit(t.Context(), nil), "the lock may be there")
		})
	}
}

// Chaos Mesh may be in a namespace of any name.
func TestChaosMeshIsNotDrilled(t *testing.T) {
	c := openCourt(t, &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: chaosWebhooks},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{ClientConfig: admissionregistrationv1.WebhookClientConfig{
			Service: &admissionregistrationv1.ServiceReference{Namespace: "shop", Name: "chaos-mesh-controller-manager"},
		}}},
	})
	assert.ErrorContains(t, c.admit(t), "namespace shop at API server https://k (kubeconfig f) must not be drilled: it keeps the cluster or its chaos tools going")
}

func TestMissingNamespaceIsRefused(t *testing.T) {
	c := openCourt(t)
	c.pods.Spec.Namespace = "shpo"
	assert.ErrorContains(t, c.admit(t), "there is no namespace shpo")
	now := metav1.Now()
	c = openCourt(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", DeletionTimestamp: &now, Finalizers: []string{"x"}}})
	assert.ErrorContains(t, c.admit(t), "is being deleted")
}

// An API server that cannot be asked is the one answer.
func TestUnreachableIsRefused(t *testing.T) {
	for says, err := range map[string]error{
		"does not accept the credentials: have they expired?": apierrors.NewUnauthorized("no"),
		"no answer from API server https://k":                 &url.Error{Op: "Get", URL: "https://k", Err: errors.New("connection refused")},
	} {
		c := openCourt(t)
		c.client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
		assert.ErrorContains(t, c.admit(t), says)
		assert.ErrorContains(t, c.nodes.Admit(t.Context(), nil), says)
	}
}

func TestMissingPrivilegesAreNamed(t *testing.T) {
	c := openCourt(t)
	c.denied = map[string]bool{"watch pods": true, "create leases": true, "list nodes": true}
	err := c.pods.Admit(t.Context(), append(c.pods.Privileges(nil),
		topology.Privilege{Resource: "pods", Verbs: []string{"delete", "watch"}, For: "pod-kill"}))
	for _, says := range []string{
		"watch pods in namespace shop (for discovery, phases, pod-kill)", "create leases.coordination.k8s.io in namespace shop (for drill lock)",
		"list nodes (for the zones of the pods)", "firedrill kinds --rbac SCENARIO --topology FILE prints",
	} {
		assert.ErrorContains(t, err, says)
	}
	assert.NotContains(t, err.Error(), "delete")
}

// Everything that is wrong is in one error.
func TestAllProblemsAtOnce(t *testing.T) {
	c := openCourt(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{protectedKey: "true"}}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deny", Labels: map[string]string{RunLabel: "run-0"}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api-1", Labels: map[string]string{"app": "api", RunLabel: "run-0"}}})
	c.install()
	c.denied["watch pods"] = true
	c.object(t, chaosKind("podchaos"), "PodChaos", "shop", "theirs", nil)
	err := c.admit(t)
	for _, says := range []string{
		"firedrill.dev/protected=true", "NetworkPolicy deny of run run-0", "the label firedrill.dev/run=run-0 on pod api-1", "firedrill recover",
		"watch pods", "PodChaos shop/theirs",
	} {
		assert.ErrorContains(t, err, says)
	}
}

func TestForeignChaosIsRefused(t *testing.T) {
	selector := func(ns ...any) map[string]any {
		return map[string]any{"selector": map[string]any{"namespaces": ns}}
	}
	phase := func(p, recovered string) map[string]any {
		return map[string]any{
			"experiment": map[string]any{"desiredPhase": p},
			"conditions": []any{map[string]any{"type": "AllRecovered", "status": recovered}},
		}
	}
	network, engines := chaosKind("networkchaos"), schema.GroupVersionResource{Group: litmusGroup, Version: "v1alpha1", Resource: "chaosengines"}
	for name, c := range map[string]struct {
		gvr       schema.GroupVersionResource
		kind, ns  string
		fields    map[string]any
		elsewhere bool // it is no business of a drill in shop
	}{
		"in the namespace":             {gvr: network, kind: "NetworkChaos", ns: "shop"},
		"before injection":             {gvr: network, kind: "NetworkChaos", ns: "shop", fields: map[string]any{"status": phase("Run", "True")}},
		"over":                         {gvr: network, kind: "NetworkChaos", ns: "shop", fields: map[string]any{"status": phase("Stop", "True")}, elsewhere: true},
		"not yet recovered":            {gvr: network, kind: "NetworkChaos", ns: "shop", fields: map[string]any{"status": phase("Stop", "False")}},
		"aimed here":                   {gvr: network, kind: "NetworkChaos", ns: "chaos", fields: map[string]any{"spec": selector("front", "shop")}},
		"other side of a partition":    {gvr: network, kind: "NetworkChaos", ns: "chaos", fields: map[string]any{"spec": map[string]any{"target": selector("shop")}}},
		"elsewhere":                    {gvr: network, kind: "NetworkChaos", ns: "chaos", fields: map[string]any{"spec": selector("front")}, elsewhere: true},
		"elsewhere without namespaces": {gvr: network, kind: "NetworkChaos", ns: "chaos", fields: map[string]any{"spec": selector()}, elsewhere: true},
		"pods by name": {gvr: network, kind: "NetworkChaos", ns: "chaos", fields: map[string]any{
			"spec": map[string]any{"selector": map[string]any{"pods": map[string]any{"shop": []any{"api-1"}}}},
		}},
		"schedule": {gvr: chaosKind("schedules"), kind: "Schedule", ns: "chaos", fields: map[string]any{"spec": map[string]any{"podChaos": selector("shop")}}},
		"paused schedule": {gvr: chaosKind("schedules"), kind: "Schedule", ns: "shop", fields: map[string]any{
			"metadata": map[string]any{"annotations": map[string]any{"experiment.chaos-mesh.org/pause": "true"}},
		}, elsewhere: true},
		"the controller's own notes": {gvr: chaosKind("podnetworkchaos"), kind: "PodNetworkChaos", ns: "shop", elsewhere: true},
		"engine":                     {gvr: engines, kind: "ChaosEngine", ns: "litmus", fields: map[string]any{"spec": map[string]any{"appinfo": map[string]any{"appns": "shop"}}}},
		"stopped engine":             {gvr: engines, kind: "ChaosEngine", ns: "shop", fields: map[string]any{"spec": map[string]any{"engineState": "stop"}}, elsewhere: true},
		"engine that is done":        {gvr: engines, kind: "ChaosEngine", ns: "shop", fields: map[string]any{"status": map[string]any{"engineStatus": "completed"}}, elsewhere: true},
	} {
		t.Run(name, func(t *testing.T) {
			court := openCourt(t)
			court.install()
			court.object(t, c.gvr, c.kind, c.ns, "theirs", c.fields)
			err := court.admit(t)
			if c.elsewhere {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.kind+" "+c.ns+"/theirs")
			assert.ErrorContains(t, court.nodes.Admit(t.Context(), nil), c.kind+" "+c.ns+"/theirs", "nodes have pods of all namespaces")
		})
	}
}

// What an interrupted run of firedrill left is not somebody else's.
func TestOwnChaosIsCalledSo(t *testing.T) {
	c := openCourt(t)
	c.install()
	c.object(t, chaosKind("podchaos"), "PodChaos", "shop", "fd", map[string]any{
		"metadata": map[string]any{"labels": map[string]any{RunLabel: "run-0"}},
	})
	assert.ErrorContains(t, c.admit(t), "PodChaos shop/fd of firedrill's run run-0")
	assert.ErrorContains(t, c.admit(t), "firedrill recover")
}

// Whoever may not see what others break is told so, and not that there is nothing.
func TestForeignChaosThatMayNotBeSeen(t *testing.T) {
	c := openCourt(t)
	c.install()
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: chaosGroup, Resource: "podchaos"}, "", errors.New("no"))
	only := ""
	c.chaos.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if only != "" && a.GetNamespace() == only {
			return false, nil, nil
		}
		return true, nil, forbidden
	})
	err := c.admit(t)
	assert.ErrorContains(t, err, "see whether somebody else breaks something: list ")
	assert.ErrorContains(t, err, "in namespace shop: not allowed at API server https://k")
	only = "shop" // that must do: more may not be had
	require.NoError(t, c.admit(t))
	assert.ErrorContains(t, c.nodes.Admit(t.Context(), nil), "in all namespaces: not allowed")
	c.object(t, chaosKind("podchaos"), "PodChaos", "shop", "theirs", nil)
	assert.ErrorContains(t, c.admit(t), "PodChaos shop/theirs")
}

func TestNodesThatMustNotBeDrilled(t *testing.T) {
	c := openCourt(t,
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a", Labels: map[string]string{protectedKey: "true"}}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-b"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "firedrill.dev/run", Value: "run-0", Effect: "NoExecute"}}}},
	)
	err := c.nodes.Admit(t.Context(), nil)
	assert.ErrorContains(t, err, "node-a: leave them out by with.selector (firedrill.dev/protected!=true)")
	assert.ErrorContains(t, err, "taint firedrill.dev/run=run-0:NoExecute on node node-b")
	c.nodes.Spec.Selector = "firedrill.dev/protected!=true,kubernetes.io/hostname=none"
	assert.NoError(t, c.nodes.Admit(t.Context(), nil))
}

func TestFloor(t *testing.T) {
	replicas := int32(5)
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"},
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "api"}}},
	}
	pod := func(name, set string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": "api"}}}
		if set != "" {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: set, Controller: new(true)}}
		}
		return p
	}
	for name, c := range map[string]struct {
		objects []runtime.Object
		spec    func(*PodsSpec)
		least   int
		why     string
	}{
		"no set":           {objects: []runtime.Object{pod("x", ""), pod("y", "")}},
		"given":            {objects: []runtime.Object{set}, spec: func(s *PodsSpec) { s.Workload, s.MinAvailable = "statefulset/db", 1 }, least: 1, why: "minAvailable"},
		"majority":         {objects: []runtime.Object{set}, spec: func(s *PodsSpec) { s.Workload = "statefulset/db" }, least: 3, why: "statefulset/db has 5 pods"},
		"found by pods":    {objects: []runtime.Object{pod("db-0", "db"), pod("db-1", "db"), pod("db-2", "db")}, least: 2, why: "statefulset/db has 3 pods"},
		"one is gone":      {objects: []runtime.Object{pod("db-0", "db"), pod("db-2", "db")}, least: 2, why: "statefulset/db has 3 pods"},
		"the last is":      {objects: []runtime.Object{pod("db-0", "db"), pod("db-1", "db")}, spec: func(s *PodsSpec) { s.Replicas = 3 }, least: 2, why: "statefulset/db has 3 pods"},
		"a pair votes not": {objects: []runtime.Object{pod("db-0", "db"), pod("db-1", "db")}},
		"with others":      {objects: []runtime.Object{pod("db-0", "db"), pod("db-1", "db"), pod("db-2", "db"), pod("x", "")}, least: 3, why: "statefulset/db has 3 pods"},
	} {
		t.Run(name, func(t *testing.T) {
			court := openCourt(t, c.objects...)
			if c.spec != nil {
				c.spec(&court.pods.Spec)
			}
			least, why, err := court.pods.Floor(t.Context())
			require.NoError(t, err)
			assert.Equal(t, c.least, least)
			assert.Contains(t, why, c.why)
		})
	}
}
