package injectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology/kube"
)

// fakeChaos is a fake cluster with Chaos Mesh, as far as its objects tell: what the
// controller says of an object, and whether it lets it go, is the test's to say.
type fakeChaos struct {
	*fakeCluster
	objects *fake.FakeDynamicClient
	// says is what the controller makes of a new object.
	says func(o *unstructured.Unstructured) v1alpha1.ExperimentStatus
	// keeps tells that the controller does not let objects go.
	keeps bool
	// drops are fields that its CRDs do not have.
	drops []string
}

func resource(name string) schema.GroupVersionResource {
	return v1alpha1.SchemeGroupVersion.WithResource(name)
}

func newFakeChaos(t *testing.T, more ...runtime.Object) *fakeChaos {
	t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "chaos-daemon-x", Namespace: "chaos-mesh", Labels: map[string]string{discoveryv1.LabelServiceName: "chaos-daemon"}},
		Endpoints:  []discoveryv1.Endpoint{{NodeName: new("node-a")}},
	}
	f := &fakeChaos{fakeCluster: newFake(t, append(more, slice)...)}
	f.objects = fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		resource("podchaos"): "PodChaosList", resource("networkchaos"): "NetworkChaosList", resource("timechaos"): "TimeChaosList",
		resource("podnetworkchaos"): "PodNetworkChaosList", resource("gcpchaos"): "GCPChaosList",
		resource("physicalmachinechaos"): "PhysicalMachineChaosList",
	})
	f.client.Resources = []*metav1.APIResourceList{{GroupVersion: "chaos-mesh.org/v1alpha1", APIResources: []metav1.APIResource{
		{Name: "podchaos", Kind: "PodChaos", Namespaced: true},
		{Name: "podchaos/status", Kind: "PodChaos"},
		{Name: "networkchaos", Kind: "NetworkChaos", Namespaced: true},
		{Name: "timechaos", Kind: "TimeChaos", Namespaced: true},
	}}}
	f.says = injectedAll
	f.objects.PrependReactor("create", "*", f.create)
	f.objects.PrependReactor("delete", "*", f.remove)
	f.objects.PrependReactor("patch", "*", f.release)
	t.Cleanup(f.access.Use(&kube.Cluster{Client: f.client, Dynamic: f.objects, Namespace: "shop", Says: "API server fake"}))
	return f
}

// injectedAll says that every pod that the selector names is injected.
func injectedAll(o *unstructured.Unstructured) (s v1alpha1.ExperimentStatus) {
	s.DesiredPhase = v1alpha1.RunningPhase
	names, _, _ := unstructured.NestedStringSlice(o.Object, "spec", "selector", "pods", "shop")
	for _, n := range names {
		s.Records = append(s.Records, &v1alpha1.Record{Id: "shop/" + n, SelectorKey: ".", Phase: v1alpha1.Injected})
	}
	return s
}

func (f *fakeChaos) create(a clienttesting.Action) (bool, runtime.Object, error) {
	create := a.(clienttesting.CreateActionImpl)
	o := create.GetObject().(*unstructured.Unstructured).DeepCopy()
	for _, field := range f.drops {
		unstructured.RemoveNestedField(o.Object, "spec", field)
	}
	if len(create.CreateOptions.DryRun) > 0 {
		return true, o, nil
	}
	f.tell(o, f.says(o))
	o.SetFinalizers([]string{"chaos-mesh/records"})
	return true, o, f.objects.Tracker().Create(a.GetResource(), o, "shop")
}

// tell writes what the controller says of an object.
func (f *fakeChaos) tell(o *unstructured.Unstructured, s v1alpha1.ExperimentStatus) {
	text, err := json.Marshal(map[string]any{"experiment": s})
	require.NoError(f.t, err)
	var status map[string]any
	require.NoError(f.t, json.Unmarshal(text, &status))
	o.Object["status"] = status
}

func (f *fakeChaos) remove(a clienttesting.Action) (bool, runtime.Object, error) {
	o := f.object(a.GetResource(), a.(clienttesting.DeleteAction).GetName())
	if o == nil || len(o.GetFinalizers()) == 0 || !f.keeps {
		return false, nil, nil
	}
	o.SetDeletionTimestamp(new(metav1.Now()))
	return true, nil, f.objects.Tracker().Update(a.GetResource(), o, "shop")
}

