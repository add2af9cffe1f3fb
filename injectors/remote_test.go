package injectors_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
)

// The rules are made over SSH, by address, and spare the SSH connection.
func TestPartitionOverSSH(t *testing.T) {
	controltest.Real(t)
	sshd := controltest.StartSSHD(t, "")
	b := controltest.Member(t, "b", "127.0.7.2:7001", "65562")
	start(t, b)
	a := topology.MemberSpec{Name: "a", Address: "127.0.7.1:7001"}
	start(t, controltest.Member(t, "a", a.Address, "65561"))
	with := controltest.JSON(t, map[string]any{"host": sshd.Spec()})
	i := build(t, "network-partition", string(with))
	to, u := begin(t, i, one(a), one(b))
	left, err := tables()
	require.NoError(t, err)
	assert.Len(t, left, 1)
	// On loopback only connections with a source of their own are told apart by
	// address, and these are not: the witness must not see a partition.
	_, err = confirm(t, i, to, u, 500*time.Millisecond)
	assert.ErrorContains(t, err, "a still reaches b")
	require.NoError(t, i.Revert(t.Context(), u))
	left, err = tables()
	require.NoError(t, err)
	assert.Empty(t, left)
}

// See controltest.FakeSystemd for what is real here and what is not.
func TestSystemdStopOverSSH(t *testing.T) {
	controltest.Real(t)
	server := controltest.Member(t, "a", "127.0.7.3:7001", "65563")
	start(t, server)
	controltest.FakeSystemd(t, map[string]topology.MemberSpec{"a.service": server})
	sshd := controltest.StartSSHD(t, "")
	with := controltest.JSON(t, map[string]any{"unit": "a.service", "host": sshd.Spec()})
	i := build(t, "systemd-stop", string(with))
	to, u := begin(t, i, one(server), nil)
	by, err := confirm(t, i, to, u, 5*time.Second)
	require.NoError(t, err)
	assert.Equal(t, "member a: its control says: unit a.service is inactive (dead), 127.0.7.3:7001 refuses connections", by)
	require.NoError(t, i.Revert(t.Context(), u))
	require.NoError(t, whole(1, server)(t.Context()))
}
