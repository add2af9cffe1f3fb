package kube

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"firedrill/drills/topology"
	"firedrill/drills/vantage"
)

// hosts is a component whose cluster is a fake one that gives every new pod this
// status.
func hosts(t *testing.T, status corev1.PodStatus) (*Pods, *fake.Clientset) {
	t.Helper()
	client := fake.NewClientset()
	client.PrependReactor("create", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		a.(clienttesting.CreateAction).GetObject().(*corev1.Pod).Status = status
		return false, nil, nil
	})
	access := Access{Context: t.Name()}
	t.Cleanup(access.Use(&Cluster{Client: client, Namespace: "shop", Says: "a fake API server"}))
	return &Pods{
		Spec:      PodsSpec{Access: access, Agent: AgentSpec{Image: "firedrill:1", ImagePullPolicy: "Never", ServiceAccount: "prober"}},
		Component: &topology.Component{Spec: topology.ComponentSpec{Name: "api"}},
	}, client
}

func container(s corev1.ContainerState) corev1.PodStatus {
	return corev1.PodStatus{Phase: corev1.PodPending, ContainerStatuses: []corev1.ContainerStatus{{Name: agentName, State: s}}}
}

func TestAgentPod(t *testing.T) {
	a, client := hosts(t, container(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}))
	made, says, err := a.PlanAgent("1f2e", 2, vantage.Place{Zone: "b", Node: "node-b"}, 90*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "delete pod shop/firedrill-agent-1f2e-2", says)
	link, err := a.StartAgent(t.Context(), made)
	require.NoError(t, err)
	assert.NotNil(t, link)

	pod, err := client.CoreV1().Pods("shop").Get(t.Context(), "firedrill-agent-1f2e-2", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "1f2e", pod.Labels[RunLabel])
	s := pod.Spec
	assert.Equal(t, corev1.RestartPolicyNever, s.RestartPolicy)
	assert.Equal(t, int64(90), *s.ActiveDeadlineSeconds)
	assert.Equal(t, "prober", s.ServiceAccountName)
	assert.False(t, *s.AutomountServiceAccountToken)
	assert.True(t, s.Containers[0].Stdin)
	assert.False(t, s.Containers[0].StdinOnce, "another connection can be made")
	assert.Equal(t, []string{"agent"}, s.Containers[0].Args)
	terms := s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	assert.Equal(t, []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"b"}}},
		MatchFields:      []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"node-b"}}},
	}}, terms)

	// In another process, from the journal alone; and again.
	for range 2 {
		require.NoError(t, a.RemoveAgent(t.Context(), made))
		_, err = client.CoreV1().Pods("shop").Get(t.Context(), pod.Name, metav1.GetOptions{})
		require.True(t, apierrors.IsNotFound(err))
	}
	_, err = link.Connect(t.Context())
	require.ErrorIs(t, err, vantage.ErrGone)
	assert.EqualError(t, err, "the agent is gone: somebody deleted pod shop/firedrill-agent-1f2e-2")
}

func TestPodOfSomebodyElseStays(t *testing.T) {
	a, client := hosts(t, corev1.PodStatus{})
	made, _, err := a.PlanAgent("1f2e", 1, vantage.Place{}, time.Minute)
	require.NoError(t, err)
	_, err = client.CoreV1().Pods("shop").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "firedrill-agent-1f2e-1"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	require.NoError(t, a.RemoveAgent(t.Context(), made))
	_, err = client.CoreV1().Pods("shop").Get(t.Context(), "firedrill-agent-1f2e-1", metav1.GetOptions{})
	require.NoError(t, err)
}

func TestAgentPodThatDoesNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"image": {
			container(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImageNeverPull", Message: "Container image is not present"}}),
			"pod shop/firedrill-agent-1f2e-1 of a probe agent in zone c does not run: container firedrill-agent waits: ErrImageNeverPull: Container image is not present",
		},
		"ended": {
			container(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}),
			"pod shop/firedrill-agent-1f2e-1 of a probe agent in zone c does not run: container firedrill-agent has ended: exit code 1: Error",
		},
		"no node": {
			corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
				Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available",
			}}},
			"pod shop/firedrill-agent-1f2e-1 of a probe agent in zone c does not run: context deadline exceeded: not scheduled: 0/3 nodes are available",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := hosts(t, c.status)
			made, _, err := a.PlanAgent("1f2e", 1, vantage.Place{Zone: "c"}, time.Minute)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err = a.StartAgent(ctx, made)
			require.EqualError(t, err, c.want)
			require.NoError(t, a.RemoveAgent(t.Context(), made))
		})
	}
}

func TestComponentWithoutAgent(t *testing.T) {
	a := &Pods{Component: &topology.Component{Spec: topology.ComponentSpec{Name: "api"}}}
	require.ErrorContains(t, a.CanHost(), "component api: with.agent.image is needed")
	_, _, err := a.PlanAgent("1f2e", 1, vantage.Place{}, time.Minute)
	require.Error(t, err)
	require.Error(t, a.RemoveAgent(t.Context(), json.RawMessage(`[]`)))
}
