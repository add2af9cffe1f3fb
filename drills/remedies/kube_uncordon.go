package remedies

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// NodeUncordonSpec are the parameters of node-uncordon.
type NodeUncordonSpec struct {
	// Timeout is how long a node may take until pods are placed on it again.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

type nodeUncordon struct{ spec NodeUncordonSpec }

func newNodeUncordon(s NodeUncordonSpec) (drills.Remedy, error) {
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	return nodeUncordon{s}, nil
}

// Privileges implements drills.Privileged.
func (nodeUncordon) Privileges(*topology.Component) []topology.Privilege {
	return []topology.Privilege{{Resource: "nodes", Verbs: []string{"get", "list", "patch"}, For: "node-uncordon"}}
}

// Apply uncordons every node of the component that is cordoned. One that was cordoned
// before the drill is so again after it.
func (r nodeUncordon) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	nodes, ok := t.Component.Adapter.(*kube.Nodes)
	if !ok {
		return fmt.Errorf("component %s is of kind %s: nodes are uncordoned of one of kind %s", t.Component.Name(), t.Component.Spec.Kind, kube.NodesKind)
	}
	st, err := patiently(ctx, nodes.Discover)
	if err != nil {
		return err
	}
	if st.Problem != "" {
		return fmt.Errorf("component %s: %s", t.Component.Name(), st.Problem)
	}
	was := map[string]bool{}
	for _, m := range t.State.Members {
		was[m.Member] = m.Facts[kube.CordonedFact] == "true"
	}
	for _, m := range st.Members {
		if m.Facts[kube.CordonedFact] != "true" {
			continue
		}
		o := nodeObject(nodes.Spec.Access, m.Member)
		if err := r.uncordon(ctx, o, was[m.Member], log); err != nil {
			return err
		}
	}
	// Also for those whose uncordoning was interrupted.
	return deed(log, topology.Step{Name: "wait until nodes take pods"}, nil, func() (string, error) {
		for _, m := range st.Members {
			if err := r.takesPods(ctx, nodeObject(nodes.Spec.Access, m.Member)); err != nil {
				return "", err
			}
		}
		return fmt.Sprintf("%d nodes are schedulable", len(st.Members)), nil
	})
}

func nodeObject(at kube.Access, name string) kubeObject {
	return kubeObject{Access: at, Version: "v1", Resource: "nodes", Kind: "node", Name: name}
}

func (r nodeUncordon) uncordon(ctx context.Context, o kubeObject, was bool, log drills.RemedyLog) (err error) {
	now, err := patiently(ctx, o.get)
	if err != nil {
		return err
	}
	o.UID = now.GetUID()
	step := topology.Step{Name: "uncordon", Member: o.Name}
	var undo *drills.Undo
	detail := "it stays so after the drill"
	if was {
		detail = "it was cordoned before the drill, and will be again"
		if undo, err = undoWith("cordon node "+o.Name+" again", o); err != nil {
			return err
		}
	}
	return deed(log, step, undo, func() (string, error) { return detail, cordoned(ctx, o, false) })
}

// cordoned sets whether a node is.
func cordoned(ctx context.Context, o kubeObject, want bool) error {
	return o.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		var is bool
		if err := field(now, &is, "spec", "unschedulable"); err != nil || is == want {
			return nil, err
		}
		var value any // removed rather than false, as kubectl uncordon does
		if want {
			value = true
		}
		return map[string]any{"spec": map[string]any{"unschedulable": value}}, nil
	})
}

// takesPods waits until the taint that a cordon puts on a node is gone: the scheduler
// goes by that.
func (r nodeUncordon) takesPods(ctx context.Context, o kubeObject) error {
	return o.until(ctx, r.spec.Timeout.Std(), func(ctx context.Context) error {
		now, err := o.get(ctx)
		if err != nil {
			return err
		}
		n, err := typed[corev1.Node](now)
		for _, t := range n.Spec.Taints {
			if t.Key == corev1.TaintNodeUnschedulable && !n.Spec.Unschedulable {
				return fmt.Errorf("it is uncordoned and still has the taint %s: does the controller manager run?", t.Key)
			}
		}
		return err
	})
}

// Revert implements drills.Reverter.
func (nodeUncordon) Revert(ctx context.Context, u drills.Undo) error {
	var o kubeObject
	if err := readUndo(u, &o); err != nil {
		return err
	}
	return cordoned(ctx, o, true)
}
