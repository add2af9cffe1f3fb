package injectors_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
	"firedrill/lab"
)

// shop is the real cluster, looked at behind the faults' back.
type shop struct {
	path   string
	client kubernetes.Interface
}

// TestKubernetesFaults makes every fault on a real cluster.
func TestKubernetesFaults(t *testing.T) {
	c := labCluster(t)
	s := &shop{path: c.Status.Kubeconfig, client: c.Client}
	began := time.Now()
	for _, c := range []struct {
		name string
		test func(*testing.T, *shop)
	}{
		{"refusals", refuses},
		{"network-policy-deny", denies},
		{"container-exec-kill", endsContainers},
		{"node-cordon conforms", cordons},
		{"node-taint conforms", taints},
		{"pod-kill", killsPods},
		{"workload-scale", scales},
		{"pod-evict", evictsPods},
		{"node-taint, NoExecute", emptiesNodes},
		{"node-drain", drainsNodes},
	} {
		ok := t.Run(c.name, func(t *testing.T) { c.test(t, s) })
		require.True(t, ok, "the others would find the cluster broken")
	}
	s.whole(t, "api", "worker", "web", "bare")
	t.Logf("all faults took %s", time.Since(began).Round(time.Second))
}

// component opens a component of the lab as a topology file would.
func (s *shop) component(t *testing.T, app string, with map[string]any) *topology.Component {
	t.Helper()
	all := map[string]any{"kubeconfig": s.path, "namespace": lab.ShopNamespace, "selector": "app=" + app, "service": app, "port": 8080}
	kind := kube.PodsKind
	if app == "" {
		kind, all = kube.NodesKind, map[string]any{"kubeconfig": s.path}
	}
	for k, v := range with {
		all[k] = v
	}
	c, err := kinds.OpenComponent(topology.ComponentSpec{Name: app + "-test", Kind: kind, With: controltest.JSON(t, all)}, nil)
	require.NoError(t, err)
	return c
}

// target discovers a component, once it is whole, and chooses the first of its members.
func (s *shop) target(t *testing.T, c *topology.Component, n int) drills.Target {
	t.Helper()
	if app, _ := strings.CutSuffix(c.Name(), "-test"); replicas[app] > 0 {
		s.whole(t, app)
	}
	state, err := c.Adapter.Discover(t.Context())
	require.NoError(t, err)
	require.NoError(t, kinds.Enrol(c, state))
	return drills.Target{Component: c, Members: c.Members[:n], Others: c.Members[n:], State: state}
}

func (s *shop) pods(app string) ([]corev1.Pod, error) {
	list, err := s.client.CoreV1().Pods(lab.ShopNamespace).List(context.Background(), metav1.ListOptions{LabelSelector: "app=" + app})
	return list.Items, err
}

// replicas are the pods that each workload is to have.
var replicas = map[string]int{"api": 3, "worker": 2, "web": 2, "bare": 2}

// whole waits until workloads have exactly the pods that they are to have, ready.
func (s *shop) whole(t *testing.T, apps ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, poll.Until(ctx, 50*time.Millisecond, func(context.Context) error {
		for _, app := range apps {
			want := replicas[app]
			pods, err := s.pods(app)
			if err != nil {
				return err
			}
			ready := 0
			for i := range pods {
				if kube.Ready(&pods[i]) {
					ready++
				}
			}
			if ready != want || len(pods) != want {
				return fmt.Errorf("%s: %d of %d pods are ready, want %d", app, ready, len(pods), want)
			}
		}
		return nil
	}))
}

// run makes a fault and sees it confirmed; what it says, its undo.
func (s *shop) run(t *testing.T, kind, with string, to drills.Target) (string, drills.Undo) {
	t.Helper()
	i := build(t, kind, with)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	_, err = confirm(t, i, to, u, 100*time.Millisecond)
	require.Error(t, err, "confirm before inject")
	require.NoError(t, i.Revert(t.Context(), u), "revert before inject")
	u, err = i.Prepare(t.Context(), to)
	require.NoError(t, err)
	began := time.Now()
	require.NoError(t, i.Inject(t.Context(), to, u))
	sent := time.Since(began)
	by, err := confirm(t, i, to, u, 15*time.Second)
	require.NoError(t, err)
	t.Logf("%s %s: injected after %s, confirmed after %s: %s", kind, with, sent.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), by)
	return by, u
}

