package remedies_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/kube"
	"firedrill/lab"
	"firedrill/lab/labtest"
)

// shop is the real cluster.
type shop struct {
	lab.Status
	*kube.Cluster
}

// upShop brings the lab kubernetes up, which is taken down with the test. The test
// stands outside of its network and dials from inside.
func upShop(t *testing.T) *shop {
	t.Helper()
	labtest.Real(t)
	home := t.TempDir()
	t.Cleanup(func() { assert.NoError(t, lab.Down(context.Background(), home, "kubernetes")) })
	_, err := lab.Up(t.Context(), home, "kubernetes", func(line string) { t.Log(line) })
	require.NoError(t, err)
	s := &shop{}
	s.Status, err = lab.StatusOf(t.Context(), home, "kubernetes")
	require.NoError(t, err)
	access := kube.Access{Kubeconfig: s.Kubeconfig}
	c, err := access.Open()
	require.NoError(t, err)
	c.Config.Dial = s.dial
	s.Cluster = &kube.Cluster{Config: c.Config, Namespace: c.Namespace, Says: c.Says}
	s.Client, err = kubernetes.NewForConfig(c.Config)
	require.NoError(t, err)
	s.Dynamic, err = dynamic.NewForConfig(c.Config)
	require.NoError(t, err)
	t.Cleanup(access.Use(s.Cluster))
	return s
}

func (s *shop) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return lab.DialInside(ctx, s.Status.Namespace, network, address)
}

// target discovers a component of the cluster.
func (s *shop) target(t *testing.T, kind string, with map[string]any) drills.Target {
	t.Helper()
	with["kubeconfig"] = s.Kubeconfig
	text, err := json.Marshal(with)
	require.NoError(t, err)
	c, err := builtin.Kinds().OpenComponent(topology.ComponentSpec{Name: "target", Kind: kind, With: text}, nil)
	require.NoError(t, err)
	st, err := c.Adapter.Discover(t.Context())
	require.NoError(t, err)
	require.NoError(t, builtin.Kinds().Enrol(c, st))
	return drills.Target{Component: c, Members: c.Members, State: st}
}

func (s *shop) pods(t *testing.T, app string) drills.Target {
	t.Helper()
	return s.target(t, kube.PodsKind, map[string]any{
		"namespace": lab.ShopNamespace, "workload": "deployment/" + app, "service": app,
	})
}

// ask says which pod answers at an address.
func (s *shop) ask(t *testing.T, address string) string {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.dial}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	return resp.Header.Get("X-Served-By")
}

// only asks until the same pod has answered often enough to be the only one.
func (s *shop) only(t *testing.T, address, pod string) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		for range 20 {
			require.Equal(c, pod, s.ask(t, address))
		}
	}, 30*time.Second, 100*time.Millisecond)
}

// applied applies a remedy, and once more, which announces nothing to be undone.
func applied(t *testing.T, kind string, params map[string]any, to drills.Target) (drills.Remedy, *scopedBook) {
	t.Helper()
	r, log, began := with(t, kind, params), &scopedBook{scope: "run/" + t.Name()}, time.Now()
	require.NoError(t, r.Apply(t.Context(), to, log))
	t.Logf("%s: %s", kind, log.took(began))
	again := &scopedBook{scope: log.scope}
	require.NoError(t, r.Apply(t.Context(), to, again))
	assert.Empty(t, again.undos, "a second time")
	return r, log
}

