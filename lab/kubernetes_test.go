package lab_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills/topology"
	"firedrill/lab"
	"firedrill/lab/labtest"
	"firedrill/lab/labtest/fakekubelet"
)

// cluster is the lab kubernetes as its users know it.
type cluster struct {
	home string
	lab.Status
	api    *http.Client
	server string
	token  string
}

// upCluster brings the cluster up, which is taken down with the test.
func upCluster(t *testing.T) *cluster {
	t.Helper()
	cache, err := lab.CacheDir()
	require.NoError(t, err)
	require.True(t, lab.KubernetesBuilt(cache), "the cluster is not built: run lab/install.sh kubernetes")
	c := &cluster{home: t.TempDir()}
	c.Status = up(t, c.home, "kubernetes")
	require.Equal(t, lab.Healthy, c.State, c.Problems)
	c.login(t)
	return c
}

// login reads the kubeconfig as kubectl does.
func (c *cluster) login(t *testing.T) {
	t.Helper()
	info, err := os.Stat(c.Kubeconfig)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	b, err := os.ReadFile(c.Kubeconfig)
	require.NoError(t, err)
	var config struct {
		Clusters []struct{ Cluster struct{ Server string } }
		Users    []struct{ User struct{ Token string } }
	}
	require.NoError(t, yaml.Unmarshal(b, &config))
	c.server, c.token = config.Clusters[0].Cluster.Server, config.Users[0].User.Token
	c.api = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: c.dial, DisableKeepAlives: true,
	}}
}

// dial connects from where clients of the cluster stand.
func (c *cluster) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return lab.DialInside(ctx, c.Namespace, network, address)
}

// call asks the API server and decodes the answer into into, unless that is nil.
func (c *cluster) call(t *testing.T, method, path string, body, into any) int {
	t.Helper()
	b, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, c.server+path, bytes.NewReader(b))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.api.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if into != nil {
		require.Less(t, resp.StatusCode, 300, "%s %s: %s", method, path, text)
		require.NoError(t, json.Unmarshal(text, into))
	}
	return resp.StatusCode
}

type pod struct {
	Metadata struct {
		Name, UID         string
		DeletionTimestamp string
	}
	Spec   struct{ NodeName string }
	Status struct {
		PodIP, Phase string
		Conditions   []struct {
			Type, Status       string
			LastTransitionTime time.Time
		}
		ContainerStatuses []struct {
			State struct{ Running struct{ StartedAt time.Time } }
		}
	}
}

func (p pod) ready() bool { return p.Metadata.DeletionTimestamp == "" && !p.readySince().IsZero() }

// readySince is the zero time of a pod that is not ready.
func (p pod) readySince() time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" && c.Status == "True" {
			return c.LastTransitionTime
		}
	}
	return time.Time{}
}

const pods = "/api/v1/namespaces/shop/pods"

// ready lists the pods of a workload that are ready.
func (c *cluster) ready(t *testing.T, app string) (found []pod) {
	t.Helper()
	var list struct{ Items []pod }
	c.call(t, http.MethodGet, pods+"?labelSelector=app%3D"+app, nil, &list)
	for _, p := range list.Items {
		if p.ready() {
			found = append(found, p)
		}
	}
	return found
}

// ask makes a request with an id through the Service, or of one pod, and returns who
// answered.
func (c *cluster) ask(t *testing.T, address, id string, limit time.Duration) (string, error) {
	t.Helper()
	client := &http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.dial}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
	require.NoError(t, err)
	req.Header.Set("X-Request-Id", id)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("X-Served-By"), err
}

const soon, every = time.Minute, 200 * time.Millisecond

// TestKubernetes goes through the life of one cluster: bringing it up costs half a
// minute.
func TestKubernetes(t *testing.T) {
	labtest.Real(t)
	before := traces(t)
	c := upCluster(t)
	t.Run("workloads", func(t *testing.T) { servesAndWritesDown(t, c) })
	t.Run("logs and commands", func(t *testing.T) { showsLogs(t, c) })
	t.Run("coming", func(t *testing.T) { comeAsTheyAre(t, c) })
	t.Run("image", func(t *testing.T) { runsFiredrill(t, c) })
	t.Run("killed pod", func(t *testing.T) { replacesPods(t, c) })
	t.Run("budget", func(t *testing.T) { keepsBudgets(t, c) })
	t.Run("PodChaos", func(t *testing.T) { killsThroughChaosMesh(t, c) })
	t.Run("NetworkChaos", func(t *testing.T) { partitionsThroughChaosMesh(t, c) })
	t.Run("webhooks", func(t *testing.T) { refusesNonsense(t, c) })
	t.Run("many pods", func(t *testing.T) { holdsManyPods(t, c) })
	t.Run("up again", func(t *testing.T) { repairs(t, c) })
	id := filepath.Base(filepath.Dir(c.Members[0].Dir))
	for _, what := range []string{"/kube-apiserver ", "containerd-shim", "process /shop ", "mount ", "/sys/fs/cgroup/", "/run/netns/"} {
		assert.Contains(t, strings.Join(named(t, id), "\n"), what, "the test sees what there is")
	}
	require.NoError(t, lab.Down(t.Context(), c.home, c.Name))
	nothingLeft(t, c.home, c.Status)
	assert.Empty(t, named(t, id))
	assert.Equal(t, before, traces(t))
	require.NoError(t, lab.Down(t.Context(), c.home, c.Name), "a second down is fine")
}

