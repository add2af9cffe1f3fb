package injectors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/kube"
	"firedrill/lab"
)

// cluster is the lab kubernetes, which all tests of this package share: bringing it up
// costs half a minute.
type cluster struct {
	home string
	// Status is what the lab was like when it was last looked at.
	Status lab.Status
	access kube.Access
	*kube.Cluster
}

const clusterName = "kubernetes"

var shared struct {
	once sync.Once
	home string
	err  error
}

// labCluster brings the cluster up, the first time, and returns once every pod is
// ready, as each test is to leave it. The test stands in a network namespace of its own,
// which becomes one more host of the cluster's network.
func labCluster(t *testing.T) *cluster {
	t.Helper()
	controltest.Real(t)
	shared.once.Do(func() {
		start := time.Now()
		shared.err = upCluster(t)
		t.Logf("the cluster was up after %s", time.Since(start).Round(time.Second))
	})
	require.NoError(t, shared.err)
	c := &cluster{home: shared.home}
	c.status(t)
	require.Equal(t, lab.Healthy, c.Status.State, c.Status.Problems)
	c.access = kube.Access{Kubeconfig: c.Status.Kubeconfig}
	var err error
	c.Cluster, err = c.access.Open()
	require.NoError(t, err)
	return c
}

func upCluster(t *testing.T) error {
	cache, err := lab.CacheDir()
	if err != nil {
		return err
	}
	if !lab.KubernetesBuilt(cache) {
		return fmt.Errorf("the cluster is not built: run lab/install.sh kubernetes")
	}
	if shared.home, err = os.MkdirTemp("", "fd-kube-"); err != nil {
		return err
	}
	if _, err := lab.Up(t.Context(), shared.home, clusterName, func(line string) { t.Log(line) }); err != nil {
		return err
	}
	st, err := lab.StatusOf(t.Context(), shared.home, clusterName)
	if err != nil {
		return err
	}
	return joinCluster(t.Context(), st)
}

// endCluster takes the cluster down after all tests.
func endCluster() {
	if shared.home == "" {
		return
	}
	if err := lab.Down(context.Background(), shared.home, clusterName); err != nil {
		fmt.Fprintln(os.Stderr, "take the cluster down:", err)
		return
	}
	os.RemoveAll(shared.home)
}

// joined is the address of the tests on the cluster's network.
const joined = "10.61.0.200"

// joinCluster connects this namespace with the switch that the nodes are at, and leads
// to the pods by way of the nodes that they run on.
func joinCluster(ctx context.Context, st lab.Status) error {
	inside := filepath.Base(st.Namespace)
	commands := []string{
		"link add cluster type veth peer name tests netns " + inside,
		"-n " + inside + " link set tests master nodes up",
		"addr add " + joined + "/24 dev cluster",
		"link set cluster up",
	}
	if err := ip(ctx, commands...); err != nil {
		return err
	}
	c, err := kube.Access{Kubeconfig: st.Kubeconfig}.Open()
	if err != nil {
		return err
	}
	pods, err := c.Client.CoreV1().Pods(lab.ShopNamespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, p := range pods.Items {
		if err := ip(ctx, fmt.Sprintf("route replace %s via %s", podNetwork(p.Status.PodIP), p.Status.HostIP)); err != nil {
			return err
		}
	}
	return nil
}

// podNetwork is the network of a node's pods.
func podNetwork(podIP string) string {
	n := net.IPNet{IP: net.ParseIP(podIP).Mask(net.CIDRMask(24, 32)), Mask: net.CIDRMask(24, 32)}
	return n.String()
}

func ip(ctx context.Context, commands ...string) error {
	for _, args := range commands {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return nil
}

// status looks at the lab, for as long as it may take to be whole after a fault.
func (c *cluster) status(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		st, err := lab.StatusOf(ctx, c.home, clusterName)
		if err == nil {
			c.Status = st
		}
		if ctx.Err() != nil || err == nil && st.State == lab.Healthy {
			require.NoError(t, err)
			return
		}
	}
}

// target returns some of a workload's pods as a drill would have found them; the others
// are its other members.
func (c *cluster) target(t *testing.T, workload string, n int) drills.Target {
	t.Helper()
	with, err := json.Marshal(map[string]any{
		"kubeconfig": c.access.Kubeconfig, "namespace": lab.ShopNamespace, "selector": "app=" + workload, "service": workload, "port": 8080,
	})
	require.NoError(t, err)
	return c.open(t, topology.ComponentSpec{Name: workload, Kind: kube.PodsKind, With: with}, n)
}

// open returns the first members of a component as the target.
func (c *cluster) open(t *testing.T, spec topology.ComponentSpec, n int) drills.Target {
	t.Helper()
	component, err := kinds.OpenComponent(spec, nil)
	require.NoError(t, err)
	state, err := component.Adapter.Discover(t.Context())
	require.NoError(t, err)
	require.NoError(t, kinds.Enrol(component, state))
	require.GreaterOrEqual(t, len(component.Members), n, "members of %s", spec.Name)
	return drills.Target{Component: component, Members: component.Members[:n], Others: component.Members[n:], State: state}
}

// repair puts right what a test has broken on purpose.
func (c *cluster) repair(t *testing.T) {
	t.Helper()
	_, err := lab.Up(t.Context(), c.home, clusterName, func(line string) { t.Log(line) })
	require.NoError(t, err)
	c.status(t)
	require.Equal(t, lab.Healthy, c.Status.State, c.Status.Problems)
}

// process returns the number of one of the cluster's processes.
func (c *cluster) process(t *testing.T, name string) int {
	t.Helper()
	st, err := lab.StatusOf(t.Context(), c.home, clusterName)
	require.NoError(t, err)
	for _, s := range slices.Concat(st.Members, st.Services) {
		if filepath.Base(s.Dir) == name {
			require.NotZero(t, s.PID, "%s runs", name)
			return s.PID
		}
	}
	t.Fatalf("the cluster has no process %s", name)
	return 0
}
