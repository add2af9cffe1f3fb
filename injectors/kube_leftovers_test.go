package injectors

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// admit asks whether a component may be drilled, with all privileges.
func (f *fakeCluster) admit(c *topology.Component) error {
	f.t.Helper()
	f.client.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		r.Status.Allowed = true
		return true, r, nil
	})
	return c.Adapter.(topology.Platform).Admit(f.t.Context(), nil)
}

// What a fault has made is found by the next drill, until it is undone.
func TestNextDrillSeesWhatAFaultLeft(t *testing.T) {
	t.Parallel()
	pods := func(f *fakeCluster) drills.Target { return f.target(f.api(nil), 2) }
	nodes := func(f *fakeCluster) drills.Target { return f.nodes(1) }
	for kind, c := range map[string]struct {
		with   string
		target func(*fakeCluster) drills.Target
		says   []string
	}{
		"workload-scale": {`{"replicas":1}`, pods, []string{"the annotation firedrill.dev/scale-", "=run-7 on deployment/api"}},
		"network-policy-deny": {`{"direction":"out","try":["nc"]}`, pods, []string{
			"NetworkPolicy firedrill-deny-", " of run run-7", "the label firedrill.dev/deny-", "=run-7 on pod api-1-0", "=run-7 on pod api-1-1",
		}},
		"node-cordon": {`{}`, nodes, []string{"the annotation firedrill.dev/cordon-", "=run-7 on node node-a"}},
		"node-taint":  {`{"key":"mine"}`, nodes, []string{"the annotation firedrill.dev/taint-", "=run-7 on node node-a"}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			to := c.target(f)
			to.Run = "run-7"
			require.NoError(t, f.admit(to.Component))
			i := fault(t, kind, c.with)
			if d, ok := i.(*networkPolicyDeny); ok {
				d.exec = func(context.Context, *kube.Cluster, podRef, string, []string) error { return nil }
			}
			u, err := i.Prepare(t.Context(), to)
			require.NoError(t, err)
			require.NoError(t, i.Inject(t.Context(), to, u))
			err = f.admit(to.Component)
			for _, says := range append(c.says, "another drill is not done, or left ", "run firedrill recover where it ran") {
				assert.ErrorContains(t, err, says)
			}
			require.NoError(t, i.Revert(t.Context(), u))
			assert.NoError(t, f.admit(to.Component))
		})
	}
}
