package injectors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/topology/kube"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
	"firedrill/lab"
)

// chaosDrill is one fault of Chaos Mesh on some pods of the cluster.
type chaosDrill struct {
	*cluster
	t      *testing.T
	with   string
	target drills.Target
	undo   drills.Undo
}

func newChaosDrill(t *testing.T, c *cluster, with, workload string, n int) *chaosDrill {
	t.Helper()
	return &chaosDrill{cluster: c, t: t, with: with, target: c.target(t, workload, n)}
}

// injector makes it anew each time, as another process would.
func (d *chaosDrill) injector() drills.Injector {
	d.t.Helper()
	i, err := injectors.All(kinds).Build("chaos-mesh", json.RawMessage(d.with))
	require.NoError(d.t, err)
	return i
}

// inject makes the fault, and has it undone after the test.
func (d *chaosDrill) inject() error {
	d.t.Helper()
	// A kubelet that asked amid the fault before calls the pod not ready until it asks
	// again.
	var err error
	require.EventuallyWithT(d.t, func(c *assert.CollectT) {
		d.undo, err = d.injector().Prepare(d.t.Context(), d.target)
		if err != nil && strings.Contains(err.Error(), "is not ready") {
			assert.NoError(c, err)
		}
	}, time.Minute, 200*time.Millisecond)
	require.NoError(d.t, err)
	d.t.Log(d.undo.Says)
	d.t.Cleanup(func() { _ = d.injector().Revert(context.Background(), d.undo) })
	begin := time.Now()
	err = d.injector().Inject(d.t.Context(), d.target, d.undo)
	d.t.Logf("inject: %v, %v", time.Since(begin).Round(time.Millisecond), err)
	return err
}

func (d *chaosDrill) confirm() string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 15*time.Second)
	defer cancel()
	begin := time.Now()
	by, err := d.injector().(drills.Confirmer).Confirm(ctx, d.target, d.undo)
	d.t.Logf("confirm: %v, %s, %v", time.Since(begin).Round(time.Millisecond), by, err)
	if errors.Is(err, drills.ErrOwnWord) {
		require.Contains(d.t, by, "Chaos Mesh says so itself")
		return by
	}
	require.NoError(d.t, err)
	require.NotContains(d.t, by, "Chaos Mesh says so itself")
	return by
}

func (d *chaosDrill) held() error {
	d.t.Helper()
	return d.injector().(drills.Holder).Held(d.t.Context(), d.undo)
}

func (d *chaosDrill) revert() error {
	d.t.Helper()
	begin := time.Now()
	err := d.injector().Revert(d.t.Context(), d.undo)
	d.t.Logf("revert: %v, %v", time.Since(begin).Round(time.Millisecond), err)
	return err
}

// left lists what is there of Chaos Mesh's faults, and of the rules on pods.
func (c *cluster) left(t *testing.T) (left []string) {
	t.Helper()
	for _, resource := range []string{"podchaos", "networkchaos", "podnetworkchaos"} {
		list, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: "chaos-mesh.org", Version: "v1alpha1", Resource: resource}).
			List(t.Context(), metav1.ListOptions{})
		require.NoError(t, err)
		for _, o := range list.Items {
			spec, _ := json.Marshal(o.Object["spec"])
			if resource != "podnetworkchaos" || strings.Contains(string(spec), "source") {
				left = append(left, fmt.Sprintf("%s %s %s", resource, o.GetName(), spec))
			}
		}
	}
	return left
}

// reached connects to a pod from where the tests stand.
func reached(address string) error {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		err = c.Close()
	}
	return err
}

