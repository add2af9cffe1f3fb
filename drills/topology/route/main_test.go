package route_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/route"
)

func TestMain(m *testing.M) { controltest.Main(m, nil) }

func open(t *testing.T, kind string, with any) topology.Router {
	t.Helper()
	r, err := openQuietly(kind, controltest.JSON(t, with))
	require.NoError(t, err)
	return r
}

func openQuietly(kind string, with json.RawMessage) (topology.Router, error) {
	r, err := topology.Kinds{Routes: route.All()}.OpenRoute(topology.RouteSpec{Name: "orders", Kind: kind, Address: "127.0.2.1:7000", With: with})
	if err != nil {
		return nil, err
	}
	return r.Router, nil
}

func current(t *testing.T, r topology.Router) []string {
	t.Helper()
	names, err := r.Current(t.Context())
	require.NoError(t, err)
	return names
}
