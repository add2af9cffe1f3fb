package remedies_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubetesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/kube"
)

// serves has the fake cluster say which kinds it has.
func (f *fakeCluster) serves() {
	f.client.Resources = []*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "nodes", SingularName: "node", Kind: "Node"},
			{Name: "services", SingularName: "service", Kind: "Service", Namespaced: true},
		}},
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{
			{Name: "deployments", SingularName: "deployment", Kind: "Deployment", Namespaced: true},
		}},
	}
}

func TestKubeAnnotate(t *testing.T) {
	for _, object := range []string{"deployment/api", "Deployment/api", "deployments.apps/api"} {
		d := deployment("api", 1)
		d.Annotations = map[string]string{"example.com/switch": "old", "example.com/gone": "x", "other": "stays"}
		f := newFakeCluster(t, d)
		f.serves()
		f.conflict()
		r := with(t, "kube-annotate", map[string]any{
			"object": object, "annotations": map[string]string{"example.com/switch": "db-2", "example.com/new": ""}, "remove": []string{"example.com/gone"},
		})
		log := &book{}
		require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
		now := func() map[string]string { return f.stored(t, "apps", "deployments", "api").GetAnnotations() }
		assert.Equal(t, map[string]string{"example.com/switch": "db-2", "example.com/new": "", "other": "stays"}, now())
		assert.Equal(t, []topology.Step{{
			Name: "annotate deployment/api", Detail: "example.com/gone, example.com/new, example.com/switch",
		}}, log.steps)
		assert.JSONEq(t, `{"metadata":{"annotations":{"example.com/switch":"db-2","example.com/new":"","example.com/gone":null}}}`, f.patches(t)[1])

		again := &book{}
		require.NoError(t, r.Apply(t.Context(), f.pods(t), again))
		assert.Empty(t, again.undos)
		twice(t, r, log.undos[0])
		assert.Equal(t, d.Annotations, now())
	}
}

func TestKubeAnnotateFinds(t *testing.T) {
	f := newFakeCluster(t, node("node-a", corev1.ConditionTrue, 0))
	f.serves()
	with1 := func(object string, more ...string) map[string]any {
		p := map[string]any{"object": object, "annotations": map[string]string{"a": "b"}}
		if len(more) > 0 {
			p["apiVersion"] = more[0]
		}
		return p
	}
	log := &book{}
	require.NoError(t, with(t, "kube-annotate", with1("node/node-a")).Apply(t.Context(), f.pods(t), log))
	assert.Equal(t, "give node/node-a the annotations back that it had", log.undos[0].Says, "it is in no namespace")

	err := with(t, "kube-annotate", with1("cluster/db", "postgresql.cnpg.io/v1")).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "find the kind of cluster/db postgresql.cnpg.io/v1: API server https://fake.example:6443 (fake)")
	err = with(t, "kube-annotate", with1("cluster/db", "apps/v1")).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "there is no such kind in apps/v1")
	err = with(t, "kube-annotate", with1("clusters.postgresql.cnpg.io/db")).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "find the kind of clusters.postgresql.cnpg.io/db: API server https://fake.example:6443 (fake)")
	err = with(t, "kube-annotate", with1("deployment/none")).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "look at deployment/none in namespace shop")
}

// The API server is started again while the remedy is at it.
func TestKubeRemediesWaitForTheAPIServer(t *testing.T) {
	f := newFakeCluster(t, deployment("api", 1))
	f.serves()
	away := 0
	f.objects.PrependReactor("*", "*", func(kubetesting.Action) (bool, runtime.Object, error) {
		away++
		return away <= 3, nil, apierrors.NewServiceUnavailable("starting")
	})
	r := with(t, "kube-annotate", map[string]any{"object": "deployment/api", "annotations": map[string]string{"a": "b"}})
	log := &book{}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
	assert.Equal(t, 3+4, away, "three times in vain; then it looks, looks again, patches and reads back")

	refused := apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "api", nil)
	f.objects.PrependReactor("patch", "*", func(kubetesting.Action) (bool, runtime.Object, error) { return true, nil, refused })
	err := r.(drills.Reverter).Revert(t.Context(), log.undos[0])
	require.ErrorContains(t, err, "patch deployment/api in namespace shop: not allowed at API server https://fake.example:6443 (fake)")
}

