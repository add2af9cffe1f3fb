package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
	"firedrill/lab"
	"firedrill/scenarios"
)

// clusterLab is the lab kubernetes, looked at behind firedrill's back.
type clusterLab struct {
	*patient
	client  kubernetes.Interface
	objects dynamic.Interface
}

// cluster returns the lab, up and healthy.
func cluster(t *testing.T) *clusterLab {
	t.Helper()
	l := &clusterLab{patient: ill(t, "kubernetes")}
	require.Equal(t, lab.Healthy, l.now.State, l.now.Problems)
	config := l.config(t)
	var err error
	l.client, err = kubernetes.NewForConfig(config)
	require.NoError(t, err)
	l.objects, err = dynamic.NewForConfig(config)
	require.NoError(t, err)
	return l
}

// config is the administrator's, for a client that stands outside the namespace.
func (l *clusterLab) config(t *testing.T) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", l.now.Kubeconfig)
	require.NoError(t, err)
	config.Dial = l.dial
	config.QPS, config.Burst = 100, 100
	return config
}

func (l *clusterLab) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return lab.DialInside(ctx, l.now.Namespace, network, address)
}

// ctx is for what a test puts back: its own context has ended by then.
func (l *clusterLab) ctx() context.Context { return context.Background() }

// address is that of a component's route.
func (l *clusterLab) address(t *testing.T, component string) string {
	t.Helper()
	f, err := scenarios.LoadTopology(l.now.Topology, entries())
	require.NoError(t, err)
	for _, r := range f.Spec.Routes {
		if r.Component == component {
			return r.Address
		}
	}
	require.Fail(t, "no route to "+component)
	return ""
}

// whole waits until the lab is as it was when it was new, and nothing of a drill is
// left in it.
func (l *clusterLab) whole(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		st, err := lab.StatusOf(t.Context(), l.home, l.lab)
		require.NoError(c, err)
		require.Equal(c, lab.Healthy, st.State, st.Problems)
	}, time.Minute, 100*time.Millisecond)
	l.look(t)
	out := l.run(t, "recover")
	assert.Equal(t, "Nothing to recover.\n", out.stdout, out.stderr)
	assert.Zero(t, out.code)
	leases, err := l.client.CoordinationV1().Leases(lab.ShopNamespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, leases.Items, "a lock is left")
	l.unmarked(t)
}

// unmarked fails the test if faults have left something of theirs.
func (l *clusterLab) unmarked(t *testing.T) {
	t.Helper()
	free := func(o metav1.Object, kind string) {
		for _, marks := range []map[string]string{o.GetLabels(), o.GetAnnotations()} {
			for name := range marks {
				assert.False(t, strings.HasPrefix(name, "firedrill.dev/"), "%s is left on %s %s", name, kind, o.GetName())
			}
		}
	}
	core, apps := l.client.CoreV1(), l.client.AppsV1()
	pods, err := core.Pods(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range pods.Items {
		free(&pods.Items[i], "pod")
	}
	nodes, err := core.Nodes().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range nodes.Items {
		free(&nodes.Items[i], "node")
		for _, taint := range nodes.Items[i].Spec.Taints { // those of Kubernetes' own come and go
			assert.True(t, strings.HasPrefix(taint.Key, "node.kubernetes.io/"), "taint %s is left on node %s", taint.Key, nodes.Items[i].Name)
		}
	}
	deployments, err := apps.Deployments(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range deployments.Items {
		free(&deployments.Items[i], "deployment")
	}
	sets, err := apps.StatefulSets(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for i := range sets.Items {
		free(&sets.Items[i], "statefulset")
	}
	policies, err := l.client.NetworkingV1().NetworkPolicies(metav1.NamespaceAll).List(t.Context(), metav1.ListOptions{
		LabelSelector: "app.kubernetes.io/managed-by=firedrill",
	})
	require.NoError(t, err)
	assert.Empty(t, policies.Items, "a policy is left")
}

// podKill writes a copy of the library's scenario that takes seconds, with each first
// of replace (a regular expression) replaced by the second.
func podKill(t *testing.T, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile("../../scenarios/library/pod-kill.yaml")
	require.NoError(t, err)
	replace = append([]string{
		`baseline: 5s`, "baseline: 2s", `for: 5s`, "for: 2s", `every: 50ms`, "every: 40ms", `samples: 50`, "samples: 20",
	}, replace...)
	for i := 0; i+1 < len(replace); i += 2 {
		re := regexp.MustCompile("(?m)" + replace[i])
		require.Regexp(t, re, string(text))
		text = re.ReplaceAllLiteral(text, []byte(replace[i+1]))
	}
	path := filepath.Join(t.TempDir(), "pod-kill.yaml")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// asked is one request of a client that firedrill knows nothing of.
type asked struct {
	id        string
	from, to  time.Time
	by, error string
}

// client asks through a Service, a new connection for each request, until stop is
// called, which returns what came of it.
func (l *clusterLab) asks(t *testing.T, address string, every time.Duration) (stop func() []asked) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var all []asked
	var running sync.WaitGroup
	web := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: l.dial}}
	running.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			running.Go(func() {
				a := ask(web, address, fmt.Sprintf("apart-%d-%d", os.Getpid(), n))
				mu.Lock()
				defer mu.Unlock()
				all = append(all, a)
			})
		}
	})
	return func() []asked {
		cancel()
		running.Wait()
		return all
	}
}

