package injectors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
	"firedrill/injectors"
	"firedrill/lab"
	"firedrill/lab/labtest"
	"firedrill/lab/labtest/fakekubelet"
)

const (
	// crowd is the namespace of the pods on fake nodes.
	crowd = "crowd"
	// keptPods of crowdPods have a workload that replaces them: it takes Kubernetes' own
	// controllers a minute to make a thousand such.
	keptPods, crowdPods = 120, 1000
	// killRounds and watchRounds are how often one operation of a benchmark does it.
	killRounds, watchRounds = 10, 100
)

// BenchmarkKubernetes measures firedrill on a real cluster with a thousand pods, most of
// them on nodes that nothing runs on (see fakekubelet).
func BenchmarkKubernetes(b *testing.B) {
	c := benchCluster(b)
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("Kill/pods=%d", n), func(b *testing.B) { c.kills(b, n) })
	}
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("Watch/atOnce=%d", n), func(b *testing.B) { c.watches(b, n) })
	}
	for _, app := range []string{"api", crowd} {
		b.Run("Runner/component="+app, func(b *testing.B) { c.runs(b, app) })
	}
}

// benchedCluster is the lab kubernetes, with a client that notes what it sends.
type benchedCluster struct {
	lab.Status
	home   string
	sent   sentRequests
	client kubernetes.Interface
}

func benchCluster(b *testing.B) *benchedCluster {
	b.Helper()
	labtest.Real(b)
	c := &benchedCluster{home: b.TempDir()}
	b.Cleanup(func() { require.NoError(b, lab.Down(context.Background(), c.home, clusterName)) })
	_, err := lab.Up(b.Context(), c.home, clusterName, func(line string) { b.Log(line) })
	require.NoError(b, err)
	c.Status, err = lab.StatusOf(b.Context(), c.home, clusterName)
	require.NoError(b, err)
	c.open(b)
	c.client = fakekubelet.Client(b, c.Status)
	nodes := fakekubelet.Start(b, c.client, crowd, 4)
	_, err = c.client.AppsV1().Deployments(crowd).Create(b.Context(), keptDeployment(), metav1.CreateOptions{})
	require.NoError(b, err)
	nodes.Pods(b, crowd, crowdPods-keptPods)
	c.whole(b)
	return c
}

// open has firedrill use its own client, with its own limits, by way of a round tripper
// that notes what is sent.
func (c *benchedCluster) open(b *testing.B) {
	b.Helper()
	access := kube.Access{Kubeconfig: c.Kubeconfig}
	k, err := access.Open()
	require.NoError(b, err)
	config := rest.CopyConfig(k.Config)
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return lab.DialInside(ctx, c.Namespace, network, address)
	}
	config.Wrap(func(to http.RoundTripper) http.RoundTripper { return &notingTripper{to: to, sent: &c.sent} })
	noting := &kube.Cluster{Config: config, Namespace: k.Namespace, Says: k.Says}
	noting.Client, err = kubernetes.NewForConfig(config)
	require.NoError(b, err)
	noting.Dynamic, err = dynamic.NewForConfig(config)
	require.NoError(b, err)
	b.Cleanup(access.Use(noting))
}

// sentRequests are when requests that delete something were on the wire.
type sentRequests struct {
	mu sync.Mutex
	at []time.Time
}

func (s *sentRequests) take() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.at
	s.at = nil
	slices.SortFunc(at, time.Time.Compare)
	return at
}

type notingTripper struct {
	to   http.RoundTripper
	sent *sentRequests
}

// RoundTrip implements http.RoundTripper.
func (n *notingTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodDelete {
		return n.to.RoundTrip(r)
	}
	return n.to.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) {
			n.sent.mu.Lock()
			defer n.sent.mu.Unlock()
			n.sent.at = append(n.sent.at, time.Now())
		},
	})))
}

const keptName = "kept"

// keptDeployment runs on the fake nodes. Its pods are of the crowd.
func keptDeployment() *appsv1.Deployment {
	n, none := int32(keptPods), int64(0)
	labels := map[string]string{"app": crowd, "kept": "true"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: keptName},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{fakekubelet.Fake: "true"}, TerminationGracePeriodSeconds: &none,
					Tolerations: []corev1.Toleration{{Key: fakekubelet.Fake, Operator: corev1.TolerationOpExists}},
					Containers:  []corev1.Container{{Name: "main", Image: "none"}},
				},
			},
		},
	}
}