func TestKubeRemediesRefuseParameters(t *testing.T) {
	for kind, all := range map[string]map[string]string{
		"workload-scale-up": {
			`{}`: "replicas or by", `{"replicas":1,"by":1}`: "replicas or by", `{"by":1,"timeout":"0s"}`: "with.timeout",
			`{"by":1,"workload":"job/x"}`: "with.workload",
		},
		"pod-delete-stuck": {`{"timeout":"0s"}`: "with.timeout"},
		"node-uncordon":    {`{"timeout":"0s"}`: "with.timeout"},
		"rollout-restart":  {`{"timeout":"0s"}`: "with.timeout", `{"workload":"x"}`: "with.workload"},
		"service-select": {
			`{}`: "with.selector", `{"selector":{"a":"b"},"remove":["a"]}`: "with.remove", `{"selector":{"a":"b c"}}`: "with.selector",
			`{"selector":{"a":"b"},"timeout":"0s"}`: "with.timeout",
		},
		"endpoints-set": {
			`{"addresses":[]}`: "with.addresses", `{"addresses":["db.example"]}`: "want an IP address",
			`{"addresses":["10.0.0.1","fd00::1"]}`: "not of both", `{"addresses":["10.0.0.1","10.0.0.1"]}`: "twice",
		},
		"kube-annotate": {
			`{"object":"api","annotations":{"a":"b"}}`: "KIND/NAME", `{"object":"service/api"}`: "with.annotations",
			`{"object":"service/api","annotations":{"a b":"c"}}`: "with.annotations", `{"object":"service/api","annotations":{"a":"b"},"remove":["a"]}`: "with.remove",
			`{"object":"service/api","annotations":{"a":"b"},"apiVersion":"a/b/c"}`: "with.apiVersion",
		},
	} {
		for params, says := range all {
			_, err := build(kind, params)
			assert.ErrorContains(t, err, says, "%s %s", kind, params)
		}
	}
}

// A member of another kind of component can be a pod, too.
func TestKubeRemedyOfMembersThatArePods(t *testing.T) {
	f := newFakeCluster(t, service(nil))
	f.serves()
	at, err := json.Marshal(kube.Place{Access: f.access, Namespace: "shop", Pod: "db-0"})
	require.NoError(t, err)
	c, err := builtin.Kinds().OpenComponent(topology.ComponentSpec{Name: "orders", Kind: "service", Members: []topology.MemberSpec{
		{Name: "db-0", Address: "10.0.0.1:80", Control: &topology.ControlSpec{Kind: kube.ControlKind, With: at}},
	}}, nil)
	require.NoError(t, err)
	r := with(t, "kube-annotate", map[string]any{"object": "service/api", "annotations": map[string]string{"a": "b"}})
	require.NoError(t, r.Apply(t.Context(), drills.Target{Component: c}, &book{}))
	assert.Equal(t, "b", f.stored(t, "", "services", "api").GetAnnotations()["a"])

	c.Members[0].Spec.Control = nil
	err = r.Apply(t.Context(), drills.Target{Component: c}, &book{})
	require.ErrorContains(t, err, "component orders: member db-0 is not known to be a pod")
	assert.Empty(t, r.(drills.Privileged).Privileges(c))
}

// What each must be allowed to do, without asking anybody.
func TestKubeRemediesSayWhatTheyNeed(t *testing.T) {
	f := newFakeCluster(t)
	pods := f.pods(t).Component
	nodes := f.component(t, kube.NodesKind, map[string]any{})
	annotate := func(object, version string) map[string]any {
		return map[string]any{"object": object, "apiVersion": version, "annotations": map[string]string{"a": "b"}}
	}
	for _, c := range []struct {
		kind   string
		params map[string]any
		on     *topology.Component
		want   []string
	}{
		{"workload-scale-up", map[string]any{"by": 1}, pods, []string{"apps/deployments [get patch] shop"}},
		{"rollout-restart", map[string]any{"workload": "statefulset/db"}, pods, []string{"apps/statefulsets [get patch] shop"}},
		{"pod-delete-stuck", map[string]any{}, pods, []string{"/pods [get list delete] shop", "/nodes [list] "}},
		{"pod-delete-stuck", map[string]any{"finalizers": true}, pods, []string{"/pods [get list delete patch] shop", "/nodes [list] "}},
		{"node-uncordon", map[string]any{}, nodes, []string{"/nodes [get list patch] "}},
		{"service-select", map[string]any{"selector": map[string]string{"a": "b"}}, pods, []string{
			"/services [get patch] shop", "/pods [list] shop", "discovery.k8s.io/endpointslices [list] shop",
		}},
		{"endpoints-set", map[string]any{"addresses": []string{"10.0.0.1"}}, pods, []string{
			"/services [get] shop", "discovery.k8s.io/endpointslices [get list patch] shop",
		}},
		{"kube-annotate", annotate("deployment/api", ""), pods, []string{"apps/deployments [get patch] shop"}},
		{"kube-annotate", annotate("ingresses/api", ""), pods, []string{"networking.k8s.io/ingresses [get patch] shop"}},
		{"kube-annotate", annotate("Node/node-a", ""), pods, []string{"/nodes [get patch] "}},
		{"kube-annotate", annotate("Cluster/db", "postgresql.cnpg.io/v1"), pods, []string{"postgresql.cnpg.io/clusters [get patch] shop"}},
		{"kube-annotate", annotate("networkchaos.chaos-mesh.org/cut", ""), pods, []string{"chaos-mesh.org/networkchaos [get patch] shop"}},
	} {
		var got []string
		for _, p := range with(t, c.kind, c.params).(drills.Privileged).Privileges(c.on) {
			assert.Contains(t, p.For, c.kind)
			got = append(got, words(p))
		}
		assert.Equal(t, c.want, got, "%s %v", c.kind, c.params)
	}
}

func words(p topology.Privilege) string {
	return fmt.Sprintf("%s/%s %v %s", p.Group, p.Resource, p.Verbs, p.Namespace)
}
