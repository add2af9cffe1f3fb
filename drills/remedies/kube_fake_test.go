package remedies_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	kubetesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/kube"
)

// fakeCluster is client-go's own stand-in for an API server: it stores objects, and has
// no controllers.
type fakeCluster struct {
	access  kube.Access
	client  *fake.Clientset
	objects *dynamicfake.FakeDynamicClient
}

func newFakeCluster(t *testing.T, objects ...runtime.Object) *fakeCluster {
	t.Helper()
	f := &fakeCluster{
		access: kube.Access{Context: "fake " + t.Name()}, client: fake.NewClientset(objects...),
		objects: dynamicfake.NewSimpleDynamicClient(scheme.Scheme, objects...),
	}
	t.Cleanup(f.access.Use(&kube.Cluster{
		Client: f.client, Dynamic: f.objects, Namespace: "shop", Says: "API server https://fake.example:6443 (fake)",
	}))
	return f
}

// component opens one of the fake cluster; with is JSON.
func (f *fakeCluster) component(t *testing.T, kind string, with map[string]any) *topology.Component {
	t.Helper()
	with["context"] = f.access.Context
	text, err := json.Marshal(with)
	require.NoError(t, err)
	c, err := builtin.Kinds().OpenComponent(topology.ComponentSpec{Name: "api", Kind: kind, With: text}, nil)
	require.NoError(t, err)
	return c
}

// pods is the target that is the pods of deployment/api.
func (f *fakeCluster) pods(t *testing.T) drills.Target {
	t.Helper()
	return drills.Target{Component: f.component(t, kube.PodsKind, map[string]any{
		"namespace": "shop", "workload": "deployment/api", "selector": "app=api", "service": "api",
	})}
}

// patches are the bodies of all merge patches so far, without the version of what they
// were made for.
func (f *fakeCluster) patches(t *testing.T) (all []string) {
	t.Helper()
	for _, a := range f.objects.Actions() {
		p, ok := a.(kubetesting.PatchAction)
		if !ok {
			continue
		}
		require.Equal(t, "application/merge-patch+json", string(p.GetPatchType()))
		all = append(all, strings.Replace(string(p.GetPatch()), `"metadata":{},`, "", 1))
	}
	return all
}

// conflict makes the first patch come too late.
func (f *fakeCluster) conflict() {
	first := true
	f.objects.PrependReactor("patch", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
		defer func() { first = false }()
		return first, nil, apierrors.NewConflict(a.GetResource().GroupResource(), "api", nil)
	})
}

// rolling has every look at workloads show what a controller makes of them.
func (f *fakeCluster) rolling(t *testing.T, status func(o *unstructured.Unstructured) map[string]any) {
	f.objects.PrependReactor("get", "*", func(a kubetesting.Action) (bool, runtime.Object, error) {
		if a.GetResource().Group != "apps" {
			return false, nil, nil
		}
		stored, err := f.objects.Tracker().Get(a.GetResource(), a.GetNamespace(), a.(kubetesting.GetAction).GetName())
		if err != nil {
			return true, nil, err
		}
		m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
		require.NoError(t, err)
		o := &unstructured.Unstructured{Object: m}
		m["status"] = status(o)
		return true, o, nil
	})
}

// allReady is the status of a workload whose pods come at once.
func allReady(o *unstructured.Unstructured) map[string]any {
	n, _, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	return map[string]any{"replicas": n, "readyReplicas": n, "updatedReplicas": n, "availableReplicas": n}
}

// set changes a stored object as somebody else would.
func (f *fakeCluster) set(t *testing.T, o runtime.Object, resource string) {
	t.Helper()
	gvks, _, err := scheme.Scheme.ObjectKinds(o)
	require.NoError(t, err)
	gvr := schema.GroupVersionResource{Group: gvks[0].Group, Version: gvks[0].Version, Resource: resource}
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: m}
	u.SetGroupVersionKind(gvks[0])
	require.NoError(t, f.objects.Tracker().Update(gvr, u, u.GetNamespace()))
}

// stored reads a stored object.
func (f *fakeCluster) stored(t *testing.T, group, resource, name string) *unstructured.Unstructured {
	t.Helper()
	gvr := schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
	namespace := "shop"
	if resource == "nodes" {
		namespace = ""
	}
	stored, err := f.objects.Tracker().Get(gvr, namespace, name)
	require.NoError(t, err)
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(stored)
	require.NoError(t, err)
	return &unstructured.Unstructured{Object: m}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: "uid-" + "1"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
		},
	}
}

// running is a pod that is ready.
func running(name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", UID: "uid-1", Labels: labels},
		Spec:       corev1.PodSpec{NodeName: "node-a"},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// twice reverts an undo, and once more, which changes nothing.
func twice(t *testing.T, r drills.Remedy, u drills.Undo) {
	t.Helper()
	require.NoError(t, r.(drills.Reverter).Revert(t.Context(), u))
	require.NoError(t, r.(drills.Reverter).Revert(t.Context(), u))
}
