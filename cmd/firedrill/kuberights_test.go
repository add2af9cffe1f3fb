package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/lab"
)

// rightsScenario is a drill that takes seconds, with a fault on a component.
const rightsScenario = `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: rights-%s}
spec:
  objectives: {rto: 1m}
  baseline: 500ms
  stable: {for: 1s, samples: 10, share: 0.9}
  probes:
    - {name: requests, kind: http, target: {component: api}, every: 50ms, timeout: 1s, with: {path: /}}
    - {name: replicas, kind: kubernetes, target: {component: api}, every: 500ms, timeout: 2s, inform: true}
  faults:
    - {name: fault, kind: %s, target: {component: %s, count: 1}%s}
  healAfter: 30s
  limits: {members: 1, sites: 3, duration: 1m}
`

// faultsOfKubernetes are the faults that need rights in a cluster.
func faultsOfKubernetes() []struct{ name, kind, component, more string } {
	return []struct{ name, kind, component, more string }{
		{"pod-kill", "pod-kill", "api", `, with: {grace: 0s}`},
		{"pod-kill-chaos-mesh", "pod-kill", "api", `, with: {grace: 0s, through: chaos-mesh}`},
		{"pod-evict", "pod-evict", "api", ``},
		{"container-exec-kill", "container-exec-kill", "api", `, with: {command: [/shop, kill, TERM, "1"]}`},
		{"network-policy-deny", "network-policy-deny", "api", `, for: 2s`},
		{"workload-scale", "workload-scale", "api", `, for: 2s, with: {replicas: 2}`},
		{"node-cordon", "node-cordon", "nodes", `, for: 2s`},
		{"node-drain", "node-drain", "nodes", `, for: 2s`},
		{"node-taint", "node-taint", "nodes", `, for: 2s, with: {key: drill, effect: NoSchedule}`},
	}
}

// What kinds --rbac prints is enough for each fault: the drill is refused nothing.
// Without it, the drill is refused, and nothing is touched.
func TestClusterPrintedRightsAreEnough(t *testing.T) {
	l := cluster(t)
	for _, f := range faultsOfKubernetes() {
		t.Run(f.name, func(t *testing.T) {
			dir := t.TempDir()
			scenario, topology, access := filepath.Join(dir, "scenario.yaml"), filepath.Join(dir, "topology.yaml"), filepath.Join(dir, "kubeconfig")
			require.NoError(t, os.WriteFile(scenario, []byte(fmt.Sprintf(rightsScenario, f.name, f.kind, f.component, f.more)), 0o600))
			text, err := os.ReadFile(l.now.Topology)
			require.NoError(t, err)
			require.Contains(t, string(text), l.now.Kubeconfig)
			require.NoError(t, os.WriteFile(topology, []byte(strings.ReplaceAll(string(text), l.now.Kubeconfig, access)), 0o600))

			account := "drill-" + f.name
			l.mayNothing(t, account, access)
			run := func(name string) output {
				return l.run(t, "run", scenario, "--topology", topology, "--yes", "--out", filepath.Join(dir, name))
			}
			refused := run("refused")
			require.Equal(t, verdict.ExitAborted, refused.code, refused.stderr)
			require.Contains(t, refused.stderr, "system:serviceaccount:shop:"+account+" is not allowed to ")

			printed := l.run(t, "kinds", "--rbac", scenario, "--topology", topology, "--namespace", "shop", "--service-account", account)
			require.Zero(t, printed.code, printed.stderr)
			l.allow(t, printed.stdout)
			out := run("allowed")
			want := verdict.ExitMet
			if f.kind == "network-policy-deny" {
				want = verdict.ExitInconclusive // made and undone, but nobody enforces it in the lab
			}
			assert.Equal(t, want, out.code, out.stderr)
			record, err := os.ReadFile(filepath.Join(dir, "allowed", timeline.EventsFile))
			require.NoError(t, err)
			assert.NotContains(t, strings.ToLower(string(record)), "forbidden")
			assert.NotContains(t, string(record), "not allowed")
		})
	}
	l.whole(t)
}

// mayNothing makes a ServiceAccount without rights, and a kubeconfig for it.
func (l *clusterLab) mayNothing(t *testing.T, account, kubeconfig string) {
	t.Helper()
	accounts := l.client.CoreV1().ServiceAccounts(lab.ShopNamespace)
	_, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = accounts.Delete(l.ctx(), account, metav1.DeleteOptions{}) })
	token, err := accounts.CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	config, err := clientcmd.LoadFromFile(l.now.Kubeconfig)
	require.NoError(t, err)
	for _, u := range config.AuthInfos {
		u.Token = token.Status.Token
	}
	require.NoError(t, clientcmd.WriteToFile(*config, kubeconfig))
}

// allow applies manifests of roles and bindings, which go with the test.
func (l *clusterLab) allow(t *testing.T, manifests string) {
	t.Helper()
	rbac := l.client.RbacV1()
	for _, doc := range strings.Split(manifests, "\n---\n")[1:] {
		var is metav1.PartialObjectMetadata
		require.NoError(t, yaml.Unmarshal([]byte(doc), &is))
		name, ns, opts := is.Name, is.Namespace, metav1.CreateOptions{}
		var err error
		var undo func() error
		switch is.Kind {
		case "ServiceAccount":
			continue // it is there
		case "Role":
			o := parsed[rbacv1.Role](t, doc)
			_, err = rbac.Roles(ns).Create(t.Context(), o, opts)
			undo = func() error { return rbac.Roles(ns).Delete(l.ctx(), name, metav1.DeleteOptions{}) }
		case "RoleBinding":
			o := parsed[rbacv1.RoleBinding](t, doc)
			_, err = rbac.RoleBindings(ns).Create(t.Context(), o, opts)
			undo = func() error { return rbac.RoleBindings(ns).Delete(l.ctx(), name, metav1.DeleteOptions{}) }
		case "ClusterRole":
			o := parsed[rbacv1.ClusterRole](t, doc)
			_, err = rbac.ClusterRoles().Create(t.Context(), o, opts)
			undo = func() error { return rbac.ClusterRoles().Delete(l.ctx(), name, metav1.DeleteOptions{}) }
		case "ClusterRoleBinding":
			o := parsed[rbacv1.ClusterRoleBinding](t, doc)
			_, err = rbac.ClusterRoleBindings().Create(t.Context(), o, opts)
			undo = func() error { return rbac.ClusterRoleBindings().Delete(l.ctx(), name, metav1.DeleteOptions{}) }
		default:
			require.Fail(t, "unexpected kind "+is.Kind)
		}
		require.NoError(t, err, doc)
		t.Cleanup(func() { assert.NoError(t, undo()) })
	}
}

func parsed[T any](t *testing.T, doc string) *T {
	t.Helper()
	o := new(T)
	require.NoError(t, yaml.UnmarshalStrict([]byte(doc), o))
	return o
}
