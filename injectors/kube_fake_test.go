package injectors

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/kube"
)

// fakeCluster is an API server that has no controllers: what a test wants to happen
// after a request, it does itself.
type fakeCluster struct {
	t      *testing.T
	client *fake.Clientset
	access kube.Access
}

// newFake has two nodes, and a Deployment api with three pods behind a Service and a
// budget of two.
func newFake(t *testing.T, more ...runtime.Object) *fakeCluster {
	t.Helper()
	three := int32(3)
	labels := map[string]string{"app": "api"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	objects := append(more,
		node("node-a"), node("node-b"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop", UID: "deployment"},
			Spec:       appsv1.DeploymentSpec{Replicas: &three, Selector: selector},
		},
		&appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Name: "api-1", Namespace: "shop", OwnerReferences: []metav1.OwnerReference{owner("apps/v1", "Deployment", "api")},
			},
			Spec: appsv1.ReplicaSetSpec{Replicas: &three, Selector: selector},
		},
		&policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop"},
			Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(2)), Selector: selector},
			Status:     policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, ExpectedPods: 3, DesiredHealthy: 2, DisruptionsAllowed: 1},
		},
	)
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{
		Name: "api-x", Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: "api"},
	}}
	for i := range 3 {
		p := pod(fmt.Sprintf("api-1-%d", i))
		objects = append(objects, p)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{TargetRef: &corev1.ObjectReference{UID: p.UID}})
	}
	f := &fakeCluster{t: t, client: fake.NewClientset(append(objects, slice)...), access: kube.Access{Kubeconfig: t.Name()}}
	t.Cleanup(f.access.Use(&kube.Cluster{Client: f.client, Namespace: "shop", Says: "API server fake"}))
	f.client.PrependReactor("create", "pods", f.evict)
	return f
}

func owner(version, kind, name string) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: version, Kind: kind, Name: name, Controller: new(true)}
}

func node(name string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
}

// pod is a ready pod of the Deployment api.
func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "shop", UID: types.UID("uid-" + name), Labels: map[string]string{"app": "api"},
			OwnerReferences: []metav1.OwnerReference{owner("apps/v1", "ReplicaSet", "api-1")},
		},
		Spec: corev1.PodSpec{NodeName: "node-a", RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "api"}}},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "api", ContainerID: "containerd://1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
			}},
		},
	}
}

// evict is what the API server does with an eviction, but for budgets.
func (f *fakeCluster) evict(a clienttesting.Action) (bool, runtime.Object, error) {
	e, ok := a.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
	if !ok {
		return false, nil, nil
	}
	if len(e.DeleteOptions.DryRun) > 0 {
		return true, nil, nil
	}
	return true, nil, f.client.Tracker().Delete(podsResource, e.Namespace, e.Name)
}

// open opens a component, with as its parameters.
func (f *fakeCluster) open(kind string, with map[string]any) *topology.Component {
	f.t.Helper()
	with["kubeconfig"] = f.access.Kubeconfig
	text, err := json.Marshal(with)
	require.NoError(f.t, err)
	c, err := builtin.Kinds().OpenComponent(topology.ComponentSpec{Name: "api", Kind: kind, With: text}, nil)
	require.NoError(f.t, err)
	return c
}

// api is the component of the three pods.
func (f *fakeCluster) api(with map[string]any) *topology.Component {
	all := map[string]any{"namespace": "shop", "workload": "deployment/api", "service": "api"}
	for k, v := range with {
		all[k] = v
	}
	return f.open(kube.PodsKind, all)
}

// target is the first of a component's members.
func (f *fakeCluster) target(c *topology.Component, n int) drills.Target {
	f.t.Helper()
	state, err := c.Adapter.Discover(f.t.Context())
	require.NoError(f.t, err)
	require.NoError(f.t, builtin.Kinds().Enrol(c, state))
	return drills.Target{Component: c, Members: c.Members[:n], Others: c.Members[n:], State: state}
}

func (f *fakeCluster) nodes(n int) drills.Target {
	return f.target(f.open(kube.NodesKind, map[string]any{}), n)
}

// The tests look and change things behind the API server: what is asked of it is the
// faults' doing alone.

// update changes an object.
func update[T runtime.Object](f *fakeCluster, resource string, o T) {
	f.t.Helper()
	m := any(o).(metav1.Object)
	gvks, _, err := scheme.Scheme.ObjectKinds(o)
	require.NoError(f.t, err)
	gvr := gvks[0].GroupVersion().WithResource(resource)
	require.NoError(f.t, f.client.Tracker().Update(gvr, o, m.GetNamespace()))
}

// get returns an object.
func get[T runtime.Object](f *fakeCluster, gvr schema.GroupVersionResource, namespace, name string) T {
	f.t.Helper()
	o, err := f.client.Tracker().Get(gvr, namespace, name)
	require.NoError(f.t, err)
	return o.DeepCopyObject().(T)
}

var (
	podsResource        = corev1.SchemeGroupVersion.WithResource("pods")
	nodesResource       = corev1.SchemeGroupVersion.WithResource("nodes")
	deploymentsResource = appsv1.SchemeGroupVersion.WithResource("deployments")
	slicesResource      = discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
)

// unserved takes pods out of the endpoints, as their controller does.
func (f *fakeCluster) unserved(uids ...types.UID) {
	f.t.Helper()
	s := get[*discoveryv1.EndpointSlice](f, slicesResource, "shop", "api-x")
	s.Endpoints = slices.DeleteFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return slices.Contains(uids, e.TargetRef.UID) })
	update(f, "endpointslices", s)
}

func (f *fakeCluster) add(o *corev1.Pod) {
	f.t.Helper()
	require.NoError(f.t, f.client.Tracker().Create(podsResource, o, o.Namespace))
}

func (f *fakeCluster) remove(gvr schema.GroupVersionResource, namespace, name string) {
	f.t.Helper()
	require.NoError(f.t, f.client.Tracker().Delete(gvr, namespace, name))
}

func (f *fakeCluster) podNames() (names []string) {
	f.t.Helper()
	list, err := f.client.Tracker().List(podsResource, corev1.SchemeGroupVersion.WithKind("Pod"), "shop")
	require.NoError(f.t, err)
	for _, p := range list.(*corev1.PodList).Items {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// allowed sees to it that everything that was asked of the API server so far is among
// the privileges of the fault and of the component.
func (f *fakeCluster) allowed(i drills.Injector, c *topology.Component) {
	f.t.Helper()
	needs := append(i.(drills.Privileged).Privileges(c), c.Adapter.(drills.Privileged).Privileges(c)...)
	for _, a := range f.client.Actions() {
		resource := a.GetResource().Resource
		if s := a.GetSubresource(); s != "" {
			resource += "/" + s
		}
		ok := slices.ContainsFunc(needs, func(p topology.Privilege) bool {
			where := p.Namespace == a.GetNamespace() || p.Namespace == kube.Everywhere || kube.Wide(resource)
			return p.Group == a.GetResource().Group && p.Resource == resource && slices.Contains(p.Verbs, a.GetVerb()) && where
		})
		assert.True(f.t, ok, "%s %s.%s in %q is not among the privileges", a.GetVerb(), resource, a.GetResource().Group, a.GetNamespace())
	}
}

// asked lists what was asked of the API server that changes something.
func (f *fakeCluster) asked() (all []string) {
	for _, a := range f.client.Actions() {
		if !slices.Contains([]string{"get", "list", "watch"}, a.GetVerb()) {
			all = append(all, strings.TrimSuffix(a.GetVerb()+" "+a.GetResource().Resource+"/"+a.GetSubresource(), "/"))
		}
	}
	return all
}
