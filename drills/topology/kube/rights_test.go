package kube

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
)

func TestGrantsAreTheLeast(t *testing.T) {
	var r Require
	r.Add("shop", []topology.Privilege{
		{Resource: "pods", Verbs: []string{"watch", "list"}, For: "discovery"},
		{Resource: "pods", Verbs: []string{"delete", "list"}, For: "pod-kill"},
		{Resource: "nodes", Verbs: []string{"list"}, For: "zones"},
		{Resource: "namespaces", Verbs: []string{"get"}, Names: []string{"shop"}, Namespace: "shop"},
		{Group: "apps", Resource: "deployments", Verbs: []string{"get"}, Names: []string{"api"}},
		{Group: "apps", Resource: "deployments", Verbs: []string{"get"}, Names: []string{"web"}},
		{Group: "apps", Resource: "statefulsets", Verbs: []string{"get", "patch"}, Names: []string{"db"}},
		{Group: "apps", Resource: "statefulsets", Verbs: []string{"get"}},
		{Group: chaosGroup, Resource: "podchaos", Verbs: []string{"list", "create"}, For: "pod-kill"},
		{Group: chaosGroup, Resource: "*", Verbs: []string{"list"}, Namespace: Everywhere, For: "foreign"},
	})
	r.Add("", []topology.Privilege{{Resource: "pods", Verbs: []string{"list"}, For: "node-drain"}})
	assert.Equal(t, Grants{
		"": {
			{Resource: "nodes", Verbs: []string{"list"}, For: []string{"zones"}},
			{Resource: "pods", Verbs: []string{"list"}, For: []string{"node-drain"}},
			{Group: chaosGroup, Resource: "*", Verbs: []string{"list"}, For: []string{"foreign"}},
		},
		"shop": {
			{Resource: "namespaces", Names: []string{"shop"}, Verbs: []string{"get"}},
			{Resource: "pods", Verbs: []string{"delete", "watch"}, For: []string{"discovery", "pod-kill"}},
			{Group: "apps", Resource: "deployments", Names: []string{"api", "web"}, Verbs: []string{"get"}},
			{Group: "apps", Resource: "statefulsets", Verbs: []string{"get"}},
			{Group: "apps", Resource: "statefulsets", Names: []string{"db"}, Verbs: []string{"patch"}},
			{Group: chaosGroup, Resource: "podchaos", Verbs: []string{"create"}, For: []string{"pod-kill"}},
		},
	}, r.Grants())
}

// The namespace of a file is known without a cluster.
func TestNamespaceOf(t *testing.T) {
	none := Access{Kubeconfig: "none"}
	in := func(a topology.Adapter, ms ...*topology.Member) *topology.Component {
		return &topology.Component{Adapter: a, Members: ms}
	}
	for _, c := range []*topology.Component{
		in(&Pods{Spec: PodsSpec{Access: none, Namespace: "shop"}}), in(&Nodes{Spec: NodesSpec{Access: none, Namespace: "shop"}}),
		in(nil, &topology.Member{Spec: topology.MemberSpec{Control: Place{Access: none, Namespace: "shop"}.control()}}),
	} {
		ns, err := NamespaceOf(c)
		require.NoError(t, err)
		assert.Equal(t, "shop", ns)
	}
	_, err := NamespaceOf(in(&Pods{Spec: PodsSpec{Access: none}}))
	assert.Error(t, err)
	ns, err := NamespaceOf(in(nil, &topology.Member{Spec: topology.MemberSpec{Name: "db-1"}}))
	assert.NoError(t, err)
	assert.Empty(t, ns, "it is not in Kubernetes")
}