// whole waits until the workload has all its pods.
func (c *benchedCluster) whole(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 3*time.Minute)
	defer cancel()
	require.NoError(b, poll.Until(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		d, err := c.client.AppsV1().Deployments(crowd).Get(ctx, keptName, metav1.GetOptions{})
		if err == nil && (d.Status.ReadyReplicas != keptPods || d.Status.Replicas != keptPods) {
			err = fmt.Errorf("%d of %d pods are ready", d.Status.ReadyReplicas, keptPods)
		}
		return err
	}))
}

// component is one of pods in the namespace of the crowd.
func (c *benchedCluster) component(b *testing.B, selector string) *topology.Component {
	b.Helper()
	with, err := json.Marshal(map[string]any{"kubeconfig": c.Kubeconfig, "namespace": crowd, "selector": selector})
	require.NoError(b, err)
	of, err := kinds.OpenComponent(topology.ComponentSpec{Name: crowd, Kind: kube.PodsKind, With: with}, nil)
	require.NoError(b, err)
	return of
}

// spans are durations of the same thing, in many rounds.
type spans map[string][]time.Duration

// report says the lowest, the median and the highest of each.
func (s spans) report(b *testing.B) {
	b.Helper()
	for name, all := range s {
		slices.Sort(all)
		b.ReportMetric(all[0].Seconds()*1e3, name+"-min-ms")
		b.ReportMetric(all[len(all)/2].Seconds()*1e3, name+"-p50-ms")
		b.ReportMetric(all[len(all)-1].Seconds()*1e3, name+"-max-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// kills measures what is between the decision to kill pods and the requests that do so.
// Look is what comes before: the target is discovered and prepared.
func (c *benchedCluster) kills(b *testing.B, n int) {
	of, all := c.component(b, "kept=true"), spans{}
	for b.Loop() {
		for range killRounds {
			c.kill(b, of, n, all)
		}
	}
	all.report(b)
}

func (c *benchedCluster) kill(b *testing.B, of *topology.Component, n int, all spans) {
	b.Helper()
	c.whole(b)
	kill, err := injectors.All(kinds).Build("pod-kill", nil)
	require.NoError(b, err)
	began := time.Now()
	state, err := of.Adapter.Discover(b.Context())
	require.NoError(b, err)
	require.NoError(b, kinds.Enrol(of, state))
	to := drills.Target{Component: of, Members: of.Members[:n], Others: of.Members[n:], State: state}
	undo, err := kill.Prepare(b.Context(), to)
	require.NoError(b, err)
	c.sent.take()
	decided := time.Now()
	require.NoError(b, kill.Inject(b.Context(), to, undo))
	answered := time.Now()
	sent := c.sent.take()
	require.Len(b, sent, n, "every request was seen")
	for name, took := range map[string]time.Duration{
		"look": decided.Sub(began), "first": sent[0].Sub(decided), "last": sent[n-1].Sub(decided), "answered": answered.Sub(decided),
	} {
		all[name] = append(all[name], took)
	}
	require.NoError(b, kill.Revert(b.Context(), undo))
}

// watches measures how long it takes from a deletion until firedrill is told of it:
// from the request being sent, and from the API server's answer (which it may beat).
func (c *benchedCluster) watches(b *testing.B, n int) {
	told := newListener()
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	watching := c.component(b, "app="+crowd).Adapter.(topology.Watching)
	go func() { ended <- watching.Watch(ctx, told.note) }()
	defer func() { cancel(); require.NoError(b, <-ended) }()
	c.settleWatch(b, told)
	all := spans{}
	for b.Loop() {
		for i := 0; i < watchRounds; i += n {
			c.deleteSeen(b, n, told, all)
		}
	}
	all.report(b)
}

// settleWatch returns once the watch tells: what was there before it is not told.
func (c *benchedCluster) settleWatch(b *testing.B, told *listener) {
	b.Helper()
	require.Eventually(b, func() bool {
		name := c.kept(b, 1)[0]
		require.NoError(b, c.remove(b, name))
		_, err := told.gone(b.Context(), name, time.Second)
		return err == nil
	}, time.Minute, time.Millisecond, "the watch tells")
}

// kept are the names of pods that are replaced, once so many are ready.
func (c *benchedCluster) kept(b *testing.B, n int) (names []string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	require.NoError(b, poll.Until(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		names = nil
		list, err := c.client.CoreV1().Pods(crowd).List(ctx, metav1.ListOptions{LabelSelector: "kept=true"})
		for _, p := range list.Items {
			if kube.Ready(&p) && len(names) < n {
				names = append(names, p.Name)
			}
		}
		if err == nil && len(names) < n {
			err = fmt.Errorf("%d pods are ready, not %d", len(names), n)
		}
		return err
	}))
	return names
}

func (c *benchedCluster) remove(b *testing.B, name string) error {
	now := int64(0)
	return c.client.CoreV1().Pods(crowd).Delete(b.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &now})
}

func (c *benchedCluster) deleteSeen(b *testing.B, n int, told *listener, all spans) {
	b.Helper()
	names := c.kept(b, n)
	sent, answered, errs := make([]time.Time, n), make([]time.Time, n), make([]error, n)
	var deleting sync.WaitGroup
	for i, name := range names {
		deleting.Go(func() {
			sent[i] = time.Now()
			errs[i] = c.remove(b, name)
			answered[i] = time.Now()
		})
	}
	deleting.Wait()
	for i, name := range names {
		require.NoError(b, errs[i])
		seen, err := told.gone(b.Context(), name, 30*time.Second)
		require.NoError(b, err)
		all["fromRequest"] = append(all["fromRequest"], seen.Sub(sent[i]))
		all["fromAnswer"] = append(all["fromAnswer"], seen.Sub(answered[i]))
	}
}

// listener notes when it is told that pods are gone.
type listener struct {
	mu sync.Mutex
	at map[string]time.Time
}

func newListener() *listener { return &listener{at: map[string]time.Time{}} }

func (l *listener) note(c topology.Change) {
	if c.What != timeline.MemberGone {
		return
	}
	at := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at[c.Member] = at
}

func (l *listener) gone(ctx context.Context, name string, within time.Duration) (at time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err = poll.Until(ctx, time.Millisecond, func(context.Context) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		var told bool
		if at, told = l.at[name]; !told {
			return fmt.Errorf("nothing is told of %s", name)
		}
		return nil
	})
	return at, err
}

