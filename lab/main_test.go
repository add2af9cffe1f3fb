package lab_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"firedrill/drills/topology/netns"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		fmt.Fprintf(os.Stderr, "%v: the tests are not firedrill: bring labs of models up with built.run\n", os.Args)
		os.Exit(2)
	}
	if os.Getenv("FIREDRILL_TEST_REAL") != "0" {
		if err := netns.Private(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	built.remove()
	os.Exit(code)
}
