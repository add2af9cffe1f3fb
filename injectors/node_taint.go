package injectors

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

// NodeTaintSpec puts a taint on nodes.
type NodeTaintSpec struct {
	// Key and Value are the taint's; only pods that tolerate them run there.
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	// Effect is "NoSchedule", which keeps new pods away, "PreferNoSchedule", which does
	// so unless they have nowhere else to go, or "NoExecute", which also removes the
	// pods that run there, without asking disruption budgets.
	Effect corev1.TaintEffect `json:"effect,omitempty" jsonschema:"enum=NoSchedule,enum=PreferNoSchedule,enum=NoExecute"`
	// AlsoFrom are namespaces that keep the cluster going (kube-system) whose pods
	// NoExecute may remove, too. Without it, nodes that such pods run on are refused.
	// Namespaces that are marked firedrill.dev/protected=true are refused in any case.
	AlsoFrom []string `json:"alsoFrom,omitempty"`
}

var nodeTaintDefaults = NodeTaintSpec{Effect: corev1.TaintEffectNoSchedule}

type nodeTaint struct {
	taint corev1.Taint
	also  []string
}

func newNodeTaint(s NodeTaintSpec) (drills.Injector, error) {
	if problems := validation.IsQualifiedName(s.Key); len(problems) > 0 {
		return nil, fmt.Errorf("key: %q: %s", s.Key, strings.Join(problems, "; "))
	}
	if problems := validation.IsValidLabelValue(s.Value); len(problems) > 0 {
		return nil, fmt.Errorf("value: %q: %s", s.Value, strings.Join(problems, "; "))
	}
	switch s.Effect {
	case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
	default:
		return nil, fmt.Errorf("effect: %q: want NoSchedule, PreferNoSchedule or NoExecute", s.Effect)
	}
	if len(s.AlsoFrom) > 0 && s.Effect != corev1.TaintEffectNoExecute {
		return nil, fmt.Errorf("alsoFrom: effect %s removes no pods: it is for NoExecute", s.Effect)
	}
	return &nodeTaint{taint: corev1.Taint{Key: s.Key, Value: s.Value, Effect: s.Effect}, also: s.AlsoFrom}, checkAlso(s.AlsoFrom)
}

// taintUndo is what a taint needs to be taken away.
type taintUndo struct {
	nodesUndo
	Taint corev1.Taint `json:"taint"`
}

// Privileges implements drills.Privileged.
func (f *nodeTaint) Privileges(c *topology.Component) []topology.Privilege {
	if f.taint.Effect == corev1.TaintEffectNoExecute {
		return needs(c, "node-taint", nodeNeeds, podNeeds(c))
	}
	return needs(c, "node-taint", nodeNeeds)
}

// is tells whether a taint is the one of the fault, or would be in its way: a node has
// one of a key and an effect.
func is(t corev1.Taint) func(corev1.Taint) bool {
	return func(o corev1.Taint) bool { return o.Key == t.Key && o.Effect == t.Effect }
}

// Prepare needs nodes without such a taint, and another one that takes pods.
func (f *nodeTaint) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	nodes, err := targetNodes(ctx, t)
	if err == nil {
		err = guardNodes(ctx, nodes)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	for _, n := range nodes {
		if slices.ContainsFunc(n.node.Spec.Taints, is(f.taint)) {
			return drills.Undo{}, fmt.Errorf("%s has a taint %s with effect %s already: choose another key", n, f.taint.Key, f.taint.Effect)
		}
	}
	u := taintUndo{nodesUndo: nodesUndo{Mark: newMark("taint"), Run: t.Run, Nodes: nodeRefs(nodes)}, Taint: f.taint}
	if f.taint.Effect == corev1.TaintEffectNoExecute {
		pods, err := f.removed(ctx, nodes)
		if err == nil {
			err = guardTaken(ctx, t, pods, false)
		}
		if err != nil {
			return drills.Undo{}, err
		}
		u.Pods = refs(pods)
	}
	return writeUndo(fmt.Sprintf("remove taint %s from %s", f.taint.ToString(), strings.Join(nodeNames(u.Nodes), ", ")), u)
}

// removed are the pods that do not tolerate the taint and so are removed from the
// nodes at once.
func (f *nodeTaint) removed(ctx context.Context, nodes []liveNode) ([]livePod, error) {
	var out []livePod
	for _, n := range nodes {
		pods, err := n.pods(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range pods {
			if f.tolerated(p.pod) {
				continue
			}
			if err := refuseNaked(p.pod); err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, guardSpared(ctx, out, f.also)
}

// tolerated tells whether a pod stays, if only for a while.
func (f *nodeTaint) tolerated(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.Tolerations, func(t corev1.Toleration) bool {
		key := t.Key == f.taint.Key || t.Key == "" && t.Operator == corev1.TolerationOpExists
		effect := t.Effect == "" || t.Effect == f.taint.Effect
		return key && effect && (t.Operator == corev1.TolerationOpExists || t.Value == f.taint.Value)
	})
}

// Inject puts the taint on the nodes.
func (f *nodeTaint) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u taintUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return atOnce(u.Nodes, func(r nodeRef) error {
		return r.change(ctx, u.Mark, u.Run, func(n *corev1.Node) (map[string]any, error) {
			if slices.ContainsFunc(n.Spec.Taints, is(u.Taint)) {
				return nil, fmt.Errorf("%s has got a taint %s with effect %s from somebody else meanwhile", r, u.Taint.Key, u.Taint.Effect)
			}
			return map[string]any{"taints": append(n.Spec.Taints, u.Taint)}, nil
		})
	})
}

// Revert takes exactly that taint away, and waits until what it removed is replaced.
func (f *nodeTaint) Revert(ctx context.Context, undo drills.Undo) error {
	var u taintUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, func(ctx context.Context) error {
		if err := u.remove(ctx); err != nil || len(u.Pods) == 0 {
			return err
		}
		return revertLeft(ctx, u.Pods)
	})
}

// remove takes the taint away from the nodes that the fault has put it on.
func (u taintUndo) remove(ctx context.Context) error {
	return u.revertNodes(ctx, func(_ nodeRef, n *corev1.Node) map[string]any {
		left := slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t corev1.Taint) bool {
			return is(u.Taint)(t) && t.Value == u.Taint.Value
		})
		if len(left) == 0 {
			return map[string]any{"taints": nil}
		}
		return map[string]any{"taints": left}
	})
}

// Confirm waits until the pods that do not tolerate the taint leave (NoExecute), or
// asks the API server whether the nodes have it: only a new pod would show more.
func (f *nodeTaint) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u taintUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	err := atOnce(u.Nodes, func(r nodeRef) error {
		return poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
			n, _, err := r.get(ctx)
			if err == nil && !u.has(n) {
				err = fmt.Errorf("%s does not have the taint %s", r, u.Taint.ToString())
			}
			return err
		})
	})
	if err != nil {
		return "", err
	}
	said := fmt.Sprintf("read back: %s now %s the taint %s", strings.Join(nodeNames(u.Nodes), ", "), hasOrHave(len(u.Nodes)), u.Taint.ToString())
	if len(u.Pods) == 0 {
		return said, nil
	}
	return confirmLeft(ctx, u.Pods)
}

func hasOrHave(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

func (u taintUndo) has(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return is(u.Taint)(t) && t.Value == u.Taint.Value })
}

// Held implements drills.Holder.
func (f *nodeTaint) Held(ctx context.Context, undo drills.Undo) error {
	var u taintUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return u.heldNodes(ctx, u.has)
}
