package injectors

import (
	"strings"

	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// need is what a fault does with objects of one sort, or with the one of that name.
type need struct{ group, resource, verbs, name string }

var (
	// What looks at nodes and changes them.
	nodeNeeds = []need{{"", "nodes", "get list patch", ""}}
	// What sees pods leave.
	leaveNeeds = []need{{"discovery.k8s.io", "endpointslices", "list", ""}}
	// What evicts pods.
	evictNeeds = []need{{"", "pods/eviction", "create", ""}, {"policy", "poddisruptionbudgets", "list", ""}}
	// What runs commands in containers. Which verb opens the connection depends on the
	// versions of both sides.
	execNeeds = []need{{"", "pods/exec", "create get", ""}}
)

// podNeeds finds the pods of a target, and what keeps them. Whose namespaces they are in
// is asked for those whose component does not ask it.
func podNeeds(c *topology.Component) []need {
	all := append([]need{{"", "pods", "get list", ""}}, workloadNeeds(c, "get")...)
	if _, ok := c.Adapter.(*kube.Pods); !ok {
		all = append(all, need{"", "namespaces", "get", ""})
	}
	return all
}

// workloadNeeds is what does something with the workload of a component: the one that
// it names, or whichever keeps the pods.
func workloadNeeds(c *topology.Component, verbs string) []need {
	if a, ok := c.Adapter.(*kube.Pods); ok {
		if w, err := kube.ParseWorkload(a.Spec.Workload); err == nil {
			return []need{{"apps", w.Resource(), verbs, w.Name}}
		}
	}
	var all []need
	for _, kind := range []string{kube.ReplicaSet, kube.Deployment, kube.StatefulSet, kube.DaemonSet} {
		if kind == kube.DaemonSet && verbs != "get" {
			continue // it has no replicas to set
		}
		all = append(all, need{"apps", kube.Workload{Kind: kind}.Resource(), verbs, ""})
	}
	return all
}

// needs are the privileges of a fault on a component.
func needs(c *topology.Component, fault string, lists ...[]need) (all []topology.Privilege) {
	ns := ""
	if _, nodes := c.Adapter.(*kube.Nodes); nodes {
		ns = kube.Everywhere // pods of any namespace run there
	} else if found, err := kube.NamespaceOf(c); err == nil {
		ns = found
	}
	for _, list := range lists {
		for _, n := range list {
			p := topology.Privilege{Group: n.group, Resource: n.resource, Verbs: strings.Fields(n.verbs), Namespace: ns, For: fault}
			if kube.Wide(n.resource) {
				p.Namespace = ""
			}
			if n.name != "" {
				p.Names = []string{n.name}
			}
			all = append(all, p)
		}
	}
	return all
}
