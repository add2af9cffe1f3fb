package injectors

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology/builtin"
)

// scale sets the replicas behind the fault's back.
func (f *fakeCluster) scale(n int32) {
	f.t.Helper()
	d := f.deployment()
	d.Spec.Replicas = &n
	update(f, "deployments", d)
}

func (f *fakeCluster) deployment() *appsv1.Deployment {
	f.t.Helper()
	return get[*appsv1.Deployment](f, deploymentsResource, "shop", "api")
}

func TestWorkloadScale(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.target(f.api(nil), 2)
	i := fault(t, "workload-scale", `{"percent":30}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err)
	assert.Equal(t, "scale deployment/api in namespace shop from 1 to 3 again", u.Says)
	require.NoError(t, i.Revert(t.Context(), u), "before inject")
	assert.Empty(t, f.asked())

	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Equal(t, int32(1), *f.deployment().Spec.Replicas)
	_, err = sees(t, i, to, u, 50*time.Millisecond)
	require.ErrorContains(t, err, "deployment/api in namespace shop has 3 pods, not 1 yet")
	f.remove(podsResource, "shop", "api-1-0")
	f.remove(podsResource, "shop", "api-1-2")
	_, err = sees(t, i, to, u, 10*time.Second)
	require.NoError(t, err)
	require.NoError(t, i.(drills.Holder).Held(t.Context(), u))

	f.scale(2)
	require.ErrorContains(t, i.(drills.Holder).Held(t.Context(), u), "somebody else has scaled it")
	require.ErrorContains(t, i.Revert(t.Context(), u), "is to have 2 replicas; it had 3, and the fault gave it 1: somebody else has scaled it meanwhile")
	f.scale(3)
	require.NoError(t, i.Revert(t.Context(), u), "somebody else has put it right")
	assert.Empty(t, f.deployment().Annotations)
	f.scale(1)
	require.NoError(t, i.Revert(t.Context(), u))
	assert.Equal(t, int32(1), *f.deployment().Spec.Replicas, "what somebody does later is theirs")
	f.allowed(i, to.Component)

	f.remove(deploymentsResource, "shop", "api")
	require.ErrorIs(t, i.Revert(t.Context(), u), drills.ErrGone)
}

func TestWorkloadScaleBack(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	to := f.target(f.api(map[string]any{"workload": "", "selector": "app=api"}), 3)
	i := fault(t, "workload-scale", `{"replicas":0}`)
	u, err := i.Prepare(t.Context(), to)
	require.NoError(t, err, "the workload is known by the pods")
	f.scale(4)
	require.ErrorContains(t, i.Inject(t.Context(), to, u), "is to have 4 replicas by now, 3 when it was looked at")
	f.scale(3)
	require.NoError(t, i.Inject(t.Context(), to, u))
	assert.Equal(t, int32(0), *f.deployment().Spec.Replicas)
	for range 2 {
		require.NoError(t, i.Revert(t.Context(), u))
		assert.Equal(t, int32(3), *f.deployment().Spec.Replicas)
	}
	f.allowed(i, to.Component)
}

func TestWorkloadScaleRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		with map[string]any
		how  string
		n    int
		want string
	}{
		"the same":  {nil, `{"replicas":3}`, 3, "is to have 3 replicas already"},
		"too many":  {nil, `{"replicas":0}`, 2, "scaling deployment/api in namespace shop from 3 to 0 takes 3 pods away, and the target is 2"},
		"too few":   {map[string]any{"minAvailable": 2}, `{"replicas":1}`, 2, "it would leave 1 of the 3 ready pods of api, fewer than 2"},
		"scaled up": {map[string]any{"minAvailable": 2}, `{"percent":200}`, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			_, err := fault(t, "workload-scale", c.how).Prepare(t.Context(), f.target(f.api(c.with), c.n))
			if c.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, c.want)
			}
		})
	}
	t.Run("autoscaled", func(t *testing.T) {
		f := newFake(t, &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: "auto", Namespace: "shop"},
			Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "api"}},
		})
		_, err := fault(t, "workload-scale", `{"replicas":2}`).Prepare(t.Context(), f.target(f.api(nil), 1))
		assert.ErrorContains(t, err, "HorizontalPodAutoscaler shop/auto scales deployment/api in namespace shop: it would fight the fault")
	})
	t.Run("a daemon set", func(t *testing.T) {
		f := newFake(t)
		p := pod("api-1-0")
		p.OwnerReferences[0] = owner("apps/v1", "DaemonSet", "d")
		update(f, "pods", p)
		of := f.api(map[string]any{"workload": "", "selector": "app=api"})
		_, err := fault(t, "workload-scale", `{"replicas":2}`).Prepare(t.Context(), f.target(of, 1))
		assert.ErrorContains(t, err, "daemonset/d in namespace shop cannot be scaled")
		_, err = fault(t, "workload-scale", `{"replicas":2}`).Prepare(t.Context(), f.target(of, 2))
		assert.ErrorContains(t, err, "choose members of one workload")
	})
	for _, with := range []string{`{}`, `{"replicas":1,"percent":1}`, `{"replicas":-1}`} {
		_, err := All(builtin.Kinds()).Build("workload-scale", json.RawMessage(with))
		assert.Error(t, err, with)
	}
}
