package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"firedrill/drills/journal"
	"firedrill/drills/verdict"
	"firedrill/lab"
)

// clusterTrouble is something that is wrong before pods are killed.
type clusterTrouble struct {
	name string
	// topology and scenario are replacements in copies of the lab's topology file and
	// of the quick scenario; ACCESS stands for the kubeconfig that access makes.
	topology, scenario []string
	access             func(t *testing.T, l *clusterLab, c *api.Config)
	// spoil makes it wrong behind firedrill's back; what it returns puts it right.
	spoil func(t *testing.T, l *clusterLab) (mend func())
	args  []string
}

// with are replacements in the scenario's fault: another kind, with these parameters.
func with(kind, parameters string) []string {
	return []string{`kind: pod-kill`, "kind: " + kind, `(?s)      with:\n        grace: .*?through: \$\{injector\}\n`, parameters}
}

func clusterTroubles() []clusterTrouble {
	theirs := []string{`kubeconfig: .*`, "kubeconfig: ACCESS"}
	return []clusterTrouble{
		{name: "selector-fits-nothing", topology: []string{`app=api`, "app=ap1"}},
		{name: "workload-is-not-there", topology: []string{`selector: app=api`, "workload: deployment/ap1"}},
		{name: "namespace-is-not-there", topology: []string{`namespace: shop`, "namespace: shap"}},
		{name: "namespace-is-reserved", topology: []string{`namespace: shop`, "namespace: kube-system"}},
		{name: "kubeconfig-is-not-there", topology: []string{`kubeconfig: .*`, "kubeconfig: /nowhere/kubeconfig"}},
		{name: "context-is-not-there", topology: []string{`kubeconfig: (.*)`, "kubeconfig: $1\n      context: production"}},
		{name: "server-does-not-answer", topology: theirs, access: func(_ *testing.T, _ *clusterLab, c *api.Config) {
			for _, s := range c.Clusters {
				s.Server = strings.Replace(s.Server, ":6443", ":6444", 1)
			}
		}},
		{name: "credentials-are-refused", topology: theirs, access: func(_ *testing.T, _ *clusterLab, c *api.Config) {
			for _, u := range c.AuthInfos {
				u.Token = wrong
			}
		}},
		{name: "privileges-are-missing", topology: theirs, access: nobody},
		{name: "namespace-is-protected", spoil: func(t *testing.T, l *clusterLab) func() {
			return l.patched(t, corev1.SchemeGroupVersion.WithResource("namespaces"), "", lab.ShopNamespace,
				`{"metadata":{"labels":{"firedrill.dev/protected":"true"}}}`, `{"metadata":{"labels":{"firedrill.dev/protected":null}}}`)
		}},
		{name: "another-drill-is-there", spoil: anotherDrill},
		{name: "chaos-of-others-is-there", spoil: chaosOfOthers},
		{name: "too-few-would-be-left", topology: []string{`(?s)(name: api\n.*?)replicas: 3`, "${1}minAvailable: 3\n      replicas: 3"}},
		{name: "too-large-a-share", scenario: []string{`members: \$\{count\}`, "members: 3\n    percent: 30"}},
		{name: "fewer-than-wanted", topology: []string{`(?s)(name: api\n.*?)replicas: 3`, "${1}replicas: 4"}},
		{name: "budget-forbids-the-eviction", scenario: with("pod-evict", ""), spoil: func(t *testing.T, l *clusterLab) func() {
			budgets := schema.GroupVersionResource{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}
			return l.patched(t, budgets, lab.ShopNamespace, "api", `{"spec":{"minAvailable":3}}`, `{"spec":{"minAvailable":2}}`)
		}},
		{name: "crd-is-not-there", args: []string{"--var", "injector=chaos-mesh"}, spoil: withoutPodChaos},
	}
}

// Everything that can be wrong with a cluster before a drill is said plainly, and
// nothing is touched. The messages are in testdata/kubetrouble.
func TestClusterTrouble(t *testing.T) {
	l := cluster(t)
	for _, c := range clusterTroubles() {
		t.Run(c.name, func(t *testing.T) { l.trouble(t, c) })
	}
	l.whole(t)
}

func (l *clusterLab) trouble(t *testing.T, c clusterTrouble) {
	dir := t.TempDir()
	access, file := filepath.Join(dir, "access"), filepath.Join(dir, "topology.yaml")
	if c.access != nil {
		config, err := clientcmd.LoadFromFile(l.now.Kubeconfig)
		require.NoError(t, err)
		c.access(t, l, config)
		require.NoError(t, clientcmd.WriteToFile(*config, access))
	}
	text, err := os.ReadFile(l.now.Topology)
	require.NoError(t, err)
	edited := string(text)
	for i := 0; i+1 < len(c.topology); i += 2 {
		edited = replaced(t, edited, c.topology[i], strings.ReplaceAll(c.topology[i+1], "ACCESS", access))
	}
	require.NoError(t, os.WriteFile(file, []byte(edited), 0o600))
	if c.spoil != nil {
		defer c.spoil(t, l)()
	}
	before := l.untouched(t)
	args := []string{"run", podKill(t, append([]string{`baseline: 2s`, "baseline: 300ms"}, c.scenario...)...), "--topology", file, "--out", filepath.Join(dir, "run")}
	out := l.run(t, append(args, c.args...)...)
	require.Equal(t, verdict.ExitAborted, out.code, out.stderr)
	assert.Equal(t, before, l.untouched(t))
	res := l.result(t, filepath.Join(dir, "run"), out)
	require.Len(t, res.Reasons, 1)
	assert.True(t, strings.HasSuffix(res.Sentence, "; nothing was touched."), res.Sentence)
	assert.NotContains(t, out.stderr, wrong)
	golden(t, filepath.Join("testdata", "kubetrouble", c.name+".txt"), l.said(dir, res.Reasons[0])+"\n")
}

