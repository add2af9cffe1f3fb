package control_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/control/controltest"
)

func TestMain(m *testing.M) {
	controltest.Main(m, map[string]controltest.Role{"systemctl": controltest.Systemctl(openQuietly), "starter": starter})
}

// starter starts a member the way a runner does, and ends at once.
func starter(args []string) int {
	var m topology.MemberSpec
	if err := json.Unmarshal([]byte(args[0]), &m); err != nil {
		return 3
	}
	c, err := openQuietly(m)
	if err != nil {
		return 4
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := c.Start(ctx); err != nil {
		os.Stderr.WriteString(err.Error())
		return 5
	}
	return 0
}

func openQuietly(m topology.MemberSpec) (topology.Control, error) {
	return topology.Kinds{Controls: control.All()}.OpenControl(m)
}

// open opens a member's control and has the member stopped in the end.
func open(t *testing.T, m topology.MemberSpec) topology.Control {
	t.Helper()
	c, err := openQuietly(m)
	require.NoError(t, err)
	t.Cleanup(func() { controltest.End(c) })
	return c
}