// TestKubernetesRemedies applies every remedy to a real cluster.
func TestKubernetesRemedies(t *testing.T) {
	s := upShop(t)
	// Its back-off takes a while to begin: it is looked at last.
	s.stuck(t, "crashes", func(p *corev1.Pod) { p.Spec.Containers[0].Args = []string{"-nonsense"} })
	for _, c := range []struct {
		name string
		test func(*testing.T, *shop)
	}{
		{"workload-scale-up", scalesUp},
		{"rollout-restart", restarts},
		{"service-select", selects},
		{"endpoints-set", setsEndpoints},
		{"kube-annotate", annotates},
		{"node-uncordon", uncordons},
		{"pod-delete-stuck", deletesStuck},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

func scalesUp(t *testing.T, s *shop) {
	to := s.pods(t, "api")
	before, err := s.Client.AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	r, log := applied(t, "workload-scale-up", map[string]any{"by": 1}, to)
	d, err := s.Client.AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	assert.EqualValues(t, 4, d.Status.ReadyReplicas)
	twice(t, r, log.undos[0])
	d, err = s.Client.AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, before.Spec, d.Spec)
	assert.Equal(t, before.Annotations, d.Annotations)
	assert.EqualValues(t, 3, d.Status.Replicas)
}

func restarts(t *testing.T, s *shop) {
	to := s.pods(t, "bare")
	r, log := applied(t, "rollout-restart", map[string]any{}, to)
	now := s.pods(t, "bare")
	require.Len(t, now.State.Members, 2)
	for _, m := range now.State.Members {
		assert.Empty(t, m.Problem)
		for _, old := range to.State.Members {
			assert.NotEqual(t, old.Member, m.Member, "every pod is a new one")
		}
	}
	twice(t, r, log.undos[0])
	after := s.pods(t, "bare")
	assert.Equal(t, now.State.Members[0].Member, after.State.Members[0].Member, "nothing is rolled back")
}

func selects(t *testing.T, s *shop) {
	to := s.pods(t, "worker")
	chosen := to.State.Members[0].Member
	_, err := s.Client.CoreV1().Pods(lab.ShopNamespace).Patch(t.Context(), chosen, types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"track":"standby"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	service := func() *corev1.Service {
		o, err := s.Client.CoreV1().Services(lab.ShopNamespace).Get(t.Context(), "worker", metav1.GetOptions{})
		require.NoError(t, err)
		return o
	}
	address := net.JoinHostPort(service().Spec.ClusterIP, "80")
	r, log := applied(t, "service-select", map[string]any{"selector": map[string]string{"track": "standby"}}, to)
	s.only(t, address, chosen)
	twice(t, r, log.undos[0])
	assert.Equal(t, map[string]string{"app": "worker"}, service().Spec.Selector)
	assert.Eventually(t, func() bool { return s.ask(t, address) == to.State.Members[1].Member }, 30*time.Second, 50*time.Millisecond)
}

func setsEndpoints(t *testing.T, s *shop) {
	members := s.pods(t, "api").State.Members
	ctx, core, sets := t.Context(), s.Client.CoreV1().Services(lab.ShopNamespace), s.Client.DiscoveryV1().EndpointSlices(lab.ShopNamespace)
	service, err := core.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "outside"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, core.Delete(context.Background(), "outside", metav1.DeleteOptions{})) })
	port, name := int32(8080), "http"
	before, err := sets.Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "outside-1", Labels: map[string]string{discoveryv1.LabelServiceName: "outside"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{members[0].Facts["ip"]}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		err := sets.Delete(context.Background(), "outside-1", metav1.DeleteOptions{})
		assert.True(t, err == nil || apierrors.IsNotFound(err), "%v", err)
	})
	address := net.JoinHostPort(service.Spec.ClusterIP, "80")
	s.only(t, address, members[0].Member)
	to := s.target(t, kube.PodsKind, map[string]any{"namespace": lab.ShopNamespace, "selector": "app=api"})
	r, log := applied(t, "endpoints-set", map[string]any{"service": "outside", "addresses": []string{members[1].Facts["ip"]}, "port": 8080}, to)
	s.only(t, address, members[1].Member)
	twice(t, r, log.undos[0])
	s.only(t, address, members[0].Member)
	after, err := sets.Get(ctx, "outside-1", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, before.Endpoints, after.Endpoints)
	assert.Equal(t, before.Ports, after.Ports)
}