// servesAndWritesDown: every pod answers through the Service, from both zones, and
// the request is in its book.
func servesAndWritesDown(t *testing.T, c *cluster) {
	api := c.ready(t, "api")
	require.Len(t, api, 3)
	nodes := map[string]bool{}
	for _, p := range api {
		nodes[p.Spec.NodeName] = true
	}
	assert.Len(t, nodes, 2, "pods in both zones")
	answered := map[string]string{}
	for i := 0; len(answered) < 3 && i < 200; i++ {
		id := fmt.Sprintf("request-%d", i)
		by, err := c.ask(t, c.Route, id, 5*time.Second)
		require.NoError(t, err)
		answered[by] = id
	}
	assert.Len(t, answered, 3, "the Service leads to every pod")
	for by, id := range answered {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(c.Members[0].Dir), "served", by+".jsonl"))
		require.NoError(t, err)
		assert.Contains(t, string(b), `"id":"`+id+`"`)
	}
	top := c.topology(t)
	for _, app := range lab.ClusterComponents()[1:] {
		assert.Len(t, c.ready(t, app), 2)
		i := slices.IndexFunc(top.Routes, func(r topology.RouteSpec) bool { return r.Name == lab.ClusterRoute(app) })
		require.GreaterOrEqual(t, i, 0, app)
		by, err := c.ask(t, top.Routes[i].Address, "", 5*time.Second)
		require.NoError(t, err)
		assert.Contains(t, by, app+"-", "the Service of %s", app)
	}
}

// topology reads the file that drills are given.
func (c *cluster) topology(t *testing.T) topology.Spec {
	t.Helper()
	b, err := os.ReadFile(c.Topology)
	require.NoError(t, err)
	b, err = yaml.YAMLToJSON(b)
	require.NoError(t, err)
	var f topology.File
	require.NoError(t, json.Unmarshal(b, &f))
	assert.Equal(t, c.Namespace, f.Spec.Network.Namespace)
	return f.Spec
}

// showsLogs: the API server reaches the kubelets.
func showsLogs(t *testing.T, c *cluster) {
	for _, p := range c.ready(t, "api") {
		_, err := c.ask(t, p.Status.PodIP+":8080", "for the log", 5*time.Second)
		require.NoError(t, err, "a pod is reached at its own address")
		assert.Contains(t, c.log(t, p.Metadata.Name), "for the log")
	}
}

func (c *cluster) log(t *testing.T, pod string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.server+pods+"/"+pod+"/log", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.api.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}

func replacesPods(t *testing.T, c *cluster) {
	victim := c.ready(t, "api")[0]
	c.kill(t, victim)
	c.replaced(t, victim)
}

func (c *cluster) kill(t *testing.T, p pod) {
	t.Helper()
	c.call(t, http.MethodDelete, pods+"/"+p.Metadata.Name+"?gracePeriodSeconds=0", nil, new(any))
}

// replaced waits until another pod of api has taken a pod's place.
func (c *cluster) replaced(t *testing.T, victim pod) {
	t.Helper()
	require.Eventually(t, func() bool {
		now := c.ready(t, "api")
		return len(now) == 3 && !slices.ContainsFunc(now, func(p pod) bool { return p.Metadata.UID == victim.Metadata.UID })
	}, soon, every, "%s is replaced", victim.Metadata.Name)
}

// comeAsTheyAre: web is not asked for a while whether it is ready, though it answers;
// bare is never asked, and is ready before it answers.
func comeAsTheyAre(t *testing.T, c *cluster) {
	web := c.newcomer(t, "web")
	late := web.readySince().Sub(web.Status.ContainerStatuses[0].State.Running.StartedAt)
	assert.GreaterOrEqual(t, late, 2*time.Second, "3 s; Kubernetes' times have no fractions")
	answers := func(p pod) bool {
		_, err := c.ask(t, p.Status.PodIP+":8080", "", time.Second)
		return err == nil
	}
	// On a busy machine a test may come too late to see it.
	seen := false
	for i := 0; i < 5 && !seen; i++ {
		bare := c.newcomer(t, "bare")
		seen = !answers(bare)
		require.Eventually(t, func() bool { return answers(bare) }, soon, every)
	}
	assert.True(t, seen, "a pod of bare is ready and does not answer")
}