// release does what the API server does once the finalizers are gone.
func (f *fakeChaos) release(a clienttesting.Action) (bool, runtime.Object, error) {
	p := a.(clienttesting.PatchAction)
	if string(p.GetPatch()) != `{"metadata":{"finalizers":null}}` {
		return false, nil, nil
	}
	o := f.object(a.GetResource(), p.GetName())
	if o == nil {
		return true, nil, apierrors.NewNotFound(a.GetResource().GroupResource(), p.GetName())
	}
	return true, o, f.objects.Tracker().Delete(a.GetResource(), "shop", p.GetName())
}

func (f *fakeChaos) object(r schema.GroupVersionResource, name string) *unstructured.Unstructured {
	o, err := f.objects.Tracker().Get(r, "shop", name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(f.t, err)
	return o.(*unstructured.Unstructured).DeepCopy()
}

// made are the objects that are there.
func (f *fakeChaos) made(name string) []unstructured.Unstructured {
	list, err := f.objects.Resource(resource(name)).List(f.t.Context(), metav1.ListOptions{})
	require.NoError(f.t, err)
	return list.Items
}

func (f *fakeChaos) build(with string) drills.Injector {
	i, err := buildChaos(with)
	require.NoError(f.t, err)
	return i
}

// in calls f in a bubble, where time costs nothing.
func in(t *testing.T, do func(t *testing.T, f *fakeChaos), more ...runtime.Object) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { do(t, newFakeChaos(t, more...)) })
}

