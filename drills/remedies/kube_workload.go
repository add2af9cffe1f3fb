package remedies

import (
	"cmp"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// workloadOf is the workload that a remedy acts on: the named one, else the one that
// the component's pods are kept by.
func workloadOf(c *topology.Component, named string) (kubeObject, error) {
	at, namespace, err := kubeHome(c)
	if err != nil {
		return kubeObject{}, err
	}
	if pods, ok := c.Adapter.(*kube.Pods); ok {
		named = cmp.Or(named, pods.Spec.Workload)
	}
	if named == "" {
		return kubeObject{}, fmt.Errorf("component %s does not say which workload keeps its pods: give with.workload, here or there", c.Name())
	}
	w, err := kube.ParseWorkload(named)
	if err != nil {
		return kubeObject{}, fmt.Errorf("with.%w", err)
	}
	gvr := w.GVR()
	return kubeObject{
		Access: at, Namespace: namespace, Group: gvr.Group, Version: gvr.Version, Resource: gvr.Resource, Kind: w.Kind, Name: w.Name,
	}, nil
}

// checkWorkload refuses the name of what is no workload; "" is left to the component.
func checkWorkload(named string) error {
	if named == "" {
		return nil
	}
	if _, err := kube.ParseWorkload(named); err != nil {
		return fmt.Errorf("with.%w", err)
	}
	return nil
}

// workloadPrivileges are what a remedy that patches a workload needs.
func workloadPrivileges(c *topology.Component, named, remedy string) []topology.Privilege {
	o, err := workloadOf(c, named)
	if err != nil {
		return nil // Apply says so
	}
	return []topology.Privilege{o.privilege(remedy)}
}

// replicasOf are the pods that a workload is to have.
func replicasOf(now *unstructured.Unstructured) (int, error) {
	n := 1 // the API's default
	err := field(now, &n, "spec", "replicas")
	return n, err
}

// kept is what keeps a workload as it is to be, "" if people do.
func kept(now *unstructured.Unstructured) string {
	if by := metav1.GetControllerOf(now); by != nil {
		return by.Kind + " " + by.Name
	}
	return ""
}

// observed tells whether the numbers in an object's status are about its present spec.
func observed(now *unstructured.Unstructured) error {
	var seen int64
	if err := field(now, &seen, "status", "observedGeneration"); err != nil {
		return err
	}
	if seen < now.GetGeneration() {
		return fmt.Errorf("its controller has not seen the change yet")
	}
	return nil
}

// mark is kept in an annotation of an object while a change is to be taken back: the
// same patch sets both, so that a remedy that was interrupted knows what it did.
func readMark(now *unstructured.Unstructured, name string, into any) (found bool, err error) {
	text, found := now.GetAnnotations()[name]
	if !found {
		return false, nil
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return true, fmt.Errorf("its annotation %s: %w", name, err)
	}
	return true, nil
}