// newcomer kills a pod and returns the one that takes its place, once it is ready.
func (c *cluster) newcomer(t *testing.T, app string) (p pod) {
	t.Helper()
	before := c.ready(t, app)
	c.kill(t, before[0])
	require.Eventually(t, func() bool {
		for _, p = range c.ready(t, app) {
			if !slices.ContainsFunc(before, func(b pod) bool { return b.Metadata.UID == p.Metadata.UID }) {
				return true
			}
		}
		return false
	}, soon, 50*time.Millisecond, "a pod of %s is replaced", app)
	return p
}

// runsFiredrill: pods on each node run firedrill itself, and not as root.
func runsFiredrill(t *testing.T, c *cluster) {
	for range 2 { // the second time nothing is packed
		program, start := built.path(t), time.Now()
		require.NoError(t, lab.ImportFiredrill(t.Context(), c.home, c.Name, program))
		t.Logf("import took %s", time.Since(start).Round(time.Millisecond))
	}
	for _, node := range []string{"node-a", "node-b"} {
		name := "firedrill-" + node
		c.call(t, http.MethodPost, pods, map[string]any{
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": name}, "spec": map[string]any{
				"nodeName": node, "restartPolicy": "Never", "securityContext": map[string]any{"runAsNonRoot": true},
				"containers": []map[string]any{{
					"name": "firedrill", "image": lab.FiredrillImage, "imagePullPolicy": "Never", "args": []string{"lab", "list"},
				}},
			},
		}, new(any))
		require.Eventually(t, func() bool {
			var p pod
			c.call(t, http.MethodGet, pods+"/"+name, nil, &p)
			require.NotEqual(t, "Failed", p.Status.Phase)
			return p.Status.Phase == "Succeeded"
		}, soon, every, "%s ends", name)
		assert.Contains(t, c.log(t, name), "kubernetes")
		c.call(t, http.MethodDelete, pods+"/"+name+"?gracePeriodSeconds=0", nil, new(any))
	}
}

// keepsBudgets: the second eviction would leave fewer pods than the budget says.
func keepsBudgets(t *testing.T, c *cluster) {
	api := c.ready(t, "api")
	evict := func(p pod) int {
		return c.call(t, http.MethodPost, pods+"/"+p.Metadata.Name+"/eviction", map[string]any{
			"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]any{"name": p.Metadata.Name, "namespace": "shop"},
		}, nil)
	}
	require.Eventually(t, func() bool { return evict(api[0]) == http.StatusCreated }, soon, every, "the budget allows one")
	assert.Equal(t, http.StatusTooManyRequests, evict(api[1]))
	c.replaced(t, api[0])
}

const chaos = "/apis/chaos-mesh.org/v1alpha1/namespaces/shop"

// inflict makes an object of Chaos Mesh, and waits until it is injected.
func (c *cluster) inflict(t *testing.T, kind, name string, spec map[string]any) (path string) {
	t.Helper()
	collection := chaos + "/" + strings.ToLower(kind)
	path = collection + "/" + name
	c.call(t, http.MethodPost, collection, map[string]any{
		"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "spec": spec,
		"metadata": map[string]any{"name": name, "namespace": "shop"},
	}, new(any))
	require.Eventually(t, func() bool {
		var o struct {
			Status struct {
				Conditions []struct{ Type, Status string }
			}
		}
		c.call(t, http.MethodGet, path, nil, &o)
		return slices.Contains(o.Status.Conditions, struct{ Type, Status string }{"AllInjected", "True"})
	}, soon, every, "%s is injected", name)
	return path
}

// heal deletes an object of Chaos Mesh and waits until it is gone.
func (c *cluster) heal(t *testing.T, path string) {
	t.Helper()
	c.call(t, http.MethodDelete, path, nil, new(any))
	require.Eventually(t, func() bool { return c.call(t, http.MethodGet, path, nil, nil) == http.StatusNotFound }, soon, every,
		"%s is gone", path)
}

func only(p pod) map[string]any {
	return map[string]any{"pods": map[string]any{"shop": []string{p.Metadata.Name}}}
}

func killsThroughChaosMesh(t *testing.T, c *cluster) {
	victim := c.ready(t, "api")[0]
	path := c.inflict(t, "PodChaos", "kill", map[string]any{"action": "pod-kill", "mode": "all", "selector": only(victim)})
	c.replaced(t, victim)
	c.heal(t, path)
}

