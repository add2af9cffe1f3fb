package injectors

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology/kube"
)

// guardPods refuses a fault that would leave the component fewer ready pods than it
// must keep.
func guardPods(ctx context.Context, t drills.Target, hit []livePod) error {
	a, ok := t.Component.Adapter.(*kube.Pods)
	if !ok {
		return guardPlaces(ctx, hit) // how many, other kinds know themselves
	}
	pods, err := a.List(ctx)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, p := range hit {
		taken[string(p.UID)] = true
	}
	ready, left := 0, 0
	for i := range pods {
		if !kube.Ready(&pods[i]) {
			continue
		}
		ready++
		if !taken[string(pods[i].UID)] {
			left++
		}
	}
	return guardLeft(ctx, t, a, ready, left)
}

// guardLeft refuses to leave so many of the ready pods.
func guardLeft(ctx context.Context, t drills.Target, a *kube.Pods, ready, left int) error {
	return guardFloor(ctx, t.Component.Name(), a, ready, left)
}

// guardFloor refuses to leave a component so many of its ready pods.
func guardFloor(ctx context.Context, name string, a *kube.Pods, ready, left int) error {
	least, why, err := a.Floor(ctx)
	if err != nil {
		return err
	}
	if left < least {
		return fmt.Errorf("it would leave %d of the %d ready pods of %s, fewer than %d: %s", left, ready, name, least, why)
	}
	return nil
}

// guardNodes refuses a fault that would leave no node for the pods to go to.
func guardNodes(ctx context.Context, nodes []liveNode) error {
	if len(nodes) == 0 {
		return nil
	}
	c := nodes[0].cluster
	list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return c.Explain("list the nodes", err)
	}
	hit := map[string]bool{}
	for _, n := range nodes {
		hit[n.node.Name] = true
	}
	for i := range list.Items {
		if n := &list.Items[i]; !hit[n.Name] && nodeReady(n) && !n.Spec.Unschedulable {
			return nil
		}
	}
	return fmt.Errorf("it would leave none of the %d nodes to take pods: the pods could go nowhere", len(list.Items))
}

func nodeReady(n *corev1.Node) bool {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
