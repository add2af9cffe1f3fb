// Package fakekubelet makes nodes of a lab's cluster that nothing runs on, for tests
// of what many pods cost whoever watches them: their pods are running and ready as
// soon as they are bound, and gone as soon as they are deleted. The API server, its
// objects and its events are real; nothing answers at the pods' addresses. It is what
// kwok (sigs.k8s.io/kwok) does, as far as that takes.
package fakekubelet

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"firedrill/lab"
)

// Fake is the key of the label and of the taint of every fake node: a Deployment whose
// pods select the one and tolerate the other runs there.
const Fake = "firedrill.local/fake"

// Nodes are fake nodes with the kubelets that stand in for theirs.
type Nodes struct {
	client    kubernetes.Interface
	namespace string
	count     int
	// given is how many addresses pods were given.
	given atomic.Uint32
	// done ends the kubelets; they have ended when all is.
	done context.CancelFunc
	all  sync.WaitGroup
}

// limit is how long anything may take on a busy machine.
const limit = 2 * time.Minute

// Client is a client of a lab's cluster that stands where the lab's clients stand, and
// that waits for nobody's turn.
func Client(t testing.TB, st lab.Status) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", st.Kubeconfig)
	require.NoError(t, err)
	config.QPS = -1
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return lab.DialInside(ctx, st.Namespace, network, address)
	}
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// Start makes a namespace, and fake nodes in the zones a and b that run what is bound
// to them in that namespace. All is removed with the test.
func Start(t testing.TB, client kubernetes.Interface, namespace string, nodes int) *Nodes {
	t.Helper()
	ctx, done := context.WithCancel(context.Background())
	n := &Nodes{client: client, namespace: namespace, count: nodes, done: done}
	t.Cleanup(func() { n.remove(t) })
	n.makeNamespace(t)
	for i := range nodes {
		require.NoError(t, n.makeNode(ctx, i))
	}
	n.all.Go(func() { n.beat(ctx) })
	n.all.Go(func() { n.run(ctx) })
	require.Eventually(t, func() bool { return n.settled(ctx) }, limit, 50*time.Millisecond, "the fake nodes take pods")
	return n
}

// settled: a node that is only just ready is still said not to be, and pods would be
// taken away from it.
func (n *Nodes) settled(ctx context.Context) bool {
	list, err := n.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: Fake})
	return err == nil && len(list.Items) == n.count &&
		!slices.ContainsFunc(list.Items, func(node corev1.Node) bool { return len(node.Spec.Taints) != 1 })
}

func nodeName(i int) string { return fmt.Sprintf("fake-%d", i) }

// nodeIP is an address that belongs to nobody: 198.18.0.0/15 is for benchmarks (RFC
// 2544). Pods have those in its second half.
func nodeIP(i int) string { return fmt.Sprintf("198.18.0.%d", i+1) }

// numberOf tells which fake node has that name, if any.
func numberOf(node string) (i int, fake bool) {
	n, _ := fmt.Sscanf(node, "fake-%d", &i)
	return i, n == 1
}

// makeNamespace returns once pods can be made there.
func (n *Nodes) makeNamespace(t testing.TB) {
	t.Helper()
	_, err := n.client.CoreV1().Namespaces().Create(t.Context(),
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.namespace}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := n.client.CoreV1().ServiceAccounts(n.namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	}, limit, 50*time.Millisecond, "namespace %s has a service account", n.namespace)
}

func (n *Nodes) makeNode(ctx context.Context, i int) error {
	zone := string(rune('a' + i%2))
	node, err := n.client.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), Labels: map[string]string{
			Fake: "true", corev1.LabelHostname: nodeName(i), corev1.LabelTopologyZone: zone, corev1.LabelTopologyRegion: "lab",
		}},
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: Fake, Value: "true", Effect: corev1.TaintEffectNoSchedule}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("make node %s: %w", nodeName(i), err)
	}
	node.Status, node.ResourceVersion = nodeStatus(i), "" // controllers write to it, too
	if _, err := n.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("make node %s ready: %w", nodeName(i), err)
	}
	return n.renew(ctx, i)
}

// beatEvery is how often a fake node says that it is there; see nodeLeaseDuration in
// the lab's kubelets.
const beatEvery = 3 * time.Second

// beat renews the nodes' leases: one that is not renewed is lost, and its pods with it.
func (n *Nodes) beat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for i := range n.count {
			_ = n.renew(ctx, i) // the next one may succeed, and a lost node shows
		}
	}
}

func (n *Nodes) renew(ctx context.Context, i int) error {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, nodeName(i), metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return err
	}
	now, holder, seconds := metav1.NowMicro(), nodeName(i), int32(12)
	if missing {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: holder, Namespace: corev1.NamespaceNodeLease}}
	}
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}
	if missing {
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
	} else {
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	}
	return err
}

// remove takes the pods away before those who run them.
func (n *Nodes) remove(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	now := int64(0)
	at := metav1.DeleteOptions{GracePeriodSeconds: &now}
	var errs []error
	note := func(err error) {
		if err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	note(n.client.CoreV1().Pods(n.namespace).DeleteCollection(ctx, at, metav1.ListOptions{}))
	note(n.client.CoreV1().Namespaces().Delete(ctx, n.namespace, metav1.DeleteOptions{}))
	for errs == nil && ctx.Err() == nil {
		if _, err := n.client.CoreV1().Namespaces().Get(ctx, n.namespace, metav1.GetOptions{}); err != nil {
			note(err)
			break
		}
		wait(ctx, 100*time.Millisecond)
	}
	n.done()
	n.all.Wait()
	for i := range n.count {
		note(n.client.CoreV1().Nodes().Delete(ctx, nodeName(i), at))
		note(n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(ctx, nodeName(i), at))
	}
	for _, err := range errs {
		t.Errorf("remove fake nodes: %v", err)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
