package lab

import (
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// NodesComponent is the name of the component of nodes in the topology of the lab
// kubernetes.
const NodesComponent = "nodes"

// ClusterComponents are the names of the components in the topology of the lab
// kubernetes that are workloads.
func ClusterComponents() (names []string) {
	for _, w := range workloads() {
		names = append(names, w.Name)
	}
	return names
}

// ClusterRoute is the name of the route to a component that is a workload: its
// Service.
func ClusterRoute(component string) string { return component + "-service" }

// describe: pods come and go, so that members are found and not named.
func (k *kubernetes) describe() (topology.Spec, error) {
	var rto spec.Duration
	if err := rto.UnmarshalJSON([]byte(`"30s"`)); err != nil {
		return topology.Spec{}, err
	}
	s := topology.Spec{}
	for _, n := range k.nodes {
		s.Sites = append(s.Sites, topology.Site{Name: n.zone})
	}
	access := kube.Access{Kubeconfig: k.kubeconfig()}
	add := func(name, kind string, with any) {
		s.Components = append(s.Components, topology.ComponentSpec{
			Name: name, Kind: kind, Failover: "automatic", Objectives: topology.Objectives{RTO: &rto}, With: withoutEmpty(with),
		})
	}
	for _, w := range workloads() {
		add(w.Name, kube.PodsKind, kube.PodsSpec{
			Access: access, Namespace: ShopNamespace, Selector: "app=" + w.Name, Replicas: w.Replicas, Service: w.Name, Port: podPort,
			Agent: kube.AgentSpec{Image: FiredrillImage, ImagePullPolicy: "Never"},
		})
		s.Routes = append(s.Routes, topology.RouteSpec{
			Name: ClusterRoute(w.Name), Component: w.Name, Kind: "fixed", Address: w.service(), Serves: "any",
		})
	}
	add(NodesComponent, kube.NodesKind, kube.NodesSpec{Access: access})
	return s, nil
}
