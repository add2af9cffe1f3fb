package remedies_test

import (
	"fmt"
	"os"
	"testing"

	"firedrill/drills/topology/netns"
)

func TestMain(m *testing.M) {
	if os.Getenv("FIREDRILL_TEST_REAL") != "0" {
		if err := netns.Private(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}