// back reverts a fault twice, in the second case as another process would.
func (s *shop) back(t *testing.T, kind, with string, u drills.Undo) {
	t.Helper()
	began := time.Now()
	require.NoError(t, build(t, kind, with).Revert(t.Context(), u))
	t.Logf("%s reverted after %s", kind, time.Since(began).Round(time.Millisecond))
	require.NoError(t, build(t, kind, with).Revert(t.Context(), drills.Undo{Data: u.Data}))
}

func killsPods(t *testing.T, s *shop) {
	for _, c := range []struct {
		app, with string
		n         int
	}{{"api", `{}`, 1}, {"bare", `{"grace":"workload"}`, 2}} {
		to := s.target(t, s.component(t, c.app, nil), c.n)
		by, u := s.run(t, "pod-kill", c.with, to)
		for _, m := range to.Members {
			assert.Contains(t, by, "pod shop/"+m.Name())
		}
		assert.Regexp(t, "no longer have it|accepts no connections any more|its containers have ended", by, "whoever saw it first")
		s.back(t, "pod-kill", c.with, u)
		pods, err := s.pods(c.app)
		require.NoError(t, err)
		for i := range pods {
			assert.False(t, kube.Lives(&pods[i]) && to.Members[0].Name() == pods[i].Name)
		}
	}
	for after := time.Millisecond; after < 20*time.Millisecond; after *= 3 { // cut short somewhere
		to, i := s.target(t, s.component(t, "bare", nil), 2), build(t, "pod-kill", `{"grace":"1s"}`)
		u, err := i.Prepare(t.Context(), to)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), after)
		err = i.Inject(ctx, to, u)
		cancel()
		t.Logf("cut short after %s: %v", after, err)
		s.back(t, "pod-kill", `{}`, u)
	}
	// Without a Service nobody but the pod itself can tell.
	to := s.target(t, s.component(t, "worker", map[string]any{"service": ""}), 1)
	by, u := s.run(t, "pod-kill", `{}`, to)
	assert.Contains(t, by, to.Members[0].Address())
	s.back(t, "pod-kill", `{}`, u)
}

func evictsPods(t *testing.T, s *shop) {
	of := s.component(t, "api", nil)
	_, err := build(t, "pod-evict", `{}`).Prepare(t.Context(), s.target(t, of, 2))
	require.ErrorContains(t, err, "PodDisruptionBudget shop/api (minAvailable 2) forbids it: 3 of its 3 pods are healthy, 2 must stay so")

	to := s.target(t, of, 1)
	_, u := s.run(t, "pod-evict", `{}`, to)
	_, err = build(t, "pod-evict", `{}`).Prepare(t.Context(), drills.Target{Component: of, Members: of.Members[1:2]})
	require.ErrorContains(t, err, "PodDisruptionBudget shop/api", "nobody has come back yet")
	s.back(t, "pod-evict", `{}`, u)

	_, u = s.run(t, "pod-evict", `{"patience":"30s"}`, s.target(t, of, 2))
	s.back(t, "pod-evict", `{"patience":"30s"}`, u)
}

func (s *shop) node(t *testing.T, name string) *corev1.Node {
	t.Helper()
	n, err := s.client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return n
}

func (s *shop) podsOn(t *testing.T, node string) (names []string) {
	t.Helper()
	list, err := s.client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	require.NoError(t, err)
	for i := range list.Items {
		if kube.Lives(&list.Items[i]) {
			names = append(names, list.Items[i].Name)
		}
	}
	return names
}

func drainsNodes(t *testing.T, s *shop) {
	to := s.target(t, s.component(t, "", nil), 1)
	node := to.Members[0].Name()
	require.NotEmpty(t, s.podsOn(t, node))
	by, u := s.run(t, "node-drain", `{}`, to)
	assert.Contains(t, by, "the taint node.kubernetes.io/unschedulable on "+node)
	assert.Empty(t, s.podsOn(t, node))
	assert.True(t, s.node(t, node).Spec.Unschedulable)
	s.back(t, "node-drain", `{}`, u)
	s.likeNew(t, node)
}

// likeNew: nothing of a fault is left at a node.
func (s *shop) likeNew(t *testing.T, node string) {
	t.Helper()
	require.NoError(t, s.plain(t.Context(), node))
}

func (s *shop) plain(ctx context.Context, node string) error {
	return eventually(ctx, func(ctx context.Context) error {
		n, err := s.client.CoreV1().Nodes().Get(ctx, node, metav1.GetOptions{})
		if err == nil && (n.Spec.Unschedulable || len(n.Spec.Taints) > 0 || strings.Contains(fmt.Sprint(n.Annotations), "firedrill")) {
			err = fmt.Errorf("%s: %v %v %v", node, n.Spec.Unschedulable, n.Spec.Taints, n.Annotations)
		}
		return err
	})
}

