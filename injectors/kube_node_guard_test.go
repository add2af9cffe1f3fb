package injectors

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/kube"
)

// emptying are the faults that take pods from nodes.
var emptying = map[string]string{"node-drain": `{%s}`, "node-taint": `{"key":"drill","effect":"NoExecute",%s}`}

func emptyingFault(t *testing.T, kind, with string) drills.Injector {
	t.Helper()
	if with == "" && kind == "node-taint" {
		return fault(t, kind, `{"key":"drill","effect":"NoExecute"}`)
	}
	return fault(t, kind, fmt.Sprintf(emptying[kind], with))
}

// set is a StatefulSet in a namespace of its own whose first pods run on node-a, the
// others on node-b.
func set(name string, pods, onA int) (all []runtime.Object) {
	n, labels := int32(pods), map[string]string{"set": name}
	all = append(all,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: name},
			Spec:       appsv1.StatefulSetSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels}},
		})
	for i := range pods {
		p := pod(fmt.Sprintf("%s-%d", name, i))
		p.Namespace, p.Labels = name, labels
		p.OwnerReferences = []metav1.OwnerReference{owner("apps/v1", "StatefulSet", name)}
		if i >= onA {
			p.Spec.NodeName = "node-b"
		}
		all = append(all, p)
	}
	return all
}

// A node also carries what is no component of the topology, and must not be taken away.
func TestNodeFaultsSpareNamespaces(t *testing.T) {
	for kind := range emptying {
		t.Run(kind, func(t *testing.T) {
			dns, ns := pod("coredns"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}}
			dns.Namespace = "kube-system"
			dns.OwnerReferences = []metav1.OwnerReference{owner("apps/v1", "StatefulSet", "coredns")}
			set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "coredns", Namespace: "kube-system"}}
			f := newFake(t, dns, ns, set)
			to := f.nodes(1)
			_, err := emptyingFault(t, kind, "").Prepare(t.Context(), to)
			require.EqualError(t, err, "it would take pod kube-system/coredns away from node node-a: namespace kube-system keeps the cluster "+
				"or its chaos tools going: choose a node without its pods, or allow it (with.alsoFrom: [kube-system])")
			assert.Empty(t, f.asked())
			allowed := emptyingFault(t, kind, `"alsoFrom":["kube-system"]`)
			_, err = allowed.Prepare(t.Context(), to)
			require.NoError(t, err)
			f.allowed(allowed, to.Component)

			for _, mark := range []metav1.ObjectMeta{
				{Name: "kube-system", Labels: map[string]string{"firedrill.dev/protected": "true"}},
				{Name: "kube-system", Annotations: map[string]string{"firedrill.dev/protected": "true"}},
			} {
				update(f, "namespaces", &corev1.Namespace{ObjectMeta: mark})
				_, err = allowed.Prepare(t.Context(), to)
				require.ErrorContains(t, err, "namespace kube-system is marked firedrill.dev/protected=true, somebody does not want it drilled")
			}

			_, err = All(builtin.Kinds()).Build(kind, json.RawMessage(fmt.Sprintf(emptying[kind], `"alsoFrom":["shop"]`)))
			assert.ErrorContains(t, err, `alsoFrom[0]: "shop": it is for kube-system`)
		})
	}
	_, err := All(builtin.Kinds()).Build("node-taint", json.RawMessage(`{"key":"drill","alsoFrom":["kube-system"]}`))
	assert.ErrorContains(t, err, "alsoFrom: effect NoSchedule removes no pods")
	// A pod that stays does not matter.
	dns := pod("coredns")
	dns.Namespace, dns.Spec.Tolerations = "kube-system", []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	dns.OwnerReferences = []metav1.OwnerReference{owner("apps/v1", "StatefulSet", "coredns")}
	_, err = emptyingFault(t, "node-taint", "").Prepare(t.Context(), newFake(t, dns).nodes(1))
	assert.NoError(t, err)
}

// What votes keeps its majority, whoever knows of it.
func TestNodeFaultsLeaveAMajority(t *testing.T) {
	for kind := range emptying {
		t.Run(kind, func(t *testing.T) {
			f := newFake(t, set("etcd", 5, 3)...)
			i, to := emptyingFault(t, kind, ""), f.nodes(1)
			_, err := i.Prepare(t.Context(), to)
			require.ErrorContains(t, err, "it would leave 2 of the 5 ready pods of statefulset/etcd in namespace etcd, fewer than 3: a majority of its 5 is needed")
			assert.Empty(t, f.asked())
			f.allowed(i, to.Component)

			to.Around = []*topology.Component{f.open("kubernetes", map[string]any{"namespace": "etcd", "workload": "statefulset/etcd", "minAvailable": 2})}
			_, err = i.Prepare(t.Context(), to)
			require.NoError(t, err, "the topology file knows better")

			_, err = emptyingFault(t, kind, "").Prepare(t.Context(), newFake(t, set("etcd", 5, 2)...).nodes(1))
			require.NoError(t, err)
			_, err = emptyingFault(t, kind, "").Prepare(t.Context(), newFake(t, set("pair", 2, 2)...).nodes(1))
			require.NoError(t, err, "two do not vote")
		})
	}
}