func TestChaosMeshOnTheCluster(t *testing.T) {
	c := labCluster(t)
	for _, test := range []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"pod-kill", chaosKills},
		{"pod-failure", chaosFails},
		{"partition from everybody", chaosCutsOff},
		{"partition from peers", chaosCutsOffPeers},
		{"partition conforms", chaosConforms},
		{"what a node cannot do", chaosCannot},
		{"what is not to be done", chaosMustNot},
		{"every shorthand", chaosRehearses},
		{"an older CRD", chaosPrunes},
		{"over by itself", chaosOver},
		{"the controller dies", chaosDies},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin := time.Now()
			defer func() { t.Logf("took %s", time.Since(begin).Round(time.Millisecond)) }()
			test.run(t, c)
			c.status(t)
			require.Equal(t, lab.Healthy, c.Status.State, c.Status.Problems)
			assert.Empty(t, c.left(t))
		})
	}
}

func chaosKills(t *testing.T, c *cluster) {
	d := newChaosDrill(t, c, `{"podKill":{}}`, "api", 2)
	require.NoError(t, d.inject())
	by := d.confirm()
	for _, m := range d.target.Members {
		assert.Contains(t, by, m.Name())
		p, err := c.Client.CoreV1().Pods(lab.ShopNamespace).Get(t.Context(), m.Name(), metav1.GetOptions{})
		assert.True(t, err != nil || p.DeletionTimestamp != nil, "pod %s is on its way", m.Name())
	}
	_, lasts := d.injector().(drills.Holder)
	assert.False(t, lasts)
	require.NoError(t, d.revert())
	require.NoError(t, d.revert())
}

func chaosFails(t *testing.T, c *cluster) {
	d := newChaosDrill(t, c, `{"podFailure":{}}`, "worker", 1)
	address := d.target.Members[0].Address()
	require.NoError(t, reached(address))
	require.NoError(t, d.inject())
	assert.Contains(t, d.confirm(), "kubelet")
	assert.Error(t, reached(address))
	require.NoError(t, d.held())
	require.NoError(t, d.revert())
	require.NoError(t, eventually(t.Context(), func(context.Context) error { return reached(address) }))
	require.NoError(t, d.revert())
}

func chaosCutsOff(t *testing.T, c *cluster) {
	for _, with := range []string{`{"networkPartition":{"direction":"from"}}`, `{"networkPartition":{"externalTargets":["` + joined + `/32"]}}`} {
		d := newChaosDrill(t, c, with, "web", 1)
		address := d.target.Members[0].Address()
		require.NoError(t, reached(address))
		require.NoError(t, d.inject())
		assert.ErrorContains(t, reached(address), "timeout")
		assert.NoError(t, reached(d.target.Others[0].Address()), "the other pod is let be")
		assert.Contains(t, d.confirm(), "connections")
		require.NoError(t, d.held())
		require.NoError(t, d.revert())
		assert.NoError(t, reached(address), "as soon as it is reverted")
		require.NoError(t, d.revert())
	}
}

// chaosCutsOffPeers: nobody but Chaos Mesh can tell, and it says so.
func chaosCutsOffPeers(t *testing.T, c *cluster) {
	d := newChaosDrill(t, c, `{"networkPartition":{"from":"peers"}}`, "api", 1)
	require.NoError(t, d.inject())
	assert.NoError(t, reached(d.target.Members[0].Address()), "who is no peer is let be")
	assert.Contains(t, d.confirm(), "Chaos Mesh says so itself")
	require.NoError(t, d.held())
	second := newChaosDrill(t, c, d.with, "api", 1)
	_, err := second.injector().Prepare(t.Context(), second.target)
	assert.ErrorContains(t, err, "already")
	require.NoError(t, d.revert())
}

