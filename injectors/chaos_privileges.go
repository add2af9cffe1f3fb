package injectors

import (
	"cmp"
	"strings"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"

	"firedrill/drills/topology"
)

// Privileges implements drills.Privileged. The webhooks of Chaos Mesh are asked for
// where it is only if that may be read.
func (f *chaosFault) Privileges(c *topology.Component) []topology.Privilege {
	const fault = "chaos-mesh"
	group := v1alpha1.SchemeGroupVersion.Group
	list := []need{{group, strings.ToLower(f.kind), "create get list patch delete", ""}}
	if n, ok := chaosNotesOf[f.kind]; ok {
		list = append(list, need{group, n.resource, "get patch", ""})
	}
	if f.spec.ReplacePods {
		list = append(list, need{"", "pods", "delete", ""})
	}
	if f.onMachines() {
		return needs(c, fault, []need{{"", "nodes", "get", ""}}, list)
	}
	lists := [][]need{podNeeds(c), list}
	if f.kind == "PodChaos" {
		lists = append(lists, leaveNeeds)
	}
	all := needs(c, fault, lists...)
	if f.needsDaemon() {
		all = append(all, topology.Privilege{
			Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"list"},
			Namespace: cmp.Or(f.spec.ChaosNamespace, chaosDefaultNamespace), For: fault + ", its daemons",
		})
	}
	return all
}