// annotates an object in a namespace, one in none, and ones of kinds that Kubernetes
// itself does not have.
func annotates(t *testing.T, s *shop) {
	s.custom(t)
	to := s.pods(t, "api")
	for _, c := range []struct{ object, version string }{
		{"deployment/api", ""},
		{"node/node-a", ""},
		{"CustomResourceDefinition/schedules.chaos-mesh.org", "apiextensions.k8s.io/v1"},
		{"Switch/orders", "example.com/v1"},
		{"switches.example.com/orders", ""},
		{"switch/orders", ""},
	} {
		r, log, began := withAnnotation(t, c.object, c.version), &book{}, time.Now()
		require.NoError(t, r.Apply(t.Context(), to, log), c.object)
		t.Logf("%s %s after %s", c.object, c.version, time.Since(began).Round(time.Millisecond))
		again := &book{}
		require.NoError(t, r.Apply(t.Context(), to, again))
		assert.Empty(t, again.undos)
		require.Len(t, log.undos, 1)
		twice(t, r, log.undos[0])
	}
	for _, object := range []string{"switchboard/orders", "deploy/api"} { // kubectl's short names are its own
		err := withAnnotation(t, object, "").Apply(t.Context(), to, &book{})
		require.ErrorContains(t, err, "find the kind of "+object)
	}
	d, err := s.Client.AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, d.Annotations, annotation)
	o, err := s.Dynamic.Resource(switches).Namespace(lab.ShopNamespace).Get(t.Context(), "orders", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Empty(t, o.GetAnnotations())
	require.NoError(t, s.Dynamic.Resource(switches).Namespace(lab.ShopNamespace).Delete(t.Context(), "orders", metav1.DeleteOptions{}))
}

var switches = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "switches"}

// custom makes a kind of objects, and one of them.
func (s *shop) custom(t *testing.T) {
	t.Helper()
	kinds := s.Dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	_, err := kinds.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": "switches.example.com"},
		"spec": map[string]any{
			"group": "example.com", "scope": "Namespaced", "names": map[string]any{"kind": "Switch", "plural": "switches", "singular": "switch"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
			}},
		},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, kinds.Delete(context.Background(), "switches.example.com", metav1.DeleteOptions{}))
	})
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		_, err := s.Dynamic.Resource(switches).Namespace(lab.ShopNamespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "example.com/v1", "kind": "Switch", "metadata": map[string]any{"name": "orders"},
		}}, metav1.CreateOptions{})
		require.NoError(c, err)
	}, 30*time.Second, 200*time.Millisecond, "the new kind is served")
}

const annotation = "example.com/switch-to"

func withAnnotation(t *testing.T, object, version string) drills.Remedy {
	t.Helper()
	return with(t, "kube-annotate", map[string]any{
		"object": object, "apiVersion": version, "annotations": map[string]string{annotation: "db-2"},
	})
}

func uncordons(t *testing.T, s *shop) {
	nodes := s.Client.CoreV1().Nodes()
	cordon := func() {
		t.Helper()
		_, err := nodes.Patch(t.Context(), "node-b", types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			n, err := nodes.Get(t.Context(), "node-b", metav1.GetOptions{})
			return err == nil && len(n.Spec.Taints) == 1
		}, 30*time.Second, 50*time.Millisecond)
	}
	is := func() corev1.NodeSpec {
		t.Helper()
		n, err := nodes.Get(t.Context(), "node-b", metav1.GetOptions{})
		require.NoError(t, err)
		return n.Spec
	}
	t.Cleanup(func() {
		_, err := nodes.Patch(context.Background(), "node-b", types.MergePatchType, []byte(`{"spec":{"unschedulable":null}}`), metav1.PatchOptions{})
		assert.NoError(t, err)
	})
	well := s.target(t, kube.NodesKind, map[string]any{})
	cordon() // in the drill
	_, log := applied(t, "node-uncordon", map[string]any{}, well)
	assert.Empty(t, log.undos)
	assert.False(t, is().Unschedulable)
	assert.Empty(t, is().Taints)

	cordon() // before the drill
	r, log := applied(t, "node-uncordon", map[string]any{}, s.target(t, kube.NodesKind, map[string]any{}))
	assert.False(t, is().Unschedulable)
	twice(t, r, log.undos[0])
	assert.True(t, is().Unschedulable)
}

