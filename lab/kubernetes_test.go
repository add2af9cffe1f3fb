//go:build kubernetes

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
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/lab"
	"firedrill/lab/labtest"
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
		PodIP      string
		Conditions []struct{ Type, Status string }
	}
}

func (p pod) ready() bool {
	return p.Metadata.DeletionTimestamp == "" && slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool {
		return c.Type == "Ready" && c.Status == "True"
	})
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
	t.Run("killed pod", func(t *testing.T) { replacesPods(t, c) })
	t.Run("budget", func(t *testing.T) { keepsBudgets(t, c) })
	t.Run("PodChaos", func(t *testing.T) { killsThroughChaosMesh(t, c) })
	t.Run("NetworkChaos", func(t *testing.T) { partitionsThroughChaosMesh(t, c) })
	t.Run("webhooks", func(t *testing.T) { refusesNonsense(t, c) })
	t.Run("up again", func(t *testing.T) { repairs(t, c) })
	require.NoError(t, lab.Down(t.Context(), c.home, c.Name))
	nothingLeft(t, c.home, c.Status)
	assert.Equal(t, before, traces(t))
	require.NoError(t, lab.Down(t.Context(), c.home, c.Name), "a second down is fine")
}

// traces are what a cluster could leave on the host: mounts, interfaces, rules,
// control groups, namespaces, processes, and files where Kubernetes and its like
// write by default.
func traces(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{"rules": {nft(t)}}
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, "kubernetes") || strings.Contains(line, "overlay") {
			found["mounts"] = append(found["mounts"], line)
		}
	}
	links, err := os.ReadDir("/sys/class/net")
	require.NoError(t, err)
	for _, l := range links {
		found["interfaces"] = append(found["interfaces"], l.Name())
	}
	for kind, patterns := range map[string][]string{
		"control groups": {"/sys/fs/cgroup/firedrill*", "/sys/fs/cgroup/*/firedrill*", "/sys/fs/cgroup/*/kubepods*"},
		"namespaces":     {"/run/netns/firedrill-kubernetes-*", "/run/netns/cni-*"},
		"files": {
			"/var/lib/kubelet*", "/var/lib/cni*", "/var/lib/containerd*", "/run/containerd*", "/var/log/pods*", "/var/log/containers*",
			"/usr/libexec/kubernetes*", "/opt/containerd*", "/etc/kubernetes*", "/etc/cni*", "/usr/local/bin/nsexec", "/run/xtables.lock",
			"/var/lib/firedrill/kubernetes-*",
		},
	} {
		for _, p := range patterns {
			paths, err := filepath.Glob(p)
			require.NoError(t, err)
			found[kind] = append(found[kind], paths...)
		}
	}
	out, err := osexec.CommandContext(t.Context(), "ps", "-eo", "stat=,comm=").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		state, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(state, "Z") {
			continue // has ended; its parent, the machine's first process, is to know
		}
		name = strings.TrimSpace(name)
		for _, prefix := range []string{"containerd", "kube", "etcd", "runc", "chaos-", "shop", "pause"} {
			if strings.HasPrefix(name, prefix) {
				found["processes"] = append(found["processes"], name)
				break
			}
		}
	}
	return found
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
	assert.Len(t, c.ready(t, "worker"), 2)
	assert.Len(t, c.ready(t, "web"), 2)
}

// showsLogs: the API server reaches the kubelets.
func showsLogs(t *testing.T, c *cluster) {
	for _, p := range c.ready(t, "api") {
		_, err := c.ask(t, p.Status.PodIP+":8080", "for the log", 5*time.Second)
		require.NoError(t, err, "a pod is reached at its own address")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.server+pods+"/"+p.Metadata.Name+"/log", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+c.token)
		resp, err := c.api.Do(req)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		assert.Contains(t, string(text), "for the log")
	}
}

func replacesPods(t *testing.T, c *cluster) {
	victim := c.ready(t, "api")[0]
	c.call(t, http.MethodDelete, pods+"/"+victim.Metadata.Name+"?gracePeriodSeconds=0", nil, new(any))
	c.replaced(t, victim)
}

// replaced waits until another pod has taken a pod's place.
func (c *cluster) replaced(t *testing.T, victim pod) {
	t.Helper()
	require.Eventually(t, func() bool {
		now := c.ready(t, "api")
		return len(now) == 3 && !slices.ContainsFunc(now, func(p pod) bool { return p.Metadata.UID == victim.Metadata.UID })
	}, soon, every, "%s is replaced", victim.Metadata.Name)
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
	assert.Equal(t, before, up(t, c.home, c.Name), "a second up changes nothing")
	victims := []string{"etcd", "kube-apiserver", "kubelet-b", "containerd-a", "chaos-controller-manager"}
	all := func(st lab.Status) []lab.MemberStatus { return slices.Concat(st.Members, st.Services) }
	killed := func(m lab.MemberStatus) bool { return slices.Contains(victims, filepath.Base(m.Dir)) }
	for _, m := range all(before) {
		if killed(m) {
			kill(t, m.PID)
		}
	}
	require.Eventually(t, func() bool {
		said := strings.Join(status(t, c.home, c.Name).Problems, "\n")
		return !slices.ContainsFunc(victims, func(v string) bool { return !strings.Contains(said, v+" does not run") })
	}, soon, every, "it shows")
	after := up(t, c.home, c.Name)
	require.Equal(t, lab.Healthy, after.State, after.Problems)
	for i, m := range all(after) {
		if filepath.Base(m.Dir) == "kube-controller-manager" || filepath.Base(m.Dir) == "kube-scheduler" {
			continue // they end by themselves when the API server does not answer
		}
		assert.Equal(t, !killed(m), m.PID == all(before)[i].PID, "only what was killed is started again: %s", m.Name)
	}
	_, err := c.ask(t, c.Route, "", 5*time.Second)
	assert.NoError(t, err)
}
