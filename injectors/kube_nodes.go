package injectors

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// nodeRef is a node as it was before the fault.
type nodeRef struct {
	Member string     `json:"member"`
	Place  kube.Place `json:"place"`
	UID    types.UID  `json:"uid"`
	// Cordoned tells that it took no new pods even then.
	Cordoned bool `json:"cordoned,omitempty"`
}

// String names the node as people do.
func (r nodeRef) String() string { return "node " + r.Place.Node }

// liveNode is a node as it is now.
type liveNode struct {
	nodeRef
	cluster *kube.Cluster
	node    *corev1.Node
}

// nodesUndo is what nodes were before the fault. The annotation Mark is set by the
// request that makes the fault, and taken away by the one that undoes it: what has
// none is as it was, or somebody else's. Its value is the run's id.
type nodesUndo struct {
	Mark  string    `json:"mark"`
	Run   string    `json:"run,omitempty"`
	Nodes []nodeRef `json:"nodes"`
	// Pods are those that are to leave the nodes.
	Pods []podRef `json:"pods,omitempty"`
}

// newID tells the traces of one fault from those of all others.
func newID() string {
	id := make([]byte, 4)
	rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// newMark is the name of an annotation that is a fault's own.
func newMark(fault string) string { return "firedrill.dev/" + fault + "-" + newID() }

// targetNodes looks at the nodes that a fault is to act on. All must be ready.
func targetNodes(ctx context.Context, t drills.Target) ([]liveNode, error) {
	var nodes []liveNode
	for _, m := range t.Members {
		place, err := kube.PlaceOf(m.Spec)
		if err != nil {
			return nil, err
		}
		if place.Node == "" {
			return nil, fmt.Errorf("member %s is a pod: this fault acts on nodes: name a component of kind %s", m.Name(), kube.NodesKind)
		}
		r := nodeRef{Member: m.Name(), Place: place}
		n, c, err := r.get(ctx)
		if err != nil {
			return nil, err
		}
		if !nodeReady(n) {
			return nil, fmt.Errorf("%s is not ready: a fault on it would prove nothing", r)
		}
		r.UID, r.Cordoned = n.UID, n.Spec.Unschedulable
		nodes = append(nodes, liveNode{nodeRef: r, cluster: c, node: n})
	}
	return nodes, nil
}

func (r nodeRef) get(ctx context.Context) (*corev1.Node, *kube.Cluster, error) {
	c, err := r.Place.Open()
	if err != nil {
		return nil, nil, err
	}
	n, err := c.Client.CoreV1().Nodes().Get(ctx, r.Place.Node, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, fmt.Errorf("%s is gone: %w", r, drills.ErrGone)
	}
	if err == nil && r.UID != "" && n.UID != r.UID {
		return nil, nil, fmt.Errorf("%s is another one of that name by now: %w", r, drills.ErrGone)
	}
	return n, c, c.Explain("look at "+r.String(), err)
}

// nodeRefs are the nodes without what is only known now.
func nodeRefs(nodes []liveNode) []nodeRef {
	out := make([]nodeRef, len(nodes))
	for i, n := range nodes {
		out[i] = n.nodeRef
	}
	return out
}

func nodeNames(nodes []nodeRef) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Place.Node
	}
	return names
}

// change gives a node's spec other values and sets or removes a mark, in one request.
// A node that changes meanwhile is looked at again. how returns nil if there is nothing
// to do.
func (r nodeRef) change(ctx context.Context, mark string, value any, how func(*corev1.Node) (map[string]any, error)) error {
	return poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		n, c, err := r.get(ctx)
		if err != nil {
			return poll.Stop(err)
		}
		spec, err := how(n)
		if err != nil || spec == nil {
			return asFinal(err)
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"resourceVersion": n.ResourceVersion, "annotations": map[string]any{mark: value}},
			"spec":     spec,
		})
		if err != nil {
			return poll.Stop(err)
		}
		_, err = c.Client.CoreV1().Nodes().Patch(ctx, r.Place.Node, types.MergePatchType, patch, metav1.PatchOptions{})
		if apierrors.IsConflict(err) {
			return err // again, with what it has become
		}
		return asFinal(c.Explain("change "+r.String(), err))
	})
}

// asFinal marks an error as one that waiting does not cure; nil stays nil.
func asFinal(err error) error {
	if err == nil {
		return nil
	}
	return poll.Stop(err)
}

// revertNodes has how undo what the fault did to each node that has its mark.
func (u nodesUndo) revertNodes(ctx context.Context, how func(nodeRef, *corev1.Node) map[string]any) error {
	marked := func(n *corev1.Node) bool { _, ok := n.Annotations[u.Mark]; return ok }
	return atOnce(u.Nodes, func(r nodeRef) error {
		err := settled(ctx, func() (bool, error) {
			n, _, err := r.get(ctx)
			return err == nil && !marked(n), err
		})
		if err != nil {
			return err
		}
		err = r.change(ctx, u.Mark, nil, func(n *corev1.Node) (map[string]any, error) {
			if !marked(n) {
				return nil, nil
			}
			return how(r, n), nil
		})
		if err != nil {
			return err
		}
		n, _, err := r.get(ctx)
		if err == nil && marked(n) {
			err = fmt.Errorf("%s still has the annotation %s", r, u.Mark)
		}
		return err
	})
}

// heldNodes returns an error if a node has lost the mark, or what came with it.
func (u nodesUndo) heldNodes(ctx context.Context, there func(*corev1.Node) bool) error {
	for _, r := range u.Nodes {
		n, _, err := r.get(ctx)
		if err != nil {
			return err
		}
		if _, ok := n.Annotations[u.Mark]; !ok || !there(n) {
			return fmt.Errorf("%s is not as the fault has made it: somebody has changed it meanwhile", r)
		}
	}
	return nil
}