// stuck makes a pod of its own that does not do well.
func (s *shop) stuck(t *testing.T, name string, of func(*corev1.Pod)) {
	t.Helper()
	no := int64(0)
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "stuck"}},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &no, Containers: []corev1.Container{{
			Name: "main", Image: "firedrill.local/shop:lab", ImagePullPolicy: corev1.PullNever,
		}}},
	}
	of(p)
	_, err := s.Client.CoreV1().Pods(lab.ShopNamespace).Create(t.Context(), p, metav1.CreateOptions{})
	require.NoError(t, err)
}

// statuses says how the pods are that do not do well.
func (s *shop) statuses(t *testing.T) string {
	t.Helper()
	list, err := s.Client.CoreV1().Pods(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=stuck"})
	require.NoError(t, err)
	var all []string
	for _, p := range list.Items {
		b, err := json.Marshal(p.Status)
		require.NoError(t, err)
		all = append(all, p.Name+" "+string(b))
	}
	return strings.Join(all, "\n")
}

// deletesStuck needs the pod that TestKubernetesRemedies has made. The two others
// are new: Kubernetes itself ends a pod of a node that does not exist.
func deletesStuck(t *testing.T, s *shop) {
	ctx, pods := t.Context(), s.Client.CoreV1().Pods(lab.ShopNamespace)
	one := int64(1)
	s.stuck(t, "held", func(p *corev1.Pod) { p.Finalizers = []string{"example.com/keep"} })
	s.stuck(t, "orphan", func(p *corev1.Pod) { p.Spec.NodeName, p.Spec.TerminationGracePeriodSeconds = "node-x", &one })
	for _, name := range []string{"held", "orphan"} {
		require.NoError(t, pods.Delete(ctx, name, metav1.DeleteOptions{}))
	}
	to := s.target(t, kube.PodsKind, map[string]any{"namespace": lab.ShopNamespace, "selector": "app=stuck"})
	var deleted []string
	var err error
	// Two are stuck once their grace is over, and the one that crashes whenever it is not
	// just being started again.
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		log := &book{}
		now := with(t, "pod-delete-stuck", map[string]any{"after": "1s"}).Apply(ctx, to, log)
		if said := fmt.Sprint(now); strings.Contains(said, "pod/held") && strings.Contains(said, "pod/orphan") {
			err = now
		}
		for _, s := range log.steps {
			if s.Member != "" {
				deleted = append(deleted, s.Member)
			}
		}
		assert.NotEmpty(c, deleted, "%v: %s", now, s.statuses(t))
		assert.Error(c, err, "%v: %s", now, s.statuses(t))
	}, time.Minute, 200*time.Millisecond)
	require.ErrorContains(t, err, "pod/held in namespace shop is Terminating")
	require.ErrorContains(t, err, "with.finalizers: true would remove example.com/keep")
	require.ErrorContains(t, err, "pod/orphan in namespace shop is Terminating")
	require.ErrorContains(t, err, "with.force: true")
	assert.Equal(t, []string{"crashes"}, deleted, "what needs no consent is done")

	_, then := applied(t, "pod-delete-stuck", map[string]any{"after": "1s", "force": true, "finalizers": true}, to)
	assert.Empty(t, then.undos)
	var left []string
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app=stuck"})
	require.NoError(t, err)
	for _, p := range list.Items {
		left = append(left, fmt.Sprint(p.Name, p.Finalizers))
	}
	assert.Empty(t, left)
}
