package service_test

import (
	"encoding/json"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/service"
)

func open(t *testing.T, addresses ...string) *topology.Component {
	t.Helper()
	cs := topology.ComponentSpec{Name: "web", Kind: "service", With: json.RawMessage(`{"settle":"300ms"}`)}
	for i, a := range addresses {
		cs.Members = append(cs.Members, topology.MemberSpec{Name: string(rune('a' + i)), Address: a})
	}
	c, err := topology.Kinds{Components: kind.Of("component", service.Kind())}.OpenComponent(cs, nil)
	require.NoError(t, err)
	return c
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func TestServiceRoles(t *testing.T) {
	up, down := listen(t), listen(t)
	down.Close()
	c := open(t, up.Addr().String(), down.Addr().String())
	st, err := c.Adapter.Discover(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, st.With(topology.Instance))
	assert.Equal(t, []string{"b"}, st.With(topology.Down))
	assert.Contains(t, st.Members[1].Problem, "refused")

	out, err := c.Adapter.Restore(t.Context(), topology.State{}, func(topology.Step) {})
	assert.ErrorContains(t, err, "not back after 300ms")
	assert.Contains(t, out.KeptOut, "b")

	// What was down before the drill need not come back.
	_, err = c.Adapter.Restore(t.Context(), st, func(topology.Step) {})
	assert.NoError(t, err)
}
