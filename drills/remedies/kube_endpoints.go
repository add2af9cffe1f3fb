package remedies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills"
	"firedrill/drills/topology"
)

// EndpointsSetSpec says where a Service without a selector is to lead.
type EndpointsSetSpec struct {
	// Service is the Service, in the component's namespace; default: the component's
	// own.
	Service string `json:"service,omitempty"`
	// Slice is its EndpointSlice; default: the only one it has.
	Slice string `json:"slice,omitempty"`
	// Addresses are the IP addresses that it is to lead to, and to no others.
	Addresses []string `json:"addresses" jsonschema:"minItems=1"`
	// Port is where those listen; default: the port stays.
	Port int `json:"port,omitempty" jsonschema:"minimum=0,maximum=65535"`
}

type endpointsSet struct{ spec EndpointsSetSpec }

func newEndpointsSet(s EndpointsSetSpec) (drills.Remedy, error) {
	if len(s.Addresses) == 0 {
		return nil, errors.New("with.addresses: name where the Service is to lead")
	}
	first := netip.Addr{}
	for i, text := range s.Addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("with.addresses[%d]: want an IP address: %w", i, err)
		}
		if i == 0 {
			first = a
		}
		if a.Is4() != first.Is4() {
			return nil, errors.New("with.addresses: an EndpointSlice has addresses of IPv4 or of IPv6, not of both")
		}
		if slices.Contains(s.Addresses[:i], text) {
			return nil, fmt.Errorf("with.addresses[%d]: %s is there twice", i, text)
		}
	}
	return endpointsSet{s}, nil
}

// leading is where an EndpointSlice leads.
type leading struct {
	Endpoints []discoveryv1.Endpoint     `json:"endpoints"`
	Ports     []discoveryv1.EndpointPort `json:"ports"`
}

// resetting is what one remedy does to an EndpointSlice, and what Revert needs.
type resetting struct {
	Object kubeObject `json:"object"`
	Was    leading    `json:"was"`
	Now    leading    `json:"now"`
}

// Privileges implements drills.Privileged.
func (r endpointsSet) Privileges(c *topology.Component) []topology.Privilege {
	o, err := serviceOf(c, r.spec.Service)
	if err != nil {
		return nil // Apply says so
	}
	const who = "endpoints-set"
	return []topology.Privilege{
		{Resource: "services", Verbs: []string{"get"}, Namespace: o.Namespace, For: who},
		{Group: "discovery.k8s.io", Resource: "endpointslices", Verbs: []string{"get", "list", "patch"}, Namespace: o.Namespace, For: who},
	}
}

// Apply leads the Service to the addresses.
func (r endpointsSet) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	service, err := serviceOf(t.Component, r.spec.Service)
	if err != nil {
		return err
	}
	now, err := patiently(ctx, service.get)
	if err != nil {
		return err
	}
	var selector map[string]string
	if err := field(now, &selector, "spec", "selector"); err != nil {
		return err
	}
	if len(selector) > 0 {
		return fmt.Errorf("%s: %s: it selects %s, and Kubernetes would set its endpoints anew: use service-select", service, service.says(), words(selector))
	}
	s, err := patiently(ctx, func(ctx context.Context) (resetting, error) { return r.plan(ctx, service) })
	if err != nil {
		return fmt.Errorf("%s: %s: %w", service, service.says(), err)
	}
	step := topology.Step{Name: "set endpoints of service/" + service.Name}
	if s.Was.same(s.Now) {
		step.Detail = "leads to " + s.Now.String() + " already"
		log.Step(step)
		return nil
	}
	undo, err := undoWith(fmt.Sprintf("lead %s to %s again", s.Object, s.Was), s)
	if err != nil {
		return err
	}
	return deed(log, step, undo, func() (string, error) {
		return "led to " + s.Was.String() + " before, to " + s.Now.String() + " now", s.turn(ctx, s.Was, s.Now)
	})
}