func emptiesNodes(t *testing.T, s *shop) {
	const with = `{"key":"drill","value":"x","effect":"NoExecute"}`
	to := s.target(t, s.component(t, "", nil), 2)
	to.Members = to.Members[1:]
	node := to.Members[0].Name()
	require.NotEmpty(t, s.podsOn(t, node))
	_, u := s.run(t, "node-taint", with, to)
	assert.Empty(t, s.podsOn(t, node))
	s.back(t, "node-taint", with, u)
	s.likeNew(t, node)
}

// conforms goes through life cycles of a fault on a node, killed at it, too.
func (s *shop) conforms(t *testing.T, kind, with string, faulted func(*corev1.Node) bool) {
	to := s.target(t, s.component(t, "", nil), 1)
	spec := to.Members[0].Spec
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: kind, With: with, Share: 0.34,
		Target:  target([]topology.MemberSpec{spec}, nil),
		Worker:  &injectortest.Job{Members: []topology.MemberSpec{spec}},
		Healthy: func(ctx context.Context) error { return s.plain(ctx, spec.Name) },
		Faulted: func(context.Context) error {
			if n := s.node(t, spec.Name); !faulted(n) {
				return fmt.Errorf("%v %v", n.Spec, n.Annotations)
			}
			return nil
		},
	})
}

func cordons(t *testing.T, s *shop) {
	s.conforms(t, "node-cordon", `{}`, func(n *corev1.Node) bool { return n.Spec.Unschedulable })
}

func taints(t *testing.T, s *shop) {
	s.conforms(t, "node-taint", `{"key":"example.com/drill","value":"x"}`, func(n *corev1.Node) bool {
		return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == "example.com/drill" && t.Value == "x" && t.Effect == corev1.TaintEffectNoSchedule
		})
	})
}

func (s *shop) scaleTo(t *testing.T, app string, n int32) {
	t.Helper()
	apps := s.client.AppsV1().Deployments(lab.ShopNamespace)
	require.NoError(t, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		scale, err := apps.GetScale(t.Context(), app, metav1.GetOptions{})
		if err == nil {
			scale.Spec.Replicas = n
			_, err = apps.UpdateScale(t.Context(), app, scale, metav1.UpdateOptions{})
		}
		return err
	}))
}

func scales(t *testing.T, s *shop) {
	of := s.component(t, "api", nil)
	const with = `{"replicas":1}`
	by, u := s.run(t, "workload-scale", with, s.target(t, of, 2))
	assert.Contains(t, by, "deployment/api in namespace shop has 1 pods")
	i := build(t, "workload-scale", with)
	require.NoError(t, i.(drills.Holder).Held(t.Context(), u))

	s.scaleTo(t, "api", 2)
	require.ErrorContains(t, i.(drills.Holder).Held(t.Context(), u), "somebody else")
	require.ErrorContains(t, i.Revert(t.Context(), u), "somebody else has scaled it meanwhile")
	s.scaleTo(t, "api", 1)
	s.back(t, "workload-scale", with, u)

	by, u = s.run(t, "workload-scale", `{"percent":150}`, s.target(t, of, 1))
	assert.Contains(t, by, "has 5 pods")
	s.back(t, "workload-scale", `{"percent":150}`, u)
	d, err := s.client.AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, int32(3), *d.Spec.Replicas)
	assert.NotContains(t, fmt.Sprint(d.Annotations), "firedrill")
}

