package remedies

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// serviceOf is the Service that a remedy acts on: the named one, else the one that
// clients reach the component through.
func serviceOf(c *topology.Component, named string) (kubeObject, error) {
	at, namespace, err := kubeHome(c)
	if err != nil {
		return kubeObject{}, err
	}
	if pods, ok := c.Adapter.(*kube.Pods); ok {
		named = cmp.Or(named, pods.Spec.Service)
	}
	if named == "" {
		return kubeObject{}, fmt.Errorf("component %s does not say which Service leads to it: give with.service, here or there", c.Name())
	}
	return kubeObject{Access: at, Namespace: namespace, Version: "v1", Resource: "services", Kind: "service", Name: named}, nil
}

// slicesOf are the EndpointSlices of a Service, by name.
func slicesOf(ctx context.Context, service kubeObject) ([]discoveryv1.EndpointSlice, error) {
	c, err := service.Open()
	if err != nil {
		return nil, err
	}
	list, err := c.Client.DiscoveryV1().EndpointSlices(service.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + service.Name,
	})
	if err != nil {
		return nil, c.Explain("list the EndpointSlices of "+service.String(), err)
	}
	slices.SortFunc(list.Items, func(a, b discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}