// benchScenario kills one pod of a component that is given.
const benchScenario = `apiVersion: firedrill/v1
kind: Scenario
metadata: {name: bench}
spec:
  objectives: {rto: 1m}
  baseline: 3s
  stable: {for: 3s, samples: 5, share: 0.9}
  probes:
    - {name: replicas, kind: kubernetes, target: {component: COMPONENT}, every: 500ms, timeout: 3s}
  faults:
    - {name: gone, kind: pod-kill, target: {component: COMPONENT, count: 1, labels: "LABELS"}}
  healAfter: 1m
  limits: {members: 1, sites: 3, duration: 3m}
`

// benchTopology has the lab's api and the crowd.
const benchTopology = `apiVersion: firedrill/v1
kind: Topology
metadata: {name: bench}
spec:
  network: {namespace: "NETNS"}
  components:
    - {name: api, kind: kubernetes, failover: automatic, with: {kubeconfig: "KUBECONFIG", namespace: shop, workload: deployment/api}}
    - {name: crowd, kind: kubernetes, failover: automatic, with: {kubeconfig: "KUBECONFIG", namespace: crowd, selector: app=crowd, replicas: 1000}}
`

func (c *benchedCluster) files(app string) (scenario, topology string) {
	labels := map[string]string{"api": "app=api", crowd: "kept=true"}[app]
	return strings.NewReplacer("COMPONENT", app, "LABELS", labels).Replace(benchScenario),
		strings.NewReplacer("NETNS", c.Namespace, "KUBECONFIG", c.Kubeconfig).Replace(benchTopology)
}
