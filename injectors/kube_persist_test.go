package injectors

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills/topology/kube"
)

// away makes the API server refuse the next so many requests.
func (f *fakeCluster) away(times int, err error) {
	f.client.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		if times--; times < 0 {
			return false, nil, nil
		}
		return true, nil, err
	})
}

// An API server that is started again answers nobody for a while.
func TestRevertsOutlastTheAPIServer(t *testing.T) {
	t.Parallel()
	for kind, with := range map[string]string{
		"pod-kill": `{}`, "pod-evict": `{"patience":"1s"}`, "workload-scale": `{"replicas":1}`, "network-policy-deny": `{"try":["nc"]}`,
		"container-exec-kill": `{"command":["x"]}`, "node-cordon": `{}`, "node-drain": `{}`, "node-taint": `{"key":"k"}`,
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			to := f.target(f.api(nil), 2)
			if kind[:4] == "node" {
				to = f.nodes(1)
			}
			i := fault(t, kind, with)
			if d, ok := i.(*networkPolicyDeny); ok {
				d.exec = func(context.Context, *kube.Cluster, podRef, string, []string) error { return nil }
			}
			u, err := i.Prepare(t.Context(), to)
			require.NoError(t, err)
			f.away(2, apierrors.NewServiceUnavailable("it is being started"))
			begin := time.Now()
			require.NoError(t, i.Revert(t.Context(), u))
			assert.GreaterOrEqual(t, time.Since(begin), persistEvery)
			f.away(1, apierrors.NewUnauthorized("expired"))
			err = i.Revert(t.Context(), u)
			if kind != "container-exec-kill" {
				require.ErrorContains(t, err, "does not accept the credentials: have they expired?")
			}
		})
	}
}
