package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilexec "k8s.io/client-go/util/exec"

	"firedrill/drills"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/kube"
)

var policiesResource = networkingv1.SchemeGroupVersion.WithResource("networkpolicies")

// listen makes the address accept connections.
func listen(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// at gives pods of api addresses of this host.
func (f *fakeCluster) at(ips map[string]string) {
	f.t.Helper()
	for name, ip := range ips {
		p := pod(name)
		p.Status.PodIP = ip
		update(f, "pods", p)
	}
}

func (f *fakeCluster) policies() []networkingv1.NetworkPolicy {
	f.t.Helper()
	list, err := f.client.Tracker().List(policiesResource, networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"), "shop")
	require.NoError(f.t, err)
	return list.(*networkingv1.NetworkPolicyList).Items
}

// The packet filter stands in for a network plugin: it does to the pods' addresses what
// one does that enforces the policy.
func TestNetworkPolicyDeny(t *testing.T) {
	controltest.Real(t)
	f := newFake(t)
	f.at(map[string]string{"api-1-0": "127.0.9.1", "api-1-1": "127.0.9.2"})
	listen(t, "127.0.9.1:8080")
	listen(t, "127.0.9.2:8080")
	to := f.target(f.api(map[string]any{"port": 8080}), 2)
	i := fault(t, "network-policy-deny", `{"except":["10.9.0.0/16"]}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Empty(t, f.asked())
	require.NoError(t, i.Revert(t.Context(), u), "before inject")

	require.NoError(t, i.Inject(t.Context(), to, u))
	p := f.policies()
	require.Len(t, p, 1)
	peers := []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.9.0.0/16"}}}
	assert.Equal(t, []networkingv1.NetworkPolicyIngressRule{{From: peers}}, p[0].Spec.Ingress)
	assert.Equal(t, []networkingv1.NetworkPolicyEgressRule{{To: peers}}, p[0].Spec.Egress)
	selector, err := metav1.LabelSelectorAsSelector(&p[0].Spec.PodSelector)
	require.NoError(t, err)
	assert.Equal(t, []string{"api-1-0", "api-1-1"}, f.podsWith(selector.String()))
	_, err = sees(t, i, to, u, 200*time.Millisecond)
	require.ErrorContains(t, err, "no network plugin seems to enforce NetworkPolicies here")
	require.ErrorContains(t, err, "the runner still reaches api-1-0 at 127.0.9.1:8080")

	nft(t, "add table inet plugin", "add chain inet plugin in { type filter hook input priority 0; }",
		"add rule inet plugin in ip daddr 127.0.9.1 drop", "add rule inet plugin in ip daddr 127.0.9.2 reject")
	t.Cleanup(func() { nft(t, "delete table inet plugin") })
	by, err := sees(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "connections that came about before do not any more: the runner to api-1-0, the runner to api-1-1", by)
	require.NoError(t, i.(drills.Holder).Held(t.Context(), u))

	f.remove(podsResource, "shop", "api-1-1")
	require.ErrorContains(t, i.(drills.Holder).Held(t.Context(), u), "pod shop/api-1-1 is gone")
	for range 2 {
		require.NoError(t, i.Revert(t.Context(), u))
		assert.Empty(t, f.policies())
		assert.Empty(t, f.podsWith(selector.String()))
	}
	f.allowed(i, to.Component)
}

func nft(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		out, err := exec.Command("nft", strings.Fields(c)...).CombinedOutput()
		require.NoError(t, err, "%s: %s", c, out)
	}
}

func (f *fakeCluster) podsWith(selector string) (names []string) {
	f.t.Helper()
	list, err := f.client.CoreV1().Pods("shop").List(f.t.Context(), metav1.ListOptions{LabelSelector: selector})
	require.NoError(f.t, err)
	for _, p := range list.Items {
		names = append(names, p.Name)
	}
	return names
}

// What the pods open can only be tried from inside them.
func TestNetworkPolicyDenyOut(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.target(f.api(nil), 1)
	_, err := All(builtin.Kinds()).Build("network-policy-deny", json.RawMessage(`{"direction":"out"}`))
	require.ErrorContains(t, err, "only a command in a pod can tell whether it does: name one (try)")
	_, err = fault(t, "network-policy-deny", `{}`).Prepare(t.Context(), to)
	require.ErrorContains(t, err, "the runner cannot connect to api-1-0, so that it could not see whether the fault acts")
	assert.Empty(t, f.asked())

	i := fault(t, "network-policy-deny", `{"direction":"out","try":["nc","-z","db","5432"]}`)
	answers := errors.New("not a command's doing")
	var ran []string
	i.(*networkPolicyDeny).exec = func(_ context.Context, _ *kube.Cluster, in podRef, container string, argv []string) error {
		ran = append([]string{in.Place.Pod, container}, argv...)
		return answers
	}
	_, err = i.Prepare(t.Context(), to)
	require.ErrorContains(t, err, "try, before the fault: not a command's doing")
	answers = nil
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Equal(t, []string{"api-1-0", "api", "nc", "-z", "db", "5432"}, ran)
	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}, f.policies()[0].Spec.PolicyTypes)
	_, err = sees(t, i, to, u, 150*time.Millisecond)
	require.ErrorContains(t, err, "pod shop/api-1-0: the command of try still succeeds")
	answers = errors.New("the container is gone")
	_, err = sees(t, i, to, u, 150*time.Millisecond)
	require.ErrorContains(t, err, "the container is gone", "that is no witness")
	answers = utilexec.CodeExitError{Code: 1, Err: errors.New("exit 1")}
	by, err := sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	assert.Contains(t, by, "by try in api-1-0")
	require.NoError(t, i.Revert(t.Context(), u))
}

func TestNetworkPolicyDenyRefuses(t *testing.T) {
	controltest.Real(t)
	allow := func(p *networkingv1.NetworkPolicy) {
		p.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
	}
	for name, c := range map[string]struct {
		how, want string
		policy    func(*networkingv1.NetworkPolicy)
	}{
		"allowed by another": {`{}`, "NetworkPolicy shop/other allows pod shop/api-1-0 something", allow},
		"not that way":       {`{"direction":"out","try":["true"]}`, "", allow},
		"nothing allowed":    {`{}`, "", func(*networkingv1.NetworkPolicy) {}},
		"the runner itself":  {`{"except":["127.0.0.0/8"]}`, "is in except 127.0.0.0/8: it could not see whether the fault acts", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.at(map[string]string{"api-1-0": "127.0.9.1"})
			listen(t, "127.0.9.1:8080")
			if c.policy != nil {
				p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "shop"}}
				c.policy(p)
				require.NoError(t, f.client.Tracker().Create(policiesResource, p, "shop"))
			}
			i := fault(t, "network-policy-deny", c.how)
			i.(*networkPolicyDeny).exec = func(context.Context, *kube.Cluster, podRef, string, []string) error { return nil }
			_, err := i.Prepare(t.Context(), f.target(f.api(map[string]any{"port": 8080}), 1))
			if c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
	t.Run("the node's network", func(t *testing.T) {
		f := newFake(t)
		p := pod("api-1-0")
		p.Spec.HostNetwork = true
		update(f, "pods", p)
		_, err := fault(t, "network-policy-deny", `{}`).Prepare(t.Context(), f.target(f.api(nil), 1))
		assert.ErrorContains(t, err, "uses the network of its node")
	})
	for _, with := range []string{`{"direction":"up"}`, `{"except":["10.0.0.1"]}`, `{"container":"c"}`} {
		_, err := All(builtin.Kinds()).Build("network-policy-deny", json.RawMessage(with))
		assert.Error(t, err, with)
	}
}
