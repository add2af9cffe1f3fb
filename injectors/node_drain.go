package injectors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// NodeDrainSpec cordons nodes and evicts their pods, as "kubectl drain" does: pods of
// DaemonSets and static pods stay, disruption budgets have their say, and pods without
// a controller are refused.
type NodeDrainSpec struct {
	// Patience is how long an eviction that a budget forbids is tried again; a budget
	// that has only some pods away at a time needs it. 0s: what a budget forbids now is
	// refused before anything is touched.
	Patience spec.Duration `json:"patience,omitempty"`
	// DeleteEmptyDirData says that pods with data in an emptyDir volume may be evicted,
	// which deletes the data.
	DeleteEmptyDirData bool `json:"deleteEmptyDirData,omitempty"`
	// AlsoFrom are namespaces that keep the cluster going (kube-system) whose pods may be
	// evicted, too. Without it, nodes that such pods run on are refused. Namespaces that
	// are marked firedrill.dev/protected=true are refused in any case.
	AlsoFrom []string `json:"alsoFrom,omitempty"`
}

var nodeDrainDefaults = NodeDrainSpec{Patience: spec.Duration(time.Minute)}

type nodeDrain struct{ spec NodeDrainSpec }

func newNodeDrain(s NodeDrainSpec) (drills.Injector, error) {
	return &nodeDrain{spec: s}, checkAlso(s.AlsoFrom)
}

// Privileges implements drills.Privileged.
func (*nodeDrain) Privileges(c *topology.Component) []topology.Privilege {
	return needs(c, "node-drain", nodeNeeds, podNeeds(c), evictNeeds)
}

// Prepare has the API server try each eviction without doing it.
func (f *nodeDrain) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	nodes, err := targetNodes(ctx, t)
	if err == nil {
		err = guardNodes(ctx, nodes)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	var pods []livePod
	for _, n := range nodes {
		some, err := f.drained(ctx, n)
		if err != nil {
			return drills.Undo{}, err
		}
		pods = append(pods, some...)
	}
	if err := guardTaken(ctx, t, pods, true); err != nil {
		return drills.Undo{}, err
	}
	if err := tryEvictions(ctx, pods, f.spec.Patience > 0); err != nil {
		return drills.Undo{}, err
	}
	u := nodesUndo{Mark: newMark("drain"), Run: t.Run, Nodes: nodeRefs(nodes), Pods: refs(pods)}
	says := fmt.Sprintf("uncordon %s, wait until %d pods are replaced", strings.Join(nodeNames(u.Nodes), ", "), len(pods))
	return writeUndo(says, u)
}

// drained are the pods of a node that a drain evicts.
func (f *nodeDrain) drained(ctx context.Context, n liveNode) ([]livePod, error) {
	pods, err := n.pods(ctx)
	if err == nil {
		err = guardSpared(ctx, pods, f.spec.AlsoFrom)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if err := refuseNaked(p.pod); err != nil {
			return nil, err
		}
		if v := emptyDir(p.pod); v != "" && !f.spec.DeleteEmptyDirData {
			return nil, fmt.Errorf("%s has data in the emptyDir volume %s, which an eviction deletes: allow it (with.deleteEmptyDirData)", p, v)
		}
	}
	return pods, nil
}

// emptyDir is a volume of the pod that goes with it, "" if there is none.
func emptyDir(p *corev1.Pod) string {
	for _, v := range p.Spec.Volumes {
		if v.EmptyDir != nil {
			return v.Name
		}
	}
	return ""
}

// pods are those of the node that are there to serve, but for those that belong to it:
// pods of DaemonSets and static pods; and but for the drill's own probe agents.
func (n liveNode) pods(ctx context.Context) ([]livePod, error) {
	list, err := n.cluster.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", n.node.Name).String(),
	})
	if err != nil {
		return nil, n.cluster.Explain("list the pods of "+n.String(), err)
	}
	var out []livePod
	keepers := keepers{}
	for i := range list.Items {
		p := &list.Items[i]
		owner := metav1.GetControllerOf(p)
		if p.Spec.NodeName != n.node.Name || !kube.Lives(p) || kube.IsAgent(p) || owner != nil && slices.Contains([]string{"DaemonSet", "Node"}, owner.Kind) {
			continue
		}
		keeper, err := keepers.of(ctx, n.cluster, p)
		if err != nil {
			return nil, err
		}
		place := kube.Place{Access: n.Place.Access, Namespace: p.Namespace, Pod: p.Name}
		r := podRef{Member: n.Member, Place: place, UID: p.UID, Keeper: keeper, Grace: graceOf(p)}
		out = append(out, livePod{podRef: r, cluster: n.cluster, pod: p})
	}
	return out, nil
}

// Inject cordons the nodes and evicts their pods, those included that came since.
func (f *nodeDrain) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	if err := u.cordon(ctx); err != nil {
		return err
	}
	var pods []livePod
	for _, r := range u.Nodes {
		n, c, err := r.get(ctx)
		if err != nil {
			return err
		}
		some, err := f.drained(ctx, liveNode{nodeRef: r, cluster: c, node: n})
		if err != nil {
			return err
		}
		pods = append(pods, some...)
	}
	return evictAll(ctx, refs(pods), f.spec.Patience.Std())
}

// Revert uncordons the nodes, unless they were cordoned before, and returns once the
// pods have been replaced.
func (*nodeDrain) Revert(ctx context.Context, undo drills.Undo) error {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, func(ctx context.Context) error {
		if err := u.uncordon(ctx); err != nil || len(u.Pods) == 0 {
			return err
		}
		return revertLeft(ctx, u.Pods)
	})
}

// Confirm asks the node controller whether the nodes are cordoned, and whether the
// pods have left.
func (*nodeDrain) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u nodesUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	said, err := u.cordoned(ctx)
	if err != nil || len(u.Pods) == 0 {
		return said, err
	}
	left, err := confirmLeft(ctx, u.Pods)
	return said + "; " + left, err
}

// Held implements drills.Holder.
func (*nodeDrain) Held(ctx context.Context, undo drills.Undo) error {
	return nodeCordon{}.Held(ctx, undo)
}
