package injectors

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	pathpkg "path"
	"slices"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"firedrill/drills"
)

// planMachines compares the machines that the spec names with the target's nodes: each
// must be one of them.
func (f *chaosFault) planMachines(ctx context.Context, t drills.Target, u *chaosUndo) error {
	nodes, err := targetNodes(ctx, t)
	if err != nil {
		return err
	}
	machines, err := f.machines()
	if err != nil {
		return err
	}
	for _, m := range machines {
		if !slices.ContainsFunc(nodes, func(n liveNode) bool { return slices.Contains(machineNames(n.node), m) }) {
			return fmt.Errorf("spec: machine %s is not the drill's to break: its targets are the nodes %v", m, nodeNames(nodeRefs(nodes)))
		}
	}
	if len(machines) != len(nodes) {
		return fmt.Errorf("spec: it names %d machines, and the drill's targets are the %d nodes %v", len(machines), len(nodes), nodeNames(nodeRefs(nodes)))
	}
	c := nodes[0].cluster
	u.Access, u.Namespace = nodes[0].Place.Access, cmp.Or(nodes[0].Place.Namespace, c.Namespace)
	lasts, err := f.lasts(t)
	u.Spec = f.filled(nil, nil, lasts).spec
	return err
}

// machineNames are what a cloud calls a node, and its addresses.
func machineNames(n *corev1.Node) []string {
	names := []string{pathpkg.Base(n.Spec.ProviderID)}
	for _, a := range n.Status.Addresses {
		names = append(names, a.Address)
	}
	return names
}

// machines are those that the spec names: instances of a cloud, or the hosts of
// addresses.
func (m chaosManifest) machines() ([]string, error) {
	o, err := m.typed()
	if err != nil {
		return nil, err
	}
	switch o := o.(type) {
	case *v1alpha1.AWSChaos:
		return []string{o.Spec.Ec2Instance}, nil
	case *v1alpha1.AzureChaos:
		return []string{o.Spec.VMName}, nil
	case *v1alpha1.GCPChaos:
		return []string{o.Spec.Instance}, nil
	case *v1alpha1.PhysicalMachineChaos:
		if !o.Spec.Selector.Empty() || len(o.Spec.Address) == 0 {
			return nil, fmt.Errorf("spec.address: is needed, and no selector: only so can it be told that the machines are the drill's")
		}
		var hosts []string
		for _, a := range o.Spec.Address {
			at, err := url.Parse(a)
			if err != nil || at.Hostname() == "" {
				return nil, fmt.Errorf("spec.address: %q: want http://HOST:PORT", a)
			}
			hosts = append(hosts, at.Hostname())
		}
		return hosts, nil
	}
	return nil, fmt.Errorf("kind: %s breaks no machines", m.kind)
}