// plan finds the EndpointSlice, and says what is to become of it.
func (r endpointsSet) plan(ctx context.Context, service kubeObject) (s resetting, err error) {
	slice, err := r.slice(ctx, service)
	if err != nil {
		return s, err
	}
	s.Object = kubeObject{
		Access: service.Access, Namespace: service.Namespace, Group: discoveryv1.GroupName, Version: "v1",
		Resource: "endpointslices", Kind: "endpointslice", Name: slice.Name, UID: slice.UID,
	}
	s.Was = leading{Endpoints: slice.Endpoints, Ports: slice.Ports}
	for _, address := range r.spec.Addresses {
		ready := true
		s.Now.Endpoints = append(s.Now.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	for _, p := range slice.Ports {
		if r.spec.Port > 0 {
			to := int32(r.spec.Port)
			p.Port = &to
		}
		s.Now.Ports = append(s.Now.Ports, p)
	}
	if r.spec.Port > 0 && len(slice.Ports) != 1 {
		return s, fmt.Errorf("with.port: EndpointSlice %s has %d ports: leave with.port out to keep them", slice.Name, len(slice.Ports))
	}
	return s, nil
}

// slice is the one to change.
func (r endpointsSet) slice(ctx context.Context, service kubeObject) (discoveryv1.EndpointSlice, error) {
	all, err := slicesOf(ctx, service)
	if err != nil {
		return discoveryv1.EndpointSlice{}, err
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	if r.spec.Slice != "" {
		all = slices.DeleteFunc(all, func(s discoveryv1.EndpointSlice) bool { return s.Name != r.spec.Slice })
	}
	if len(all) != 1 {
		return discoveryv1.EndpointSlice{}, fmt.Errorf("it has %d EndpointSlices (%s): name the one to change in with.slice", len(names), orNobody(names))
	}
	s := all[0]
	if by := s.Labels[discoveryv1.LabelManagedBy]; strings.HasPrefix(by, "endpointslice") && strings.HasSuffix(by, ".k8s.io") {
		return s, fmt.Errorf("EndpointSlice %s is kept by %s, which would undo that: change the object that it follows", s.Name, by)
	}
	want := discoveryv1.AddressTypeIPv6
	if netip.MustParseAddr(r.spec.Addresses[0]).Is4() {
		want = discoveryv1.AddressTypeIPv4
	}
	if s.AddressType != want {
		return s, fmt.Errorf("EndpointSlice %s has addresses of %s, and with.addresses are of %s", s.Name, s.AddressType, want)
	}
	return s, nil
}

// turn changes where the EndpointSlice leads. What somebody else has set meanwhile
// stays.
func (s resetting) turn(ctx context.Context, from, to leading) error {
	return s.Object.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		var is leading
		if err := errors.Join(field(now, &is.Endpoints, "endpoints"), field(now, &is.Ports, "ports")); err != nil || is.same(to) {
			return nil, err
		}
		if !is.same(from) {
			return nil, fmt.Errorf("somebody else has it lead to %s meanwhile, which stays; wanted was %s in place of %s", is, to, from)
		}
		patch := map[string]any{}
		text, err := json.Marshal(to)
		if err == nil {
			err = json.Unmarshal(text, &patch)
		}
		return patch, err
	})
}

// same compares all of it, as an undo restores all of it.
func (l leading) same(other leading) bool {
	return equality.Semantic.DeepEqual(l, other)
}

// String says where it leads, for people.
func (l leading) String() string {
	var to []string
	for _, e := range l.Endpoints {
		to = append(to, e.Addresses...)
	}
	ports := ""
	for _, p := range l.Ports {
		if p.Port != nil {
			ports += fmt.Sprintf(" port %d", *p.Port)
		}
	}
	return orNobody(to) + ports
}

// Revert implements drills.Reverter.
func (endpointsSet) Revert(ctx context.Context, u drills.Undo) error {
	var s resetting
	if err := readUndo(u, &s); err != nil {
		return err
	}
	return s.turn(ctx, s.Now, s.Was)
}
