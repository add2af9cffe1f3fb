package injectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

// NetworkPolicyDenySpec cuts pods off by a NetworkPolicy that allows them nothing. It
// needs a network plugin that enforces such policies, and says so if there is none.
// Policies add up: pods that another policy allows something are refused.
type NetworkPolicyDenySpec struct {
	// Direction says which connections are denied: those that the pods open ("out"),
	// those that they are to accept ("in"), or both.
	Direction string `json:"direction,omitempty" jsonschema:"enum=both,enum=in,enum=out"`
	// Except are networks (CIDR, "10.1.0.0/16") with which connections go on.
	Except []string `json:"except,omitempty"`
	// Try is a command that a container of each pod runs as a witness: it ends with
	// exit code 0 if it could connect to where it should not be able to any more. It
	// must do so before the fault. Without it, connections from the runner to the pods
	// are the witness, which only "in" and "both" cut.
	Try []string `json:"try,omitempty"`
	// Container is the one that runs Try; default: the pod's main one.
	Container string `json:"container,omitempty"`
}

var networkPolicyDenyDefaults = NetworkPolicyDenySpec{Direction: "both"}

type networkPolicyDeny struct {
	spec NetworkPolicyDenySpec
	exec execIn
}

func newNetworkPolicyDeny(s NetworkPolicyDenySpec) (drills.Injector, error) {
	if !slices.Contains([]string{"both", "in", "out"}, s.Direction) {
		return nil, fmt.Errorf("direction: %q: want both, in or out", s.Direction)
	}
	if s.Direction == "out" && len(s.Try) == 0 {
		return nil, errors.New("direction: out cuts connections that the pods open, and only a command in a pod can tell whether it does: name one (try)")
	}
	if s.Container != "" && len(s.Try) == 0 {
		return nil, errors.New("container: it is for the command of try")
	}
	for i, text := range s.Except {
		if _, _, err := net.ParseCIDR(text); err != nil {
			return nil, fmt.Errorf("except[%d]: %w", i, err)
		}
	}
	return &networkPolicyDeny{spec: s, exec: execInPod}, nil
}

// types are the policy's.
func (s NetworkPolicyDenySpec) types() []networkingv1.PolicyType {
	switch s.Direction {
	case "in":
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	case "out":
		return []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
}

// Privileges implements drills.Privileged.
func (f *networkPolicyDeny) Privileges(c *topology.Component) []topology.Privilege {
	use := []need{{"networking.k8s.io", "networkpolicies", "get list create delete", ""}, {"", "pods", "patch", ""}}
	if len(f.spec.Try) > 0 {
		use = append(use, execNeeds...)
	}
	return needs(c, "network-policy-deny", podNeeds(c), use)
}

// Prepare tries the connections that the fault will cut.
func (f *networkPolicyDeny) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	pods, err := targetPods(ctx, t)
	if err == nil {
		err = guardPods(ctx, t, pods)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	for _, p := range pods {
		if p.pod.Spec.HostNetwork {
			return drills.Undo{}, fmt.Errorf("%s uses the network of its node: no NetworkPolicy is about it", p)
		}
	}
	u := denyUndo{ID: newID(), Run: t.Run}
	if u.Tries, err = f.witnesses(ctx, t, pods); err != nil {
		return drills.Undo{}, err
	}
	u.Pods = refs(pods)
	for _, p := range pods {
		if err := f.refuseOthers(ctx, p); err != nil {
			return drills.Undo{}, err
		}
	}
	return writeUndo(fmt.Sprintf("delete NetworkPolicy %s, unlabel %s", u.policy(), strings.Join(podNames(u.Pods), ", ")), u)
}

// witnesses finds out what comes about now and will not with the fault.
func (f *networkPolicyDeny) witnesses(ctx context.Context, t drills.Target, pods []livePod) (tries []try, err error) {
	if len(f.spec.Try) == 0 {
		tryPaths(ctx, pods, addressOf(t))
		if err := refuseUnseen(pods); err != nil {
			return nil, err
		}
		return nil, f.refuseOwn(pods)
	}
	for _, p := range pods {
		c, err := containerOf(p, f.spec.Container)
		if err == nil {
			err = f.exec(ctx, p.cluster, p.podRef, c.Name, f.spec.Try)
		}
		if err != nil {
			return nil, fmt.Errorf("try, before the fault: %w", err)
		}
		tries = append(tries, try{Pod: p.podRef, Container: c.Name})
	}
	return tries, nil
}

// refuseUnseen refuses a fault that nobody could see: that no connection comes about
// proves nothing if none did before.
func refuseUnseen(pods []livePod) error {
	if slices.ContainsFunc(pods, func(p livePod) bool { return p.Path != nil }) {
		return nil
	}
	return fmt.Errorf("the runner cannot connect to %s, so that it could not see whether the fault acts: run it where it reaches the pods and say where they listen (the component's with.port), or name a command (with.try)",
		strings.Join(podNames(refs(pods)), ", "))
}

// refuseOwn refuses an exception for the runner itself: it could not see the fault.
func (f *networkPolicyDeny) refuseOwn(pods []livePod) error {
	for _, p := range pods {
		if p.Path == nil {
			continue
		}
		own, err := ownAddress(p.Path.Address)
		if err != nil {
			return err
		}
		for _, text := range f.spec.Except {
			if _, n, err := net.ParseCIDR(text); err == nil && n.Contains(own) {
				return fmt.Errorf("the runner itself (%s) is in except %s: it could not see whether the fault acts: name networks without it, or a command (with.try)", own, text)
			}
		}
	}
	return nil
}

// ownAddress is the one that connections to an address come from; nothing is sent.
func ownAddress(to string) (net.IP, error) {
	c, err := net.Dial("udp", to) //nolint:noctx // it only asks the routing table
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).IP, nil
}

