package route_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/route"
)

func openTo(t *testing.T, r topology.Router) []string {
	t.Helper()
	names, err := r.(route.Restorer).Open(t.Context())
	require.NoError(t, err)
	return names
}

func TestHAProxyRestoresExactlyTheServersThatWereOpen(t *testing.T) {
	socket, a := haproxy(t)
	r := open(t, "haproxy", spec(socket))
	many := r.(route.Restorer)
	assert.Equal(t, []string{"a"}, openTo(t, r))
	require.NoError(t, many.Restore(t.Context(), []string{"a", "b"}))
	assert.Equal(t, []string{"a", "b"}, openTo(t, r))

	// A server that does not answer is open all the same, and is opened again.
	require.NoError(t, a.Stop(t.Context()))
	require.Eventually(t, func() bool { return len(current(t, r)) == 1 }, waitFor, tick)
	assert.Equal(t, []string{"a", "b"}, openTo(t, r))
	require.NoError(t, r.Switch(t.Context(), "b"))
	assert.Equal(t, []string{"b"}, openTo(t, r))
	for range 2 {
		require.NoError(t, many.Restore(t.Context(), []string{"a", "b"}))
		assert.Equal(t, []string{"a", "b"}, openTo(t, r))
	}
	require.NoError(t, a.Start(t.Context()))
	require.Eventually(t, func() bool { return len(current(t, r)) == 2 }, waitFor, tick)

	// What was closed is closed again, and its sessions are cut.
	require.NoError(t, r.Switch(t.Context(), "b"))
	toB, _ := client(t)
	require.NoError(t, many.Restore(t.Context(), []string{"a"}))
	_, err := toB.ReadString('\n')
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, []string{"a"}, current(t, r))

	require.NoError(t, many.Restore(t.Context(), nil))
	assert.Empty(t, openTo(t, r))
	err = many.Restore(t.Context(), []string{"a", "c"})
	assert.ErrorContains(t, err, `lead route orders back to ["a" "c"]: backend orders has no server c`)
	assert.Empty(t, openTo(t, r), "nothing is opened then")
}