func TestChaosLifeCycle(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"time":{"offset":"1h"},"duration":"5m"}`), f.target(f.api(nil), 2)
		target.Run = "run-7"
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		assert.Empty(t, f.made("timechaos"), "a rehearsal makes nothing")
		assert.Contains(t, u.Says, "shop/api-1-0, shop/api-1-1")

		require.NoError(t, i.Inject(t.Context(), target, u))
		made := f.made("timechaos")
		require.Len(t, made, 1)
		assert.Equal(t, map[string]string{"app.kubernetes.io/managed-by": "firedrill", kube.RunLabel: "run-7"}, made[0].GetLabels())
		require.ErrorContains(t, f.admit(target.Component), "TimeChaos shop/"+made[0].GetName()+" of firedrill's run run-7")
		assert.Equal(t, map[string]any{
			"timeOffset": "1h", "duration": "5m0s", "mode": "all",
			"selector": map[string]any{"pods": map[string]any{"shop": []any{"api-1-0", "api-1-1"}}},
		}, made[0].Object["spec"], "nothing is sent that was not asked for")
		by, err := i.(drills.Confirmer).Confirm(t.Context(), target, u)
		require.ErrorIs(t, err, drills.ErrOwnWord)
		assert.Contains(t, by, "Chaos Mesh says so itself: injected for shop/api-1-0, shop/api-1-1")
		require.NoError(t, i.(drills.Holder).Held(t.Context(), u))

		_, err = f.build(`{"time":{"offset":"2h"}}`).Prepare(t.Context(), target)
		require.ErrorContains(t, err, made[0].GetName()+" acts on pod shop/api-1-0 already")

		for range 2 {
			require.NoError(t, f.build(`{"time":{"offset":"1h"},"duration":"5m"}`).Revert(t.Context(), u))
			assert.Empty(t, f.made("timechaos"))
		}
		require.ErrorContains(t, i.(drills.Holder).Held(t.Context(), u), "not there")
	})
}

func TestChaosPreflight(t *testing.T) {
	for _, c := range []struct {
		name, with, want string
		change           func(*fakeChaos)
	}{
		{"not installed", `{"podKill":{}}`, "Chaos Mesh is not installed, there is no CRD podchaos.chaos-mesh.org at API server fake", func(f *fakeChaos) { f.client.Resources = nil }},
		{"an old one", `{"io":{"volumePath":"/a","errno":5}}`, "lacks its CRD iochaos.chaos-mesh.org at API server fake: install it", func(*fakeChaos) {}},
		{"pruned", `{"time":{"offset":"1h","clocks":["CLOCK_MONOTONIC"]}}`, "does not know spec.clockIds", func(f *fakeChaos) { f.drops = []string{"clockIds"} }},
		{"no daemon", `{"time":{"offset":"1h"},"chaosNamespace":"elsewhere"}`, "is on node node-a, where no chaos-daemon", func(*fakeChaos) {}},
		{"no webhook", `{"podKill":{}}`, "is its controller up?", func(f *fakeChaos) {
			f.fails(apierrors.NewInternalError(errors.New(`failed calling webhook "mpodchaos.kb.io": connection refused`)))
		}},
		{"refused", `{"podKill":{}}`, "refuses the spec", func(f *fakeChaos) {
			f.fails(apierrors.NewForbidden(resource("podchaos").GroupResource(), "x", errors.New(`admission webhook "v" denied the request: no`)))
		}},
		{"not allowed", `{"podKill":{}}`, "firedrill kinds --rbac SCENARIO --topology FILE", func(f *fakeChaos) {
			f.fails(apierrors.NewForbidden(resource("podchaos").GroupResource(), "x", errors.New("no RBAC")))
		}},
		{"others' pods", `{"kind":"TimeChaos","spec":{"timeOffset":"1h","mode":"all","selector":{"labelSelectors":{"app":"api"}}}}`, "not the drill's to break", func(*fakeChaos) {}},
		{"nobody", `{"kind":"TimeChaos","spec":{"timeOffset":"1h","selector":{"annotationSelectors":{"a":"b"}}}}`, "selects no pod", func(*fakeChaos) {}},
		{"a pod that is not there", `{"kind":"TimeChaos","spec":{"timeOffset":"1h","selector":{"pods":{"shop":["gone"]}}}}`, "there is no pod shop/gone", func(*fakeChaos) {}},
		{"too many", `{"podFailure":{}}`, "fewer than", func(*fakeChaos) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, f *fakeChaos) {
				c.change(f)
				n := 1
				if c.name == "too many" {
					n = 3
				}
				_, err := f.build(c.with).Prepare(t.Context(), f.target(f.api(map[string]any{"minAvailable": 1}), n))
				require.ErrorContains(t, err, c.want)
				assert.Empty(t, f.made("podchaos"))
				assert.Empty(t, f.made("timechaos"))
			})
		})
	}
}

// fails has every attempt to make an object fail.
func (f *fakeChaos) fails(err error) {
	f.objects.PrependReactor("create", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
}

// A selector may choose fewer pods than the drill's targets, and then it is these.
func TestChaosSelectorsWithinTheTarget(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i := f.build(`{"kind":"TimeChaos","spec":{"timeOffset":"1h","mode":"all","selector":{"labelSelectors":{"app":"api"},"nodes":["node-a"],"podPhaseSelectors":["Running"]}}}`)
		f.says = func(*unstructured.Unstructured) v1alpha1.ExperimentStatus {
			s := v1alpha1.ExperimentStatus{DesiredPhase: v1alpha1.RunningPhase}
			for n := range 3 {
				s.Records = append(s.Records, &v1alpha1.Record{Id: fmt.Sprintf("shop/api-1-%d/api", n), SelectorKey: ".", Phase: v1alpha1.Injected})
			}
			return s
		}
		target := f.target(f.api(nil), 3)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
	})
}

func TestChaosInjectThatFails(t *testing.T) {
	for _, c := range []struct {
		name, want string
		within     time.Duration
		says       func(*unstructured.Unstructured) v1alpha1.ExperimentStatus
	}{
		{"nobody is at work", "has not chosen its targets", 31 * time.Second, func(*unstructured.Unstructured) v1alpha1.ExperimentStatus { return v1alpha1.ExperimentStatus{} }},
		{"another pod", "not the drill's to break", time.Second, func(o *unstructured.Unstructured) v1alpha1.ExperimentStatus {
			s := injectedAll(o)
			s.Records[0].Id = "shop/other"
			return s
		}},
		{"it cannot", "Chaos Mesh fails: no module", 6 * time.Second, func(o *unstructured.Unstructured) v1alpha1.ExperimentStatus {
			s := injectedAll(o)
			s.Records[0].Phase = v1alpha1.NotInjected
			s.Records[0].Events = []v1alpha1.RecordEvent{{Type: v1alpha1.TypeFailed, Operation: v1alpha1.Apply, Message: "no module"}}
			return s
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, f *fakeChaos) {
				f.says = c.says
				i, target := f.build(`{"time":{"offset":"1h"}}`), f.target(f.api(nil), 1)
				u, err := i.Prepare(t.Context(), target)
				require.NoError(t, err)
				begin := time.Now()
				require.ErrorContains(t, i.Inject(t.Context(), target, u), c.want)
				assert.LessOrEqual(t, time.Since(begin), c.within)
				assert.Empty(t, f.made("timechaos"), "it is not left to the revert alone")
				require.NoError(t, i.Revert(t.Context(), u))
			})
		})
	}
}

// An object that Chaos Mesh keeps is left as it is, for a controller that comes back.
func TestChaosThatDoesNotLetGo(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"time":{"offset":"1h"},"revertWithin":"20s"}`), f.target(f.api(nil), 1)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
		f.keeps = true
		begin := time.Now()
		err = i.Revert(t.Context(), u)
		assert.Less(t, time.Since(begin), 30*time.Second)
		require.ErrorContains(t, err, "not proven to be undone")
		require.ErrorContains(t, err, "finalizers chaos-mesh/records")
		require.ErrorContains(t, err, "is it up?")
		require.ErrorContains(t, err, "shop/api-1-0 (uid uid-api-1-0)")
		require.NotErrorIs(t, err, drills.ErrGone)
		require.Len(t, f.made("timechaos"), 1)
		assert.Equal(t, []string{"chaos-mesh/records"}, f.made("timechaos")[0].GetFinalizers())
		// Its controller comes back.
		require.NoError(t, f.objects.Tracker().Delete(resource("timechaos"), "shop", f.made("timechaos")[0].GetName()))
		require.NoError(t, i.Revert(t.Context(), u))
	})
}