// chaosConforms goes through random life cycles, as all faults do.
func chaosConforms(t *testing.T, c *cluster) {
	with := `{"networkPartition":{"externalTargets":["` + joined + `"]}}`
	d := newChaosDrill(t, c, with, "web", 1)
	address := d.target.Members[0].Address()
	injectortest.Run(t, injectortest.Case{
		Catalogue: injectors.All(kinds), Kind: "chaos-mesh", With: with, Share: 0.17,
		Target: func() (drills.Target, error) { return d.target, nil },
		Healthy: func(ctx context.Context) error {
			if err := reached(address); err != nil {
				return err
			}
			// Its kubelet may have asked amid the fault, and asks again only seconds later.
			return eventually(ctx, func(ctx context.Context) error {
				p, err := c.Client.CoreV1().Pods(lab.ShopNamespace).Get(ctx, d.target.Members[0].Name(), metav1.GetOptions{})
				if err == nil && !kube.Ready(p) {
					err = fmt.Errorf("pod %s is not ready", p.Name)
				}
				return err
			})
		},
		Faulted: func(context.Context) error {
			if reached(address) == nil {
				return errors.New("it is reached")
			}
			return nil
		},
		Leftovers: func() ([]string, error) { return c.left(t), nil },
	})
}

// chaosCannot: the kernels of test machines have no sch_netem.
func chaosCannot(t *testing.T, c *cluster) {
	d := newChaosDrill(t, c, `{"networkDelay":{"latency":"100ms","jitter":"10ms"}}`, "web", 1)
	err := d.inject()
	require.ErrorContains(t, err, "Chaos Mesh fails")
	require.ErrorContains(t, err, d.target.Members[0].Name())
	require.NoError(t, d.revert())
	assert.NoError(t, reached(d.target.Members[0].Address()))
}

func chaosMustNot(t *testing.T, c *cluster) {
	for with, want := range map[string]string{
		`{"kind":"PodChaos","spec":{"action":"pod-kill","mode":"all","selector":{"labelSelectors":{"app":"web"}}}}`:             "not the drill's to break",
		`{"kind":"PodChaos","spec":{"action":"pod-kill","selector":{"namespaces":["shop"],"labelSelectors":{"app":"nobody"}}}}`: "selects no pod",
		`{"kind":"DNSChaos","spec":{"action":"wrong"}}`:                                                                         "refuses the spec",
		`{"kind":"TimeChaos","spec":{"timeOffset":"never"}}`:                                                                    "refuses the spec",
		`{"kind":"GCPChaos","spec":{"action":"node-stop","project":"p","zone":"z","instance":"i"}}`:                             "this fault acts on nodes",
		`{"networkPartition":{},"chaosNamespace":"shop"}`:                                                                       "where no chaos-daemon of Chaos Mesh is ready",
	} {
		d := newChaosDrill(t, c, with, "web", 1)
		_, err := d.injector().Prepare(t.Context(), d.target)
		t.Log(err)
		assert.ErrorContains(t, err, want, with)
	}
}

// chaosRehearses has the webhooks and the CRDs of Chaos Mesh check what each shorthand
// becomes, with all that it may have.
func chaosRehearses(t *testing.T, c *cluster) {
	for _, with := range []string{
		`{"podKill":{"grace":"5s"}}`, `{"podFailure":{}}`, `{"networkPartition":{"direction":"to","externalTargets":["192.0.2.1"]}}`,
		`{"networkDelay":{"latency":"1m30s","jitter":"10ms","correlation":25.5}}`,
		`{"dnsError":{"patterns":["db.*"],"containers":["web"]}}`,
		`{"httpAbort":{"port":8080,"on":"Response","path":"/a*","method":"GET"}}`,
		`{"io":{"volumePath":"/data","latency":"100ms","path":"/data/**/*","methods":["READ"],"percent":50,"containers":["web"]}}`,
		`{"io":{"volumePath":"/data","errno":28}}`,
		`{"stress":{"cpu":{"workers":2,"load":80},"memory":{"size":"64MB"},"containers":["web"]}}`,
		`{"time":{"offset":"-10m","clocks":["CLOCK_MONOTONIC"],"containers":["web"]}}`,
	} {
		d := newChaosDrill(t, c, with, "web", 1)
		d.target.Run, d.target.Stay = "run-7", 90*time.Second
		_, err := d.injector().Prepare(t.Context(), d.target)
		assert.NoError(t, err, with)
	}
	assert.Empty(t, c.left(t))
}

