package kube_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
	"firedrill/lab"
)

// pods is the adapter of a workload of the lab.
func pods(a kube.Access, namespace string) *kube.Pods {
	return &kube.Pods{
		Spec:      kube.PodsSpec{Access: a, Namespace: namespace, Workload: "deployment/api", Service: "api"},
		Component: &topology.Component{Spec: topology.ComponentSpec{Name: "api", Kind: kube.PodsKind}},
	}
}

func nodes(a kube.Access) *kube.Nodes {
	return &kube.Nodes{Spec: kube.NodesSpec{Access: a}, Component: &topology.Component{Spec: topology.ComponentSpec{Name: "nodes", Kind: kube.NodesKind}}}
}

// Of runs that begin at the same time one drills, and the others say which.
func TestCompetingRuns(t *testing.T) {
	st := cluster(t)
	first, _ := access(t, st, "first", "")
	second, _ := access(t, st, "second", "")
	for _, platform := range []func(kube.Access) topology.Platform{
		func(a kube.Access) topology.Platform { return pods(a, lab.ShopNamespace) },
		func(a kube.Access) topology.Platform { return nodes(a) },
	} {
		for range 10 {
			runs := map[string]topology.Platform{"run-1": platform(first), "run-2": platform(second)}
			got := map[string]error{}
			var mu sync.Mutex
			var all sync.WaitGroup
			for id, p := range runs {
				all.Go(func() {
					err := p.Lock(t.Context(), id)
					mu.Lock()
					defer mu.Unlock()
					got[id] = err
				})
			}
			all.Wait()
			winner, loser := "run-1", "run-2"
			if got[winner] != nil {
				winner, loser = loser, winner
			}
			require.NoError(t, got[winner])
			require.ErrorIs(t, got[loser], topology.ErrLocked)
			require.ErrorContains(t, got[loser], "run "+winner+" on host ")
			require.NoError(t, runs[winner].Lock(t.Context(), winner), "renewed")
			require.NoError(t, runs[loser].Unlock(t.Context(), loser))
			require.NoError(t, runs[winner].Lock(t.Context(), winner), "the loser has nothing to unlock")
			require.NoError(t, runs[winner].Unlock(t.Context(), winner))
			require.NoError(t, runs[winner].Unlock(t.Context(), winner))
			require.NoError(t, runs[loser].Lock(t.Context(), loser))
			require.NoError(t, runs[loser].Unlock(t.Context(), loser))
		}
	}
}