// What kills leaves nothing to undo but its object; that is not gone with the workload.
func TestChaosObjectThatStaysIsNotGone(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"podKill":{},"revertWithin":"20s"}`), f.target(f.api(nil), 1)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
		f.keeps = true
		webhook := errors.New(`failed calling webhook "mpodchaos.kb.io": connection refused`)
		f.objects.PrependReactor("patch", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewInternalError(webhook)
		})
		f.fakeCluster.remove(podsResource, "shop", "api-1-0")
		f.fakeCluster.remove(deploymentsResource, "shop", "api")
		err = i.Revert(t.Context(), u)
		require.ErrorContains(t, err, "the object is still there")
		require.NotErrorIs(t, err, drills.ErrGone)
	})
}

// With consent the pods go first and the object last: a revert that is cut short in
// between is not taken for a clean one.
func TestChaosLastResort(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"time":{"offset":"1h"},"revertWithin":"20s","replacePods":true}`), f.target(f.api(nil), 1)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
		f.keeps = true
		f.client.PrependReactor("delete", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
			assert.NotEmpty(t, f.made("timechaos"), "the object is the last to go")
			next := pod("api-1-9")
			require.NoError(t, f.client.Tracker().Add(next))
			return false, nil, nil
		})
		err = i.Revert(t.Context(), u)
		require.ErrorContains(t, err, "not proven to be undone")
		require.ErrorContains(t, err, "these pods were replaced: shop/api-1-0 (uid uid-api-1-0): its finalizers were removed")
		assert.Empty(t, f.made("timechaos"))
		require.NoError(t, i.Revert(t.Context(), u), "there is nothing left to undo")
	})
}