// said is a message without what differs from run to run.
func (l *clusterLab) said(dir, text string) string {
	text = strings.NewReplacer(l.now.Kubeconfig, "KUBECONFIG", dir, "DIR", l.home, "HOME").Replace(text)
	text = regexp.MustCompile(`\b(api|worker|web|bare)-[0-9a-f]{6,10}-[a-z0-9]{5}\b`).ReplaceAllString(text, "$1-POD")
	text = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`).ReplaceAllString(text, "INSTANT")
	return regexp.MustCompile(`\d+(\.\d+)?(ms|s) ago`).ReplaceAllString(text, "TIME ago")
}

// untouched is what of the lab a drill that is refused must not change.
func (l *clusterLab) untouched(t *testing.T) any {
	t.Helper()
	pods, err := l.client.CoreV1().Pods(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	state := map[string]any{}
	for _, p := range pods.Items {
		state[p.Name] = []any{p.UID, p.DeletionTimestamp, p.Labels, p.Annotations}
	}
	leases, err := l.client.CoordinationV1().Leases(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, o := range leases.Items {
		state["lease "+o.Name] = o.ResourceVersion
	}
	left, err := journal.List(filepath.Join(l.home, "journal"))
	require.NoError(t, err)
	return []any{state, left}
}

// nobody makes the credentials those of a ServiceAccount that may do nothing.
func nobody(t *testing.T, l *clusterLab, c *api.Config) {
	ctx := t.Context()
	accounts := l.client.CoreV1().ServiceAccounts("default")
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "nobody"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = accounts.Delete(l.ctx(), "nobody", metav1.DeleteOptions{}) })
	token, err := accounts.CreateToken(ctx, "nobody", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	for _, u := range c.AuthInfos {
		u.Token = token.Status.Token
	}
}

// patched changes an object, and back.
func (l *clusterLab) patched(t *testing.T, of schema.GroupVersionResource, namespace, name, there, back string) func() {
	t.Helper()
	do := func(patch string) {
		_, err := l.objects.Resource(of).Namespace(namespace).Patch(l.ctx(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	do(there)
	return func() { do(back) }
}

func anotherDrill(t *testing.T, l *clusterLab) func() {
	leases := l.client.CoordinationV1().Leases(lab.ShopNamespace)
	who, long, now := "20260101T000000Z-other", int32(60), metav1.NewMicroTime(time.Now())
	_, err := leases.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "firedrill"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &who, LeaseDurationSeconds: &long, RenewTime: &now, AcquireTime: &now},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return func() { require.NoError(t, leases.Delete(l.ctx(), "firedrill", metav1.DeleteOptions{})) }
}

var podChaos = schema.GroupVersionResource{Group: "chaos-mesh.org", Version: "v1alpha1", Resource: "podchaos"}

func chaosOfOthers(t *testing.T, l *clusterLab) func() {
	objects := l.objects.Resource(podChaos).Namespace(lab.ShopNamespace)
	_, err := objects.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "metadata": map[string]any{"name": "theirs", "namespace": lab.ShopNamespace},
		"spec": map[string]any{"action": "pod-failure", "mode": "one", "duration": "10m", "selector": map[string]any{
			"namespaces": []any{lab.ShopNamespace}, "labelSelectors": map[string]any{"app": "nothing-has-this"},
		}},
	}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return func() {
		require.NoError(t, objects.Delete(l.ctx(), "theirs", metav1.DeleteOptions{}))
		require.Eventually(t, func() bool {
			_, err := objects.Get(l.ctx(), "theirs", metav1.GetOptions{})
			return err != nil
		}, 20*time.Second, 50*time.Millisecond)
	}
}

// withoutPodChaos takes away what makes the API server know PodChaos.
func withoutPodChaos(t *testing.T, l *clusterLab) func() {
	crds := l.objects.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	const name = "podchaos.chaos-mesh.org"
	was, err := crds.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, crds.Delete(t.Context(), name, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		_, err := crds.Get(l.ctx(), name, metav1.GetOptions{})
		return err != nil
	}, 20*time.Second, 50*time.Millisecond)
	return func() {
		for _, field := range []string{"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"} {
			unstructured.RemoveNestedField(was.Object, "metadata", field)
		}
		unstructured.RemoveNestedField(was.Object, "status")
		_, err := crds.Create(l.ctx(), was, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, err := l.objects.Resource(podChaos).Namespace(lab.ShopNamespace).List(l.ctx(), metav1.ListOptions{})
			return err == nil
		}, 20*time.Second, 100*time.Millisecond)
	}
}
