// Package truthtest proves that the sampler and the outage mathematics tell the
// truth: servers in a process of their own go down and up by a seeded plan and
// write down when; real requests over TCP look at them; and what the verdict
// reports must contain what the servers wrote down, every time.
package truthtest

import (
	"fmt"
	"os"
	"testing"

	"firedrill/drills/topology/netns"
)

// role tells the test binary, executed again, which process it is to be.
const role = "FIREDRILL_TRUTH_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "servers":
		exit(serveAll(os.Stdin, os.Stdout))
	case "runner":
		exit(runApart(os.Stdin, os.Stdout))
	}
	if os.Getenv("FIREDRILL_TEST_REAL") != "0" {
		if err := netns.Private(); err != nil {
			exit(err)
		}
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
