package injectors

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// denyUndo names the policy and the label, which are the fault's own.
type denyUndo struct {
	ID    string   `json:"id"`
	Run   string   `json:"run,omitempty"`
	Pods  []podRef `json:"pods"`
	Tries []try    `json:"tries,omitempty"`
}

// try is a command that can connect only without the fault.
type try struct {
	Pod       podRef `json:"pod"`
	Container string `json:"container"`
}

// policy is the name of the NetworkPolicy, label that of the pods that it is about, and
// value that of the label.
func (u denyUndo) policy() string { return "firedrill-deny-" + u.ID }
func (u denyUndo) label() string  { return "firedrill.dev/deny-" + u.ID }
func (u denyUndo) value() string  { return cmp.Or(u.Run, "true") }

// namespaces are those of the pods, with the access to each.
func (u denyUndo) namespaces() (all []kube.Place) {
	for _, r := range u.Pods {
		p := kube.Place{Access: r.Place.Access, Namespace: r.Place.Namespace}
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

func (u denyUndo) paths() (all []path) {
	for _, r := range u.Pods {
		if r.Path != nil {
			all = append(all, *r.Path)
		}
	}
	return all
}

// object is the policy: it allows the pods with the label the exceptions, and no more.
func (f *networkPolicyDeny) object(u denyUndo, ns string) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{
			Name: u.policy(), Namespace: ns, Labels: map[string]string{"app.kubernetes.io/managed-by": "firedrill", kube.RunLabel: u.Run},
		},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{u.label(): u.value()}}, PolicyTypes: f.spec.types(),
		},
	}
	var peers []networkingv1.NetworkPolicyPeer
	for _, n := range f.spec.Except {
		peers = append(peers, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: n}})
	}
	if len(peers) == 0 {
		return p
	}
	if f.spec.Direction != "out" {
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: peers}}
	}
	if f.spec.Direction != "in" {
		p.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{To: peers}}
	}
	return p
}

// refuseOthers refuses a pod that another policy allows something: it still would.
func (f *networkPolicyDeny) refuseOthers(ctx context.Context, p livePod) error {
	list, err := p.cluster.Client.NetworkingV1().NetworkPolicies(p.Place.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return p.cluster.Explain("list the network policies in namespace "+p.Place.Namespace, err)
	}
	for _, o := range list.Items {
		s, err := metav1.LabelSelectorAsSelector(&o.Spec.PodSelector)
		if err != nil || !s.Matches(labels.Set(p.pod.Labels)) {
			continue
		}
		if f.spec.Direction != "out" && len(o.Spec.Ingress) > 0 || f.spec.Direction != "in" && len(o.Spec.Egress) > 0 {
			return fmt.Errorf("NetworkPolicy %s/%s allows %s something, and would go on to: policies add up, one cannot take away what another one gives", o.Namespace, o.Name, p)
		}
	}
	return nil
}

// label sets a label of the pod, or removes it if the value is nil.
func (r podRef) label(ctx context.Context, name string, value any) error {
	c, err := r.Place.Open()
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": r.UID, "labels": map[string]any{name: value}}})
	if err != nil {
		return err
	}
	_, err = c.Client.CoreV1().Pods(r.Place.Namespace).Patch(ctx, r.Place.Pod, types.MergePatchType, patch, metav1.PatchOptions{})
	return c.Explain("label "+r.String(), err)
}

// remove deletes the policies and takes the labels away. Who has gone took them along.
func (u denyUndo) remove(ctx context.Context) error {
	for _, where := range u.namespaces() {
		c, err := where.Open()
		if err != nil {
			return err
		}
		err = c.Client.NetworkingV1().NetworkPolicies(where.Namespace).Delete(ctx, u.policy(), metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return c.Explain(fmt.Sprintf("delete NetworkPolicy %s/%s", where.Namespace, u.policy()), err)
		}
		list, err := c.Client.CoreV1().Pods(where.Namespace).List(ctx, metav1.ListOptions{LabelSelector: u.label()})
		if err != nil {
			return c.Explain("list the pods in namespace "+where.Namespace, err)
		}
		for i := range list.Items {
			p := &list.Items[i]
			r := podRef{Place: kube.Place{Access: where.Access, Namespace: p.Namespace, Pod: p.Name}, UID: p.UID}
			if err := r.label(ctx, u.label(), nil); err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// there says what of the fault is there, nil if nothing is.
func (u denyUndo) there(ctx context.Context) (what, err error) {
	for _, where := range u.namespaces() {
		c, err := where.Open()
		if err != nil {
			return nil, err
		}
		_, err = c.Client.NetworkingV1().NetworkPolicies(where.Namespace).Get(ctx, u.policy(), metav1.GetOptions{})
		if err == nil {
			return fmt.Errorf("NetworkPolicy %s/%s is still there", where.Namespace, u.policy()), nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, c.Explain(fmt.Sprintf("look at NetworkPolicy %s/%s", where.Namespace, u.policy()), err)
		}
		list, err := c.Client.CoreV1().Pods(where.Namespace).List(ctx, metav1.ListOptions{LabelSelector: u.label()})
		if err != nil {
			return nil, c.Explain("list the pods in namespace "+where.Namespace, err)
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("pod %s/%s still has the label %s", where.Namespace, list.Items[0].Name, u.label()), nil
		}
	}
	return nil, nil
}

// whole returns an error if a part of the fault is not there any more.
func (u denyUndo) whole(ctx context.Context) error {
	for _, where := range u.namespaces() {
		c, err := where.Open()
		if err != nil {
			return err
		}
		if _, err := c.Client.NetworkingV1().NetworkPolicies(where.Namespace).Get(ctx, u.policy(), metav1.GetOptions{}); err != nil {
			return c.Explain(fmt.Sprintf("look at NetworkPolicy %s/%s", where.Namespace, u.policy()), err)
		}
	}
	for _, r := range u.Pods {
		n, err := r.now(ctx)
		switch {
		case err != nil:
			return err
		case !n.same:
			return fmt.Errorf("%s is %s: what is there now is not cut off", r, n)
		case n.pod.Labels[u.label()] == "":
			return fmt.Errorf("%s has lost the label %s: it is not cut off any more", r, u.label())
		}
	}
	return nil
}

// errConnects says that a command could connect where it should not.
var errConnects = errors.New("the command of try still succeeds")

// cutOff returns nil if the command does not succeed any more.
func (t try) cutOff(ctx context.Context, f *networkPolicyDeny) error {
	c, err := t.Pod.Place.Open()
	if err != nil {
		return poll.Stop(err)
	}
	err = f.exec(ctx, c, t.Pod, t.Container, f.spec.Try)
	switch {
	case err == nil:
		return fmt.Errorf("%s: %w", t.Pod, errConnects)
	case exitCode(err) > 0 && !noProgram(err):
		return nil
	}
	return err
}