// A budget lets evictions take one pod at a time; a taint does not ask it.
func TestNodeFaultsKeepAComponentsFloor(t *testing.T) {
	for kind, want := range map[string]string{
		"node-drain": "", "node-taint": "it would leave 0 of the 3 ready pods of api, fewer than 2: with.minAvailable is 2",
	} {
		t.Run(kind, func(t *testing.T) {
			f := newFake(t)
			i, to := emptyingFault(t, kind, ""), f.nodes(1)
			to.Around = []*topology.Component{to.Component, f.api(map[string]any{"minAvailable": 2})}
			_, err := i.Prepare(t.Context(), to)
			if want == "" {
				require.NoError(t, err, "its budget leaves two")
			} else {
				require.EqualError(t, err, want)
			}
			to.Around[1] = f.api(map[string]any{"minAvailable": 3})
			_, err = i.Prepare(t.Context(), to)
			require.ErrorContains(t, err, "of the 3 ready pods of api, fewer than 3: with.minAvailable is 3")
			f.allowed(i, to.Component)
		})
	}
	objects := append(set("etcd", 3, 2), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "etcd", Namespace: "etcd"},
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: new(intstr.FromInt32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"set": "etcd"}},
		},
		Status: policyv1.PodDisruptionBudgetStatus{CurrentHealthy: 3, ExpectedPods: 3, DesiredHealthy: 2, DisruptionsAllowed: 1},
	})
	_, err := emptyingFault(t, "node-drain", "").Prepare(t.Context(), newFake(t, objects...).nodes(1))
	require.NoError(t, err)
	_, err = emptyingFault(t, "node-taint", "").Prepare(t.Context(), newFake(t, objects...).nodes(1))
	require.ErrorContains(t, err, "it would leave 1 of the 3 ready pods of statefulset/etcd")
}

// Members of a component of another kind may be pods, too: no platform asks for it
// whether their namespace may be drilled.
func TestPodsOfOtherKindsAreSpared(t *testing.T) {
	for kind, with := range map[string]string{"pod-kill": `{}`, "pod-evict": `{}`, "container-exec-kill": `{"command":["kill"]}`, "workload-scale": `{"replicas":2}`} {
		t.Run(kind, func(t *testing.T) {
			f := newFake(t)
			place, err := json.Marshal(map[string]string{"kubeconfig": f.access.Kubeconfig, "namespace": "shop", "pod": "api-1-0"})
			require.NoError(t, err)
			c := &topology.Component{Spec: topology.ComponentSpec{Name: "orders-db", Kind: "mysql"}}
			c.Members = []*topology.Member{{Spec: topology.MemberSpec{Name: "db-0", Control: &topology.ControlSpec{Kind: "kubernetes", With: place}}}}
			i := fault(t, kind, with)
			if e, ok := i.(*containerExecKill); ok {
				e.exec = func(context.Context, *kube.Cluster, podRef, string, []string) error { return nil }
			}
			_, err = i.Prepare(t.Context(), drills.Target{Component: c, Members: c.Members})
			require.NoError(t, err)
			update(f, "namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"firedrill.dev/protected": "true"}}})
			_, err = i.Prepare(t.Context(), drills.Target{Component: c, Members: c.Members})
			require.EqualError(t, err, "pod shop/api-1-0 at API server fake must not be hit: namespace shop is marked firedrill.dev/protected=true, somebody does not want it drilled")

			p := pod("etcd-0")
			p.Namespace = "kube-system"
			p.OwnerReferences = []metav1.OwnerReference{owner("apps/v1", "StatefulSet", "etcd")}
			three := int32(3)
			set := &appsv1.StatefulSet{
				ObjectMeta: metav1.ObjectMeta{Name: "etcd", Namespace: "kube-system"}, Spec: appsv1.StatefulSetSpec{Replicas: &three, Selector: &metav1.LabelSelector{}},
			}
			f = newFake(t, p, set)
			c.Members[0].Spec.Control.With = []byte(`{"kubeconfig":"` + f.access.Kubeconfig + `","namespace":"kube-system","pod":"etcd-0"}`)
			_, err = i.Prepare(t.Context(), drills.Target{Component: c, Members: c.Members})
			require.ErrorContains(t, err, "pod kube-system/etcd-0 at API server fake must not be hit: namespace kube-system keeps the cluster or its chaos tools going")
		})
	}
}

// A member that cannot be stopped alone is refused before anything is touched.
func TestProcessStopOfASharedWorkload(t *testing.T) {
	for pod, want := range map[string]string{
		`"pod":"api-1-0","workload":"deployment/api"`: "member db-0: deployment/api in namespace shop has 3 replicas, stopping it would stop them all: " +
			"give each member a workload of its own, or use pod-kill",
		`"pod":"api-1-0"`: "member db-0: Kubernetes replaces pod api-1-0 at once: name the workload that it is alone in (control.with.workload), or use pod-kill",
	} {
		f := newFake(t)
		c := &topology.Component{Spec: topology.ComponentSpec{Name: "orders-db", Kind: "mysql"}}
		with := []byte(`{"kubeconfig":"` + f.access.Kubeconfig + `","namespace":"shop",` + pod + `}`)
		c.Members = []*topology.Member{{Spec: topology.MemberSpec{Name: "db-0", Control: &topology.ControlSpec{Kind: "kubernetes", With: with}}}}
		_, err := fault(t, "process-stop", `{}`).Prepare(t.Context(), drills.Target{Component: c, Members: c.Members})
		require.EqualError(t, err, want)
		assert.Empty(t, f.asked())
	}
}
