package kube

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// NodesKind is the name of the component kind.
const NodesKind = "kubernetes-nodes"

// CordonedFact is "true" for a node that takes no new pods because somebody said so.
const CordonedFact = "cordoned"

// NodesSpec says which nodes a component is.
type NodesSpec struct {
	Access
	// Selector chooses the nodes by their labels; default: all of them.
	Selector string `json:"selector,omitempty"`
	// Namespace is where drills on nodes have their lock; default: that of the context.
	Namespace string `json:"namespace,omitempty"`
	// Settle is how long the nodes may take to be ready again when everything is
	// restored.
	Settle spec.Duration `json:"settle,omitempty"`
}

// NodeKind is the catalogue entry of components that are nodes.
func NodeKind() kind.Kind[topology.NewAdapter] {
	defaults := NodesSpec{Settle: spec.Duration(2 * time.Minute)}
	return kind.New(NodesKind, "Nodes of a Kubernetes cluster; they come and go, and are found.", defaults,
		func(s NodesSpec) (topology.NewAdapter, error) {
			if _, err := labels.Parse(s.Selector); err != nil {
				return nil, fmt.Errorf("with.selector: %w", err)
			}
			return func(c *topology.Component) (topology.Adapter, error) {
				if len(c.Spec.Members) > 0 {
					return nil, errors.New("members: the nodes are found by with.selector: remove them")
				}
				return &Nodes{Spec: s, Component: c}, nil
			}, nil
		})
}

// Nodes is the adapter of a component whose members are nodes.
type Nodes struct {
	Spec      NodesSpec
	Component *topology.Component

	lock lock
}

// Discover lists the nodes.
func (a *Nodes) Discover(ctx context.Context) (topology.State, error) {
	c, err := a.Spec.Open()
	if err != nil {
		return topology.State{}, err
	}
	list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: a.Spec.Selector})
	if err != nil {
		return topology.State{}, c.Explain("list the nodes", err)
	}
	nodes := list.Items
	slices.SortFunc(nodes, func(x, y corev1.Node) int { return strings.Compare(x.Name, y.Name) })
	var st topology.State
	for i := range nodes {
		n := &nodes[i]
		ms := topology.MemberState{Member: n.Name, Role: topology.Instance, Labels: n.Labels, Facts: map[string]string{
			"node": n.Name, "version": n.Status.NodeInfo.KubeletVersion,
			CordonedFact: strconv.FormatBool(n.Spec.Unschedulable),
		}}
		if ms.Problem = nodeAilment(n); ms.Problem != "" {
			ms.Role = topology.Down
		}
		ms.Spec = &topology.MemberSpec{
			Name: n.Name, Site: n.Labels[corev1.LabelTopologyZone], Address: nodeAddress(n),
			Control: Place{Access: a.Spec.Access, Node: n.Name}.control(),
		}
		st.Members = append(st.Members, ms)
	}
	if len(nodes) == 0 {
		st.Problem = fmt.Sprintf("no node fits %q", a.Spec.Selector)
	}
	return st, nil
}

// nodeAilment says why a node takes no pods, "" if it does.
func nodeAilment(n *corev1.Node) string {
	if n.Spec.Unschedulable {
		return "cordoned: it takes no new pods"
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return ""
		} else if c.Type == corev1.NodeReady {
			return "not ready: " + c.Message
		}
	}
	return "not ready: its kubelet has not said that it is"
}

func nodeAddress(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// Restore waits until every node that took pods before the drill does so again.
func (a *Nodes) Restore(ctx context.Context, keep topology.State, _ func(topology.Step)) (topology.Restored, error) {
	down := keep.With(topology.Down)
	return settle(ctx, a.Component.Name(), a.Spec.Settle.Std(), func(ctx context.Context) (topology.Restored, error) {
		st, err := a.Discover(ctx)
		out := topology.Restored{State: st, KeptOut: map[string]string{}}
		for _, m := range st.Members {
			if m.Problem != "" && !slices.Contains(down, m.Member) {
				out.KeptOut[m.Member] = m.Problem
			}
		}
		if err == nil && len(out.KeptOut) > 0 {
			err = errors.New(ailments(st))
		}
		return out, err
	})
}

// zones returns the zone of every node that one of the pods runs on.
func (c *Cluster) zones(ctx context.Context, pods []corev1.Pod) (map[string]string, error) {
	zones := map[string]string{}
	for _, p := range pods {
		zones[p.Spec.NodeName] = ""
	}
	list, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, c.Explain("list the nodes, for their zones", err)
	}
	for _, n := range list.Items {
		if _, ok := zones[n.Name]; ok {
			zones[n.Name] = n.Labels[corev1.LabelTopologyZone]
		}
	}
	return zones, nil
}