// The lock of a run that died is taken over once it was seen not to be renewed.
func TestDeadRunIsSucceeded(t *testing.T) {
	a, c := access(t, cluster(t), "admin", "")
	leases := c.Client.CoordinationV1().Leases(lab.ShopNamespace)
	expired := func() {
		_, err := leases.Create(t.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: kube.PodsLease},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: new("dead"), LeaseDurationSeconds: new(int32(2)),
				RenewTime: &metav1.MicroTime{Time: time.Now().Add(-2 * time.Minute)},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	p := pods(a, lab.ShopNamespace)
	expired()
	began := time.Now()
	require.NoError(t, p.Lock(t.Context(), "run-1"))
	assert.GreaterOrEqual(t, time.Since(began), 2*time.Second)
	l, err := leases.Get(t.Context(), kube.PodsLease, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "run-1", *l.Spec.HolderIdentity)
	assert.Equal(t, "dead", l.Annotations["firedrill.dev/taken-over-from"])
	require.NoError(t, p.Unlock(t.Context(), "run-1"))

	// One whose clock is wrong, but who renews.
	expired()
	locked := make(chan error, 1)
	go func() { locked <- p.Lock(t.Context(), "run-1") }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n, ended := 0, false; !ended; n++ {
		select {
		case err := <-locked:
			require.ErrorIs(t, err, topology.ErrLocked)
			ended = true
		case <-tick.C:
			patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"still":"there %d"}}}`, n)
			_, err := leases.Patch(t.Context(), kube.PodsLease, types.MergePatchType, patch, metav1.PatchOptions{})
			require.NoError(t, err)
		}
	}
	require.NoError(t, leases.Delete(t.Context(), kube.PodsLease, metav1.DeleteOptions{}))
}

// A namespace that is deleted in mid-drill takes the lock with it.
func TestLockOfANamespaceThatGoes(t *testing.T) {
	a, c := access(t, cluster(t), "admin", "")
	const name = "doomed"
	namespaces := c.Client.CoreV1().Namespaces()
	_, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	p := pods(a, name)
	require.NoError(t, p.Lock(t.Context(), "run-1"))
	require.NoError(t, namespaces.Delete(t.Context(), name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := namespaces.Get(t.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, soon, often)
	assert.ErrorIs(t, p.Lock(t.Context(), "run-1"), topology.ErrLocked, "the drill ends")
	assert.NoError(t, p.Unlock(t.Context(), "run-1"))
	assert.ErrorContains(t, p.Admit(t.Context(), nil), "there is no namespace doomed")
}

func TestAdmission(t *testing.T) {
	st := cluster(t)
	a, c := access(t, st, "admin", "")
	p, n := pods(a, lab.ShopNamespace), nodes(a)
	began := time.Now()
	require.NoError(t, p.Admit(t.Context(), p.Privileges(p.Component)))
	t.Logf("admission took %s", time.Since(began).Round(time.Millisecond))
	require.NoError(t, n.Admit(t.Context(), n.Privileges(n.Component)))

	t.Run("protected", func(t *testing.T) {
		assert.ErrorContains(t, pods(a, "kube-system").Admit(t.Context(), nil), "never drilled")
		assert.ErrorContains(t, pods(a, lab.ChaosNamespace).Admit(t.Context(), nil), "never drilled")
		mark := func(value string) {
			patch := []byte(`{"metadata":{"labels":{"firedrill.dev/protected":` + value + `}}}`)
			_, err := c.Client.CoreV1().Namespaces().Patch(t.Context(), lab.ShopNamespace, types.MergePatchType, patch, metav1.PatchOptions{})
			require.NoError(t, err)
		}
		mark(`"true"`)
		assert.ErrorContains(t, p.Admit(t.Context(), nil), "firedrill.dev/protected=true")
		mark(`null`)
		assert.NoError(t, p.Admit(t.Context(), nil))
	})

	t.Run("credentials", func(t *testing.T) {
		wrong, _ := access(t, st, "wrong", "not-a-token")
		assert.ErrorContains(t, pods(wrong, lab.ShopNamespace).Admit(t.Context(), nil), "does not accept the credentials")
	})

	for _, namespace := range []string{lab.ShopNamespace, "default"} {
		t.Run("foreign chaos in "+namespace, func(t *testing.T) {
			objects := c.Dynamic.Resource(schema.GroupVersionResource{Group: "chaos-mesh.org", Version: "v1alpha1", Resource: "networkchaos"}).Namespace(namespace)
			_, err := objects.Create(t.Context(), theirs(lab.ShopNamespace), metav1.CreateOptions{})
			require.NoError(t, err)
			want := "NetworkChaos " + namespace + "/theirs"
			assert.ErrorContains(t, p.Admit(t.Context(), nil), want)
			assert.ErrorContains(t, n.Admit(t.Context(), nil), want)
			require.NoError(t, objects.Delete(t.Context(), "theirs", metav1.DeleteOptions{}))
			assert.EventuallyWithT(t, func(ct *assert.CollectT) {
				assert.NoError(ct, p.Admit(t.Context(), nil), "it is gone")
			}, soon, often)
		})
	}
}

// theirs is chaos of somebody else that hits no pod but could.
func theirs(namespace string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
		"metadata": map[string]any{"name": "theirs"},
		"spec": map[string]any{
			"action": "partition", "mode": "all", "direction": "both", "duration": "10m",
			"selector": map[string]any{
				"namespaces": []any{namespace}, "labelSelectors": map[string]any{"app": "nothing-has-this"},
			},
		},
	}}
}

// account is a ServiceAccount with roles.
type account struct {
	*kube.Cluster
	roles       map[string]*rbacv1.Role
	clusterRole *rbacv1.ClusterRole
	token       string
}

const accountName = "least"

// grant makes the ServiceAccount and gives it what is granted.
func grant(t *testing.T, admin *kube.Cluster, grants kube.Grants) *account {
	t.Helper()
	ac := &account{Cluster: admin, roles: map[string]*rbacv1.Role{}}
	ctx, core, rbac := t.Context(), admin.Client.CoreV1(), admin.Client.RbacV1()
	meta := metav1.ObjectMeta{Name: accountName}
	_, err := core.ServiceAccounts(lab.ShopNamespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		// The roles stay: they are of no account then, and go with the cluster.
		assert.NoError(t, core.ServiceAccounts(lab.ShopNamespace).Delete(context.Background(), accountName, metav1.DeleteOptions{}))
	})
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Name: accountName, Namespace: lab.ShopNamespace}}
	for ns, rules := range grants {
		if ns == "" {
			ac.clusterRole, err = rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rbacRules(rules)}, metav1.CreateOptions{})
			require.NoError(t, err)
			_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: accountName},
			}, metav1.CreateOptions{})
			require.NoError(t, err)
			continue
		}
		ac.roles[ns], err = rbac.Roles(ns).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rbacRules(rules)}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = rbac.RoleBindings(ns).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: accountName},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	token, err := core.ServiceAccounts(lab.ShopNamespace).CreateToken(ctx, accountName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	ac.token = token.Status.Token
	return ac
}

func rbacRules(rules []kube.Rule) (out []rbacv1.PolicyRule) {
	for _, r := range rules {
		out = append(out, rbacv1.PolicyRule{APIGroups: []string{r.Group}, Resources: []string{r.Resource}, ResourceNames: r.Names, Verbs: r.Verbs})
	}
	return out
}

// set replaces the rules in one namespace, "" is the cluster.
func (a *account) set(t *testing.T, namespace string, rules []rbacv1.PolicyRule) {
	t.Helper()
	var err error
	if namespace == "" {
		a.clusterRole.Rules = rules
		a.clusterRole, err = a.Client.RbacV1().ClusterRoles().Update(t.Context(), a.clusterRole, metav1.UpdateOptions{})
	} else {
		a.roles[namespace].Rules = rules
		a.roles[namespace], err = a.Client.RbacV1().Roles(namespace).Update(t.Context(), a.roles[namespace], metav1.UpdateOptions{})
	}
	require.NoError(t, err)
}

// What the adapter says it needs is enough for all it does, and each single verb of
// it is missed.
func TestPrivilegesAreSufficientAndTheLeast(t *testing.T) {
	st := cluster(t)
	_, admin := access(t, st, "admin", "")
	needs := append(pods(kube.Access{}, lab.ShopNamespace).Privileges(nil),
		topology.Privilege{Resource: "pods", Verbs: []string{"delete"}, For: "pod-kill"},
		topology.Privilege{Resource: "pods/eviction", Verbs: []string{"create"}, For: "pod-evict"})
	var need kube.Require
	need.Add(lab.ShopNamespace, needs)
	grants := need.Grants()
	ac := grant(t, admin, grants)
	least, _ := access(t, st, "least", ac.token)
	p := pods(least, lab.ShopNamespace)
	admitted := func(c *assert.CollectT) { assert.NoError(c, p.Admit(t.Context(), needs)) }
	require.EventuallyWithT(t, admitted, soon, often)

	found, err := p.Discover(t.Context())
	require.NoError(t, err)
	assert.Len(t, found.Members, 3)
	require.NoError(t, p.Lock(t.Context(), "run-1"))
	require.NoError(t, p.Lock(t.Context(), "run-1"))
	require.NoError(t, p.Unlock(t.Context(), "run-1"))

	for ns, rules := range grants {
		whole := rbacRules(rules)
		for i, r := range rules {
			for _, verb := range r.Verbs {
				without := slices.Clone(whole)
				without[i].Verbs = slices.DeleteFunc(slices.Clone(r.Verbs), func(v string) bool { return v == verb })
				if len(without[i].Verbs) == 0 {
					without = slices.Delete(without, i, i+1)
				}
				ac.set(t, ns, without)
				if notInstalled := r.Group == "litmuschaos.io"; notInstalled {
					continue // granted in advance, and not missed here
				}
				resource, _, _ := strings.Cut(strings.TrimPrefix(r.Resource, "*"), "/")
				require.EventuallyWithT(t, func(c *assert.CollectT) {
					err := p.Admit(t.Context(), needs)
					assert.ErrorContains(c, err, verb)
					assert.ErrorContains(c, err, resource)
					assert.ErrorContains(c, err, r.Group)
					assert.ErrorContains(c, err, "firedrill kinds --rbac SCENARIO")
				}, soon, often, "%s %s.%s is not missed", verb, r.Resource, r.Group)
				if i == 0 && verb == r.Verbs[0] {
					t.Log(p.Admit(t.Context(), needs))
				}
			}
		}
		ac.set(t, ns, whole)
		require.EventuallyWithT(t, admitted, soon, often)
	}
}
