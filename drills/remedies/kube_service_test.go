package remedies_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"firedrill/drills"
	"firedrill/drills/topology"
)

func service(selector map[string]string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "api", Namespace: "shop", UID: "uid-1"}, Spec: corev1.ServiceSpec{Selector: selector},
	}
}

func slice(name string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	port, none, tcp := int32(8080), "", corev1.ProtocolTCP
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Namespace: "shop", UID: "uid-1", Labels: map[string]string{discoveryv1.LabelServiceName: "api"}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints, Ports: []discoveryv1.EndpointPort{{Name: &none, Port: &port, Protocol: &tcp}},
	}
}

func endpoint(address, pod string) discoveryv1.Endpoint {
	e := discoveryv1.Endpoint{Addresses: []string{address}}
	if pod != "" {
		e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod}
	}
	return e
}

// bodies are the patches as they were sent.
func (f *fakeCluster) bodies(t *testing.T) (all []string) {
	t.Helper()
	for _, text := range f.patches(t) {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &m))
		if _, has := m["metadata"]; !has {
			m["metadata"] = map[string]any{}
		}
		b, err := json.Marshal(m)
		require.NoError(t, err)
		all = append(all, string(b))
	}
	return all
}

func (f *fakeCluster) selector(t *testing.T) map[string]string {
	t.Helper()
	m, _, err := unstructured.NestedStringMap(f.stored(t, "", "services", "api").Object, "spec", "selector")
	require.NoError(t, err)
	return m
}

func TestServiceSelect(t *testing.T) {
	was := map[string]string{"app": "api", "version": "blue", "canary": "no"}
	green := map[string]string{"app": "api", "version": "green"}
	f := newFakeCluster(t, service(was), deployment("api", 1), running("green-1", green), running("blue-1", was),
		slice("api-1", endpoint("10.0.0.1", "green-1")))
	f.conflict()
	r := with(t, "service-select", map[string]any{"selector": map[string]string{"version": "green"}, "remove": []string{"canary"}})
	log := &book{}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
	assert.Equal(t, green, f.selector(t))
	assert.Equal(t, []topology.Step{
		{Name: "select pods of service/api", Detail: "selected app=api, canary=no, version=blue before, app=api, version=green now"},
		{Name: "wait for endpoints", Detail: "leads to 1 ready pods"},
	}, log.steps)
	assert.JSONEq(t, `{"metadata":{},"spec":{"selector":{"canary":null,"version":"green"}}}`, f.bodies(t)[1], "only what changes")

	again := &book{}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), again))
	assert.Empty(t, again.undos)
	assert.Contains(t, again.steps[0].Detail, "already")

	twice(t, r, log.undos[0])
	assert.Equal(t, was, f.selector(t))

	third := map[string]string{"app": "new"}
	f.set(t, service(third), "services")
	err := r.(drills.Reverter).Revert(t.Context(), log.undos[0])
	require.ErrorContains(t, err, "service/api in namespace shop: API server https://fake.example:6443 (fake): somebody else has it select app=new")
	assert.Equal(t, third, f.selector(t))
}

func TestServiceSelectRefuses(t *testing.T) {
	green := map[string]any{"selector": map[string]string{"version": "green"}, "timeout": "250ms"}
	blue := map[string]string{"app": "api", "version": "blue"}
	f := newFakeCluster(t, service(blue), deployment("api", 1), running("blue-1", blue))
	log := &book{}
	err := with(t, "service-select", green).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "not changed: no pod with app=api, version=green is ready")
	assert.Empty(t, log.intents)

	err = with(t, "service-select", map[string]any{"remove": []string{"app", "version"}}).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "no selector left")

	f = newFakeCluster(t, service(nil), deployment("api", 1))
	err = with(t, "service-select", green).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "it has no selector")

	f = newFakeCluster(t, service(blue), deployment("api", 1), running("green-1", map[string]string{"app": "api", "version": "green"}),
		slice("api-1", endpoint("10.0.0.1", "blue-1")))
	err = with(t, "service-select", green).Apply(t.Context(), f.pods(t), log)
	require.ErrorContains(t, err, "EndpointSlice api-1 still leads to pod blue-1 (not so after 250ms)")
}

func (f *fakeCluster) leads(t *testing.T) (to []string, port int) {
	t.Helper()
	text, err := json.Marshal(f.stored(t, "discovery.k8s.io", "endpointslices", "api-1").Object)
	require.NoError(t, err)
	var s discoveryv1.EndpointSlice
	require.NoError(t, json.Unmarshal(text, &s))
	for _, e := range s.Endpoints {
		to = append(to, e.Addresses...)
	}
	return to, int(*s.Ports[0].Port)
}