// chaosPrunes takes a field out of a CRD, as if that were older.
func chaosPrunes(t *testing.T, c *cluster) {
	const with = `{"kind":"NetworkChaos","spec":{"action":"partition","direction":"both","partitionBehavior":"reject"}}`
	const field = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/partitionBehavior"
	crds := c.Dynamic.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	patch := func(ctx context.Context, p string) error {
		_, err := crds.Patch(ctx, "networkchaos.chaos-mesh.org", types.JSONPatchType, []byte(p), metav1.PatchOptions{})
		return err
	}
	d := newChaosDrill(t, c, with, "web", 1)
	prepare := func(ctx context.Context) error { _, err := d.injector().Prepare(ctx, d.target); return err }
	require.NoError(t, prepare(t.Context()))
	require.NoError(t, patch(t.Context(), `[{"op":"remove","path":"`+field+`"}]`))
	defer func() {
		assert.NoError(t, patch(context.Background(), `[{"op":"add","path":"`+field+`","value":{"type":"string","enum":["drop","reject"],"default":"drop"}}]`))
		assert.NoError(t, eventually(context.Background(), prepare))
	}()
	require.NoError(t, eventually(t.Context(), func(ctx context.Context) error {
		if prepare(ctx) == nil {
			return errors.New("the API server still knows the field")
		}
		return nil
	}))
	err := prepare(t.Context())
	t.Log(err)
	assert.ErrorContains(t, err, "does not know spec.partitionBehavior")
}

func chaosOver(t *testing.T, c *cluster) {
	d := newChaosDrill(t, c, `{"networkPartition":{"externalTargets":["192.0.2.1"]},"duration":"2s"}`, "web", 1)
	require.NoError(t, d.inject())
	require.NoError(t, eventually(t.Context(), func(context.Context) error {
		if err := d.held(); err == nil {
			return errors.New("it is still in force")
		}
		return nil
	}))
	assert.ErrorContains(t, d.held(), "duration is over")
	require.NoError(t, d.revert())
}

// chaosDies: without its controller Chaos Mesh undoes nothing, and says nothing either.
// One fault has the consent to replace its pods, the other has not.
func chaosDies(t *testing.T, c *cluster) {
	d := newChaosDrill(t, c, `{"networkPartition":{"externalTargets":["`+joined+`"]},"revertWithin":"3s"}`, "web", 1)
	replacing := newChaosDrill(t, c, `{"networkPartition":{"externalTargets":["192.0.2.1"]},"revertWithin":"2s","replacePods":true}`, "bare", 1)
	kill := newChaosDrill(t, c, `{"podKill":{},"revertWithin":"2s"}`, "api", 1)
	web, bare := d.target.Members[0], replacing.target.Members[0]
	for _, fault := range []*chaosDrill{d, replacing, kill} {
		require.NoError(t, fault.inject())
	}
	require.NoError(t, unix.Kill(c.process(t, "chaos-controller-manager"), unix.SIGKILL))

	begin, err := time.Now(), d.revert()
	assert.Less(t, time.Since(begin), 15*time.Second)
	require.ErrorContains(t, err, "not proven to be undone")
	require.ErrorContains(t, err, "shop/"+web.Name()+" (uid ")
	assert.NotErrorIs(t, err, drills.ErrGone)
	assert.Error(t, reached(web.Address()), "it is not undone")

	// Its webhooks do not even let finalizers be removed.
	for _, want := range []string{"these pods were replaced: shop/" + bare.Name(), "does not answer"} {
		err = replacing.revert()
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "is its controller up")
	}
	_, err = c.Client.CoreV1().Pods(lab.ShopNamespace).Get(t.Context(), bare.Name(), metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	require.ErrorContains(t, kill.revert(), "is its controller up")

	_, err = kill.injector().Prepare(t.Context(), c.target(t, "api", 1))
	require.ErrorContains(t, err, "is its controller up")

	c.repair(t)
	for _, fault := range []*chaosDrill{d, replacing, kill} {
		require.NoError(t, fault.revert())
	}
	assert.NoError(t, reached(web.Address()))
}