func TestChaosRulesAreReadBack(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"networkPartition":{"externalTargets":["192.0.2.1"]},"revertWithin":"20s"}`), f.target(f.api(nil), 1)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
		var undo chaosUndo
		require.NoError(t, readUndo(u, &undo))
		rule := func(source string) any { return map[string]any{"name": "x", "source": source} }
		note := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodNetworkChaos",
			"metadata": map[string]any{"name": "api-1-0", "namespace": "shop", "generation": int64(2), "resourceVersion": "7"},
			"spec":     map[string]any{"iptables": []any{rule("shop/other"), rule("shop/" + undo.Name)}, "ipsets": []any{rule("shop/other")}},
			"status":   map[string]any{"observedGeneration": int64(2)},
		}}
		require.NoError(t, f.objects.Tracker().Create(resource("podnetworkchaos"), note, "shop"))

		require.ErrorContains(t, i.Revert(t.Context(), u), "still has rules of the fault", "the object is gone, and its rules are not")
		o, err := undo.open()
		require.NoError(t, err)
		require.NoError(t, o.takeOut(t.Context(), undo.Pods[0]))
		now := f.object(resource("podnetworkchaos"), "api-1-0")
		assert.Equal(t, map[string]any{"iptables": []any{rule("shop/other")}, "ipsets": []any{rule("shop/other")}}, now.Object["spec"], "others' rules stay")
		require.NoError(t, i.Revert(t.Context(), u))

		require.NoError(t, unstructured.SetNestedField(now.Object, "no tc", "status", "failedMessage"))
		require.NoError(t, f.objects.Tracker().Update(resource("podnetworkchaos"), now, "shop"))
		require.ErrorContains(t, i.Revert(t.Context(), u), "no tc")

		require.NoError(t, f.client.Tracker().Delete(podsResource, "shop", "api-1-0"))
		require.NoError(t, i.Revert(t.Context(), u), "rules go with their pod")
	})
}

func TestChaosInANamespaceThatIsDeleted(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"time":{"offset":"1h"}}`), f.target(f.api(nil), 1)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
		require.NoError(t, f.client.CoreV1().Namespaces().Delete(t.Context(), "shop", metav1.DeleteOptions{}))
		require.ErrorIs(t, i.Revert(t.Context(), u), drills.ErrGone)
	})
}

// Kinds that break machines are for targets that are nodes, and for no other machines.
func TestChaosOfMachines(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		f.client.Resources[0].APIResources = append(f.client.Resources[0].APIResources,
			metav1.APIResource{Name: "gcpchaos", Kind: "GCPChaos"}, metav1.APIResource{Name: "physicalmachinechaos", Kind: "PhysicalMachineChaos"})
		n := node("node-a")
		n.Spec.ProviderID = "gce://p/z/vm-a"
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}}
		update(f.fakeCluster, "nodes", n)
		target := f.nodes(1)
		for with, want := range map[string]string{
			`{"kind":"GCPChaos","spec":{"action":"node-stop","project":"p","zone":"z","instance":"vm-a"}}`:                  "",
			`{"kind":"GCPChaos","spec":{"action":"node-stop","project":"p","zone":"z","instance":"vm-b"}}`:                  "machine vm-b is not the drill's to break",
			`{"kind":"PhysicalMachineChaos","spec":{"action":"clock","address":["http://10.0.0.1:31767"]}}`:                 "",
			`{"kind":"PhysicalMachineChaos","spec":{"action":"clock","address":["http://10.0.0.1:1","http://10.0.0.1:2"]}}`: "names 2 machines",
			`{"kind":"PhysicalMachineChaos","spec":{"action":"clock","selector":{"physicalMachines":{"shop":["a"]}}}}`:      "spec.address: is needed",
			`{"podFailure":{}}`: "member node-a is a node",
		} {
			u, err := f.build(with).Prepare(t.Context(), target)
			if want == "" {
				require.NoError(t, err, with)
				assert.Contains(t, u.Says, "until Chaos Mesh has undone it")
				continue
			}
			require.ErrorContains(t, err, want, with)
		}
	})
}

// A pod that was replaced while the fault was to be in force was not hit any more.
func TestChaosHeldSeesReplacements(t *testing.T) {
	in(t, func(t *testing.T, f *fakeChaos) {
		i, target := f.build(`{"time":{"offset":"1h"}}`), f.target(f.api(nil), 1)
		u, err := i.Prepare(t.Context(), target)
		require.NoError(t, err)
		require.NoError(t, i.Inject(t.Context(), target, u))
		require.NoError(t, f.client.Tracker().Delete(podsResource, "shop", "api-1-0"))
		require.ErrorContains(t, i.(drills.Holder).Held(t.Context(), u), "does not act on the one that came in its place")
	})
}