// partitionsThroughChaosMesh: a pod on each node is cut off, and lets be.
func partitionsThroughChaosMesh(t *testing.T, c *cluster) {
	for _, node := range []string{"node-a", "node-b"} {
		web := c.ready(t, "web")
		i := slices.IndexFunc(web, func(p pod) bool { return p.Spec.NodeName == node })
		require.GreaterOrEqual(t, i, 0, "web has a pod on %s", node)
		victim := web[i]
		address := victim.Status.PodIP + ":8080"
		reached := func() bool { _, err := c.ask(t, address, "", time.Second); return err == nil }
		require.True(t, reached())
		path := c.inflict(t, "NetworkChaos", "cut-"+node, map[string]any{
			"action": "partition", "mode": "all", "direction": "both", "selector": only(victim),
			"externalTargets": []string{"10.61.0.1"},
		})
		assert.False(t, reached(), "%s is cut off from the client", address)
		st := status(t, c.home, c.Name)
		assert.Contains(t, strings.Join(st.Problems, "\n"), "cut-"+node)
		c.heal(t, path)
		require.Eventually(t, reached, soon, every, "%s is reached again", address)
	}
}

// holdsManyPods: fake nodes run pods, and the lab's own workloads stay where they are.
func holdsManyPods(t *testing.T, c *cluster) {
	start := time.Now()
	client := fakekubelet.Client(t, c.Status)
	fakekubelet.Start(t, client, "scale", 5).Pods(t, "many", 250)
	t.Logf("250 pods took %s", time.Since(start).Round(time.Millisecond))
	many := client.CoreV1().Pods("scale")
	require.NoError(t, many.Delete(t.Context(), "many-7", metav1.DeleteOptions{}), "with its grace")
	require.Eventually(t, func() bool {
		_, err := many.Get(t.Context(), "many-7", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, soon, every)
	p, err := many.Get(t.Context(), "many-8", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotEmpty(t, p.Status.PodIP)
	assert.True(t, p.Status.ContainerStatuses[0].Ready)
	st := status(t, c.home, c.Name)
	assert.Equal(t, lab.Healthy, st.State, st.Problems)
}

// refusesNonsense: the webhooks of Chaos Mesh are asked.
func refusesNonsense(t *testing.T, c *cluster) {
	code := c.call(t, http.MethodPost, chaos+"/podchaos", map[string]any{
		"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "metadata": map[string]any{"name": "bad", "namespace": "shop"},
		"spec": map[string]any{"action": "pod-kill", "mode": "fixed", "value": "many", "selector": map[string]any{}},
	}, nil)
	assert.Equal(t, http.StatusForbidden, code)
}

// repairs: what was killed is started again, and nothing else.
func repairs(t *testing.T, c *cluster) {
	require.Eventually(t, func() bool { return status(t, c.home, c.Name).State == lab.Healthy }, soon, every)
	before := status(t, c.home, c.Name)
	assert.Equal(t, before, upAgain(t, c.home, c.Name), "a second up changes nothing")
	victims := []string{"etcd", "kube-apiserver", "kubelet-b", "containerd-a", "chaos-controller-manager"}
	all := func(st lab.Status) []lab.MemberStatus { return slices.Concat(st.Members, st.Services) }
	killed := func(m lab.MemberStatus) bool { return slices.Contains(victims, filepath.Base(m.Dir)) }
	_, err := fakekubelet.Client(t, c.Status).CoreV1().Nodes().Patch(t.Context(), "node-a", types.MergePatchType,
		[]byte(`{"spec":{"unschedulable":true,"taints":[{"key":"example.com/drill","effect":"NoSchedule"}]}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	said := strings.Join(status(t, c.home, c.Name).Problems, "\n")
	assert.Contains(t, said, "node-a takes no pods")
	assert.Contains(t, said, "example.com/drill")
	for _, m := range all(before) {
		if killed(m) {
			kill(t, m.PID)
		}
	}
	require.Eventually(t, func() bool {
		said := strings.Join(status(t, c.home, c.Name).Problems, "\n")
		return !slices.ContainsFunc(victims, func(v string) bool { return !strings.Contains(said, v+" does not run") })
	}, soon, every, "it shows")
	after := upAgain(t, c.home, c.Name)
	require.Equal(t, lab.Healthy, after.State, after.Problems)
	for i, m := range all(after) {
		if filepath.Base(m.Dir) == "kube-controller-manager" || filepath.Base(m.Dir) == "kube-scheduler" {
			continue // they end by themselves when the API server does not answer
		}
		assert.Equal(t, !killed(m), m.PID == all(before)[i].PID, "only what was killed is started again: %s", m.Name)
	}
	_, err = c.ask(t, c.Route, "", 5*time.Second)
	assert.NoError(t, err)
}
