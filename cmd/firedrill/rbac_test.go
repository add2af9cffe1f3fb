package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const (
	podKillScenario = "../../scenarios/library/pod-kill.yaml"
	kubeTopology    = "../../scenarios/library/topology-kubernetes.yaml"
)

// printed are the documents that kinds --rbac prints, by kind and namespace.
func printed(t *testing.T, args ...string) (text string, by map[string][]byte) {
	t.Helper()
	text, err := call(newKinds(), append([]string{"--rbac"}, args...)...)
	require.NoError(t, err, text)
	by = map[string][]byte{}
	for _, doc := range strings.Split(text, "\n---\n")[1:] {
		var o struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		require.NoError(t, yaml.Unmarshal([]byte(doc), &o), doc)
		key := o.Kind + " " + o.Metadata.Namespace + "/" + o.Metadata.Name
		require.NotContains(t, by, key)
		by[key] = []byte(doc)
	}
	return text, by
}

func TestRBACOfAScenario(t *testing.T) {
	text, by := printed(t, podKillScenario, "--topology", kubeTopology)
	assert.True(t, strings.HasPrefix(text, "# What these scenarios on topology shop-production need to be allowed to do, and no more:\n#   pod-kill\n"), text)
	again, _ := printed(t, podKillScenario, "--topology", kubeTopology)
	assert.Equal(t, text, again)
	require.Len(t, by, 5, "an account; a role and its binding, of the cluster and in the namespace")
	require.Contains(t, by, "ServiceAccount shop/firedrill")

	var role rbacv1.Role
	require.NoError(t, yaml.UnmarshalStrict(by["Role shop/firedrill-shop"], &role))
	assert.Contains(t, role.Rules, rbacv1.PolicyRule{
		APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{"firedrill"},
		Verbs: []string{"delete", "get", "list", "update", "watch"},
	})
	var deletes []string
	for _, r := range role.Rules {
		for _, verb := range r.Verbs {
			assert.NotEqual(t, "*", verb)
			if verb == "delete" && len(r.ResourceNames) == 0 {
				deletes = append(deletes, r.Resources...)
			}
		}
	}
	assert.Equal(t, []string{"pods"}, deletes, "all that pod-kill has to delete")

	var wide rbacv1.ClusterRole
	require.NoError(t, yaml.UnmarshalStrict(by["ClusterRole /firedrill-shop"], &wide))
	for _, r := range wide.Rules {
		assert.Equal(t, []string{"list"}, r.Verbs, "what it may do everywhere is to look")
	}
	var binding rbacv1.RoleBinding
	require.NoError(t, yaml.UnmarshalStrict(by["RoleBinding shop/firedrill-shop"], &binding))
	assert.Equal(t, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "firedrill-shop"}, binding.RoleRef)
	assert.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "firedrill", Namespace: "shop"}}, binding.Subjects)
}

func TestRBACForAnAccountElsewhere(t *testing.T) {
	_, by := printed(t, podKillScenario, "--topology", kubeTopology, "--namespace", "drills", "--service-account", "monthly")
	require.Contains(t, by, "ServiceAccount drills/monthly")
	var binding rbacv1.RoleBinding
	require.NoError(t, yaml.UnmarshalStrict(by["RoleBinding shop/monthly-drills"], &binding))
	assert.Equal(t, []rbacv1.Subject{{Kind: "ServiceAccount", Name: "monthly", Namespace: "drills"}}, binding.Subjects)
}

// Another scenario needs other things, and the union of both is granted.
func TestRBACOfSeveralScenarios(t *testing.T) {
	text, err := os.ReadFile(podKillScenario)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "evict.yaml")
	evict := strings.NewReplacer("name: pod-kill", "name: evict", "kind: pod-kill", "kind: pod-evict", "      with:\n        grace: ${grace}\n        through: ${injector}\n", "")
	require.NoError(t, os.WriteFile(path, []byte(evict.Replace(string(text))), 0o600))
	verbs := func(args ...string) map[string]bool {
		_, by := printed(t, append(args, "--topology", kubeTopology)...)
		var role rbacv1.Role
		require.NoError(t, yaml.UnmarshalStrict(by["Role shop/firedrill-shop"], &role))
		all := map[string]bool{}
		for _, r := range role.Rules {
			for _, v := range r.Verbs {
				all[v+" "+r.Resources[0]] = true
			}
		}
		return all
	}
	kill, evicts, both := verbs(podKillScenario), verbs(path), verbs(podKillScenario, path)
	assert.NotContains(t, kill, "create pods/eviction")
	assert.NotContains(t, evicts, "delete pods")
	assert.Contains(t, both, "create pods/eviction")
	assert.Contains(t, both, "delete pods")
}

func TestRBACThatMakesNoSense(t *testing.T) {
	text, err := os.ReadFile(kubeTopology)
	require.NoError(t, err)
	other := filepath.Join(t.TempDir(), "other.yaml")
	two := strings.Replace(string(text), "context: production", "context: staging", 1)
	require.NoError(t, os.WriteFile(other, []byte(two), 0o600))
	nodes := filepath.Join(t.TempDir(), "nodes.yaml")
	both := `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: cordon}
spec:
  objectives: {rto: 30s}
  probes:
    - {name: replicas, kind: kubernetes, target: {component: api}, every: 500ms, timeout: 2s}
  faults:
    - {name: cordon, kind: node-cordon, target: {component: nodes, count: 1}}
`
	require.NoError(t, os.WriteFile(nodes, []byte(both), 0o600))
	for says, args := range map[string][]string{
		"requires at least 1 arg":                        {"--rbac"},
		"say what to drill":                              {"--rbac", podKillScenario},
		"only with --rbac":                               {"--topology", kubeTopology},
		"if any flags in the group [rbac output]":        {"--rbac", podKillScenario, "-o", "json"},
		"components api (default credentials, context s": {"--rbac", nodes, "--topology", other},
		"no component is in Kubernetes":                  {"--rbac", "../../scenarios/library/mysql-primary-loss.yaml", "--topology", labTopology},
	} {
		out, err := call(newKinds(), args...)
		assert.ErrorContains(t, err, says, out)
	}
}