// denies: the lab has no network plugin that enforces policies, and the fault says so.
func denies(t *testing.T, s *shop) {
	to := s.target(t, s.component(t, "api", nil), 2)
	left := func() (all []string) {
		list, err := s.client.NetworkingV1().NetworkPolicies(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, p := range list.Items {
			all = append(all, "policy "+p.Name)
		}
		pods, err := s.pods("api")
		require.NoError(t, err)
		for _, p := range pods {
			if strings.Contains(fmt.Sprint(p.Labels), "firedrill") {
				all = append(all, "pod "+p.Name)
			}
		}
		return all
	}
	i := build(t, "network-policy-deny", `{}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Len(t, left(), 3, "a policy and two pods")
	require.NoError(t, i.(drills.Holder).Held(t.Context(), u))
	_, err = confirm(t, i, to, u, time.Second)
	require.ErrorContains(t, err, "no network plugin seems to enforce NetworkPolicies here")
	require.ErrorContains(t, err, "the runner still reaches "+to.Members[0].Name())
	s.back(t, "network-policy-deny", `{}`, u)
	assert.Empty(t, left())

	for after := time.Millisecond; after < 60*time.Millisecond; after *= 4 { // cut short somewhere
		u, err := i.Prepare(t.Context(), to)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), after)
		err = i.Inject(ctx, to, u)
		cancel()
		require.NoError(t, i.Revert(t.Context(), u))
		assert.Empty(t, left(), "after %s: %v", after, err)
	}
}

func endsContainers(t *testing.T, s *shop) {
	of := s.component(t, "api", nil)
	to := s.target(t, of, 1)
	_, err := build(t, "container-exec-kill", `{}`).Prepare(t.Context(), to)
	require.ErrorContains(t, err, "has neither kill nor sh")
	require.ErrorContains(t, err, "container api of pod shop/"+to.Members[0].Name())

	i := build(t, "container-exec-kill", `{"command":["/shop","no-such-command"]}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Error(t, i.Inject(t.Context(), to, u), "the command fails and the container goes on")
	require.NoError(t, i.Revert(t.Context(), u))

	const with = `{"command":["/shop","kill","TERM","1"]}`
	_, u = s.run(t, "container-exec-kill", with, to)
	s.back(t, "container-exec-kill", with, u)
	p, err := s.client.CoreV1().Pods(lab.ShopNamespace).Get(t.Context(), to.Members[0].Name(), metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, int32(1), p.Status.ContainerStatuses[0].RestartCount)
	assert.True(t, kube.Ready(p))
	c, err := net.DialTimeout("tcp", to.Members[0].Address(), time.Second)
	require.NoError(t, err)
	c.Close()
}

// refuses: what would be too much, or prove nothing, is found before anything is
// touched.
func refuses(t *testing.T, s *shop) {
	api := s.target(t, s.component(t, "api", map[string]any{"minAvailable": 2}), 2)
	nodes := s.target(t, s.component(t, "", nil), 2)
	naked := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "naked", Labels: map[string]string{"app": "naked"}}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "pause", Image: "firedrill.local/pause:lab", ImagePullPolicy: corev1.PullNever}},
	}}
	_, err := s.client.CoreV1().Pods(lab.ShopNamespace).Create(t.Context(), naked, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		now := int64(0)
		assert.NoError(t, s.client.CoreV1().Pods(lab.ShopNamespace).Delete(context.Background(), "naked", metav1.DeleteOptions{GracePeriodSeconds: &now}))
	})
	two, three := int32(2), int32(3)
	hpa, err := s.client.AutoscalingV2().HorizontalPodAutoscalers(lab.ShopNamespace).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Name: "bare"},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "bare"},
			MinReplicas:    &two, MaxReplicas: three,
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, s.client.AutoscalingV2().HorizontalPodAutoscalers(lab.ShopNamespace).Delete(context.Background(), hpa.Name, metav1.DeleteOptions{}))
	})
	alone := s.component(t, "naked", map[string]any{"service": ""})
	require.NoError(t, eventually(t.Context(), func(ctx context.Context) error {
		st, err := alone.Adapter.Discover(ctx)
		if err == nil && len(st.With(topology.Instance)) == 0 {
			err = fmt.Errorf("not ready: %v", st)
		}
		return err
	}))
	for _, c := range []struct {
		kind, with string
		to         drills.Target
		want       string
	}{
		{"pod-kill", `{}`, api, "it would leave 1 of the 3 ready pods of api-test, fewer than 2: with.minAvailable is 2"},
		{"pod-evict", `{}`, api, "fewer than 2"},
		{"network-policy-deny", `{}`, api, "fewer than 2"},
		{"container-exec-kill", `{}`, api, "fewer than 2"},
		{"workload-scale", `{"replicas":1}`, api, "fewer than 2"},
		{"workload-scale", `{"replicas":0}`, api, "takes 3 pods away, and the target is 2"},
		{"workload-scale", `{"replicas":1}`, s.target(t, s.component(t, "bare", nil), 1), "HorizontalPodAutoscaler shop/bare scales deployment/bare"},
		{"pod-kill", `{}`, s.target(t, alone, 1), "pod shop/naked has no controller"},
		{"node-drain", `{}`, s.target(t, s.component(t, "", nil), 2), "none of the 2 nodes"},
		{"node-cordon", `{}`, nodes, "none of the 2 nodes"},
		{"node-cordon", `{}`, api, "is a pod: this fault acts on nodes"},
		{"pod-kill", `{}`, nodes, "is a node: this fault acts on pods"},
	} {
		_, err := build(t, c.kind, c.with).Prepare(t.Context(), c.to)
		assert.ErrorContains(t, err, c.want, c.kind)
	}
}