func TestEndpointsSet(t *testing.T) {
	e := endpoint("10.0.0.1", "")
	zone := "a"
	e.Zone = &zone
	f := newFakeCluster(t, service(nil), slice("api-1", e), deployment("api", 1))
	f.conflict()
	r := with(t, "endpoints-set", map[string]any{"addresses": []string{"10.0.1.1", "10.0.1.2"}, "port": 9090})
	log := &book{}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), log))
	to, port := f.leads(t)
	assert.Equal(t, []string{"10.0.1.1", "10.0.1.2"}, to)
	assert.Equal(t, 9090, port)
	assert.Equal(t, []topology.Step{{
		Name: "set endpoints of service/api", Detail: "led to 10.0.0.1 port 8080 before, to 10.0.1.1, 10.0.1.2 port 9090 now",
	}}, log.steps)

	_, err := f.client.DiscoveryV1().EndpointSlices("shop").Update(t.Context(), f.typedSlice(t), metav1.UpdateOptions{})
	require.NoError(t, err) // the two fakes do not know of each other
	again := &book{}
	require.NoError(t, r.Apply(t.Context(), f.pods(t), again))
	assert.Empty(t, again.undos)

	twice(t, r, log.undos[0])
	assert.Equal(t, []discoveryv1.Endpoint{e}, f.typedSlice(t).Endpoints, "all of it")
	_, port = f.leads(t)
	assert.Equal(t, 8080, port)

	f.set(t, slice("api-1", endpoint("10.9.9.9", "")), "endpointslices")
	require.ErrorContains(t, r.(drills.Reverter).Revert(t.Context(), log.undos[0]), "somebody else has it lead to 10.9.9.9")
}

func (f *fakeCluster) typedSlice(t *testing.T) *discoveryv1.EndpointSlice {
	t.Helper()
	text, err := json.Marshal(f.stored(t, "discovery.k8s.io", "endpointslices", "api-1").Object)
	require.NoError(t, err)
	s := &discoveryv1.EndpointSlice{}
	require.NoError(t, json.Unmarshal(text, s))
	return s
}

func TestEndpointsSetRefuses(t *testing.T) {
	v4 := map[string]any{"addresses": []string{"10.0.1.1"}}
	managed := slice("api-1")
	managed.Labels[discoveryv1.LabelManagedBy] = "endpointslicemirroring-controller.k8s.io"
	mine := slice("api-1")
	mine.Labels[discoveryv1.LabelManagedBy] = "endpointslice.example.com"
	ports := slice("api-1")
	ports.Ports = append(ports.Ports, ports.Ports[0])
	for _, c := range []struct {
		service *corev1.Service
		slices  []*discoveryv1.EndpointSlice
		params  map[string]any
		says    string
	}{
		{service(map[string]string{"app": "api"}), nil, v4, "use service-select"},
		{service(nil), nil, v4, "it has 0 EndpointSlices (nobody)"},
		{service(nil), []*discoveryv1.EndpointSlice{slice("api-1"), slice("api-2")}, v4, "it has 2 EndpointSlices (api-1, api-2)"},
		{service(nil), []*discoveryv1.EndpointSlice{managed}, v4, "kept by endpointslicemirroring-controller.k8s.io"},
		{service(nil), []*discoveryv1.EndpointSlice{slice("api-1")}, map[string]any{"addresses": []string{"fd00::1"}}, "of IPv4, and with.addresses are of IPv6"},
		{service(nil), []*discoveryv1.EndpointSlice{ports}, map[string]any{"addresses": []string{"10.0.1.1"}, "port": 1}, "has 2 ports"},
		{service(nil), []*discoveryv1.EndpointSlice{mine}, v4, ""},
		{service(nil), []*discoveryv1.EndpointSlice{slice("api-1"), slice("api-2")}, map[string]any{"addresses": []string{"10.0.1.1"}, "slice": "api-2"}, ""},
	} {
		all := []runtime.Object{c.service, deployment("api", 1)}
		for _, s := range c.slices {
			all = append(all, s)
		}
		f := newFakeCluster(t, all...)
		log := &book{}
		err := with(t, "endpoints-set", c.params).Apply(t.Context(), f.pods(t), log)
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.says)
		assert.Empty(t, log.intents)
	}
}