// Inject makes the policy, which is about nobody, and then labels the pods, all at
// once.
func (f *networkPolicyDeny) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u denyUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	for _, where := range u.namespaces() {
		c, err := where.Open()
		if err != nil {
			return err
		}
		_, err = c.Client.NetworkingV1().NetworkPolicies(where.Namespace).Create(ctx, f.object(u, where.Namespace), metav1.CreateOptions{})
		if err != nil {
			return c.Explain(fmt.Sprintf("make NetworkPolicy %s/%s", where.Namespace, u.policy()), err)
		}
	}
	return atOnce(u.Pods, func(r podRef) error { return r.label(ctx, u.label(), u.value()) })
}

// Revert deletes the policy, takes the labels away and reads both back.
func (*networkPolicyDeny) Revert(ctx context.Context, undo drills.Undo) error {
	var u denyUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, u.revert)
}

func (u denyUndo) revert(ctx context.Context) error {
	err := settled(ctx, func() (bool, error) {
		there, err := u.there(ctx)
		return err == nil && there == nil, err
	})
	if err != nil {
		return err
	}
	return poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		if err := u.remove(ctx); err != nil {
			return poll.Stop(err)
		}
		there, err := u.there(ctx)
		return errors.Join(there, err)
	})
}

// Confirm has connections for a witness which came about before and do not any more.
func (f *networkPolicyDeny) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u denyUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	paths := u.paths()
	var said []string
	err := poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		said = said[:0]
		errs := each(paths, func(p *path) error { return p.cutOff(ctx, true) })
		for _, t := range u.Tries {
			errs = append(errs, t.cutOff(ctx, f))
		}
		for _, p := range paths {
			said = append(said, p.From+" to "+p.To)
		}
		for _, t := range u.Tries {
			said = append(said, "by try in "+t.Pod.Member)
		}
		return errors.Join(errs...)
	})
	if err != nil {
		return "", fmt.Errorf("no network plugin seems to enforce NetworkPolicies here (many also spare connections from a pod's own node): %w", err)
	}
	return "connections that came about before do not any more: " + strings.Join(said, ", "), nil
}

// Held implements drills.Holder.
func (*networkPolicyDeny) Held(ctx context.Context, undo drills.Undo) error {
	var u denyUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return u.whole(ctx)
}
