package kube_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/kube"
	"firedrill/lab"
)

// A member that a workload of its own runs is stopped by taking its replica away, and
// started by giving it back; both may be asked for twice. One that shares its workload
// is left alone.
func TestControlOfAMember(t *testing.T) {
	st := cluster(t)
	a, k := access(t, st, "control", "")
	with, err := json.Marshal(kube.Place{Access: a, Namespace: lab.ShopNamespace, Workload: "deployment/worker"})
	require.NoError(t, err)
	m := topology.MemberSpec{Name: "worker", Control: &topology.ControlSpec{Kind: kube.ControlKind, With: with}}
	ctl, err := topology.Kinds{Controls: control.All()}.OpenControl(m)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*soon)
	defer cancel()
	worker := kube.Workload{Kind: kube.Deployment, Name: "worker"}
	was, err := k.Look(ctx, lab.ShopNamespace, worker)
	require.NoError(t, err)
	require.Greater(t, was.Wanted, 1)
	require.ErrorContains(t, ctl.Stop(ctx), "stopping it would stop them all")

	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		assert.NoError(t, ctl.Start(ctx))
		assert.NoError(t, k.Scale(ctx, lab.ShopNamespace, worker, was.Wanted))
	})
	require.NoError(t, k.Scale(ctx, lab.ShopNamespace, worker, 1))
	var before topology.Status
	require.Eventually(t, func() bool {
		before, err = ctl.Status(ctx)
		return err == nil && before.Detail == "deployment/worker: 1 of 1 pods are ready"
	}, soon, often)
	for range 2 {
		require.NoError(t, ctl.Stop(ctx))
		now, err := ctl.Status(ctx)
		require.NoError(t, err)
		assert.False(t, now.Running, now.Detail)
		s, err := k.Look(ctx, lab.ShopNamespace, worker)
		require.NoError(t, err)
		assert.Zero(t, s.Wanted)
	}
	for range 2 {
		require.NoError(t, ctl.Start(ctx))
		now, err := ctl.Status(ctx)
		require.NoError(t, err)
		assert.Equal(t, before, now)
	}
}

// A pod whose workload would replace it at once cannot be stopped, and says so.
func TestControlOfAPodAmongOthers(t *testing.T) {
	with, err := json.Marshal(kube.Place{Namespace: "shop", Pod: "orders-db-0"})
	require.NoError(t, err)
	m := topology.MemberSpec{Name: "db-0", Control: &topology.ControlSpec{Kind: kube.ControlKind, With: with}}
	ctl, err := topology.Kinds{Controls: control.All()}.OpenControl(m)
	require.NoError(t, err)
	assert.ErrorContains(t, ctl.Stop(t.Context()), "Kubernetes replaces pod orders-db-0 at once: name the workload")
}