func ask(web *http.Client, address, id string) asked {
	a := asked{id: id, from: time.Now()}
	defer func() { a.to = time.Now() }()
	req, err := http.NewRequest(http.MethodGet, "http://"+address+"/", nil)
	if err == nil {
		req.Header.Set("X-Request-Id", id)
		var resp *http.Response
		if resp, err = web.Do(req); err == nil {
			defer resp.Body.Close()
			_, err = io.Copy(io.Discard, resp.Body)
			a.by = resp.Header.Get("X-Served-By")
			if err == nil && resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("status %d", resp.StatusCode)
			}
		}
	}
	if err != nil {
		a.error = err.Error()
	}
	a.to = time.Now()
	return a
}

// booked is one line of a pod's own book.
type booked struct {
	Time      time.Time
	Pod, ID   string
	Status    int
	Seconds   float64
	Error     string
	Path      string
	UserAgent string
}

// books are what the pods wrote down, of those that ended too, by pod.
func (l *clusterLab) books(t *testing.T) map[string][]booked {
	t.Helper()
	dir := filepath.Join(filepath.Dir(l.now.Members[0].Dir), "served")
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	require.NoError(t, err)
	all := map[string][]booked{}
	for _, path := range files {
		f, err := os.Open(path)
		require.NoError(t, err)
		lines := bufio.NewScanner(f)
		pod := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		for lines.Scan() {
			var s booked
			if json.Unmarshal(lines.Bytes(), &s) == nil { // the last line of a killed pod may be cut
				all[pod] = append(all[pod], s)
			}
		}
		f.Close()
	}
	return all
}

// podDrill is a drill with all that is known of it.
type podDrill struct {
	verdict.Result
	dir   string
	out   output
	rec   *timeline.Record
	apart []asked
}

// drills runs a scenario on the lab while a client apart asks, too.
func (l *clusterLab) drills(t *testing.T, component, scenario string, more ...string) *podDrill {
	t.Helper()
	stop := l.asks(t, l.address(t, component), 20*time.Millisecond)
	dir := filepath.Join(t.TempDir(), "run")
	out := l.run(t, append([]string{"run", scenario, "--lab", l.lab, "--out", dir, "--var", "component=" + component}, more...)...)
	d := &podDrill{dir: dir, out: out, apart: stop()}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out.stderr)
		}
	})
	d.Result = l.result(t, dir, out)
	var err error
	d.rec, err = timeline.Read(dir)
	require.NoError(t, err)
	return d
}

// process kills a process of the lab that is no member, by its recorded number.
func (l *clusterLab) kill(t *testing.T, name string) {
	t.Helper()
	l.look(t)
	for _, m := range append(l.now.Members, l.now.Services...) {
		if filepath.Base(m.Dir) == name {
			require.NoError(t, syscall.Kill(m.PID, syscall.SIGKILL))
			return
		}
	}
	require.Fail(t, "no process "+name)
}

// mend brings the lab's own processes back.
func (l *clusterLab) mend(t *testing.T) {
	t.Helper()
	out := l.run(t, "lab", "up", l.lab)
	require.Zero(t, out.code, out.stderr)
}
