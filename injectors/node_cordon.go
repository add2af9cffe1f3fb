package injectors

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

// NodeCordonSpec makes nodes take no new pods; those that run there stay.
type NodeCordonSpec struct{}

type nodeCordon struct{}

func newNodeCordon(NodeCordonSpec) (drills.Injector, error) { return nodeCordon{}, nil }

// Privileges implements drills.Privileged.
func (nodeCordon) Privileges(c *topology.Component) []topology.Privilege {
	return needs(c, "node-cordon", nodeNeeds)
}

// Prepare needs nodes that take pods, and another one that goes on to.
func (nodeCordon) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	nodes, err := targetNodes(ctx, t)
	if err == nil {
		err = guardNodes(ctx, nodes)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	for _, n := range nodes {
		if n.Cordoned {
			return drills.Undo{}, fmt.Errorf("%s is cordoned already: there is nothing to do", n)
		}
	}
	u := nodesUndo{Mark: newMark("cordon"), Run: t.Run, Nodes: nodeRefs(nodes)}
	return writeUndo("uncordon "+strings.Join(nodeNames(u.Nodes), ", "), u)
}

// Inject cordons the nodes.
func (nodeCordon) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return u.cordon(ctx)
}

func (u nodesUndo) cordon(ctx context.Context) error {
	return atOnce(u.Nodes, func(r nodeRef) error {
		return r.change(ctx, u.Mark, u.Run, func(*corev1.Node) (map[string]any, error) {
			return map[string]any{"unschedulable": true}, nil
		})
	})
}

// Revert uncordons the nodes that the fault has cordoned.
func (nodeCordon) Revert(ctx context.Context, undo drills.Undo) error {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, u.uncordon)
}

func (u nodesUndo) uncordon(ctx context.Context) error {
	return u.revertNodes(ctx, func(r nodeRef, _ *corev1.Node) map[string]any {
		if r.Cordoned {
			return map[string]any{} // as it was before
		}
		return map[string]any{"unschedulable": nil}
	})
}

// Confirm waits until the cluster's node controller has noticed, and has put its own
// taint on the nodes: it is what the scheduler goes by.
func (nodeCordon) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	return u.cordoned(ctx)
}

func (u nodesUndo) cordoned(ctx context.Context) (string, error) {
	err := atOnce(u.Nodes, func(r nodeRef) error {
		return poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
			n, _, err := r.get(ctx)
			if err == nil && !(n.Spec.Unschedulable && tainted(n)) {
				err = fmt.Errorf("%s does not have the taint %s, which the node controller puts on cordoned nodes", r, corev1.TaintNodeUnschedulable)
			}
			return err
		})
	})
	return "the node controller has put the taint " + corev1.TaintNodeUnschedulable + " on " + strings.Join(nodeNames(u.Nodes), ", "), err
}

// tainted tells whether the node controller knows that a node is cordoned.
func tainted(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeUnschedulable })
}

// Held implements drills.Holder.
func (nodeCordon) Held(ctx context.Context, undo drills.Undo) error {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return u.heldNodes(ctx, func(n *corev1.Node) bool { return n.Spec.Unschedulable })
}
