package lab

import (
	"encoding/json"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// ClusterComponents are the names of the components in the topology of the lab
// kubernetes: one for each workload.
func ClusterComponents() (names []string) {
	for _, w := range workloads() {
		names = append(names, w.Name)
	}
	return names
}

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
	for _, w := range workloads() {
		with, err := json.Marshal(map[string]any{
			"kubeconfig": k.kubeconfig(), "namespace": ShopNamespace, "selector": "app=" + w.Name, "replicas": w.Replicas,
		})
		if err != nil {
			return s, err
		}
		s.Components = append(s.Components, topology.ComponentSpec{
			Name: w.Name, Kind: "kubernetes", Failover: "automatic", Objectives: topology.Objectives{RTO: &rto}, With: with,
		})
	}
	return s, nil
}
