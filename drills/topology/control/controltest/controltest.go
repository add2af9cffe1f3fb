// Package controltest gives tests real servers to control: the test program runs
// itself again as a small TCP server, as an unprivileged user, in a network
// namespace of the test's own.
package controltest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"firedrill/drills/topology/netns"
)

// optOut is the documented way to leave out the tests that need root and real
// servers: FIREDRILL_TEST_REAL=0.
const optOut = "FIREDRILL_TEST_REAL"

// Role is another thing that the test program can be run as: it gets the
// arguments after the role's name, and its exit code is returned.
type Role func(args []string) int

// roleVar chooses the role. A variable of the environment, because the role's
// arguments are what controls recognise a process by.
const roleVar = "FIREDRILL_TEST_ROLE"

// Main is called by TestMain: it runs a role if asked to, or else the tests, in a
// private network namespace, and then what is to be done after all of them.
func Main(m *testing.M, roles map[string]Role, after ...func()) {
	if name := os.Getenv(roleVar); name != "" {
		role := roles[name]
		if name == "server" {
			role = serve
		}
		os.Exit(role(os.Args[1:]))
	}
	if Wanted() && os.Geteuid() == 0 {
		if err := netns.Private(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	code := m.Run()
	for _, f := range after {
		f()
	}
	os.Exit(code)
}

// raceVar are the race detector's options.
const raceVar = "GORACE"

// As is the environment that makes the test program run as a role. With the race
// detector it would wait for a second before it ends.
func As(role string) map[string]string {
	return map[string]string{roleVar: role, raceVar: strings.TrimSpace(os.Getenv(raceVar) + " " + atOnce)}
}

// atOnce has the race detector end with its program.
const atOnce = "atexit_sleep_ms=0"

// Wanted tells whether real tests are to run.
func Wanted() bool { return os.Getenv(optOut) != "0" }

// Real makes a test that needs root fail without it, or skip it if it was opted
// out of.
func Real(t testing.TB) {
	t.Helper()
	if !Wanted() {
		t.Skipf("%s=0: tests with real servers are left out", optOut)
	}
	if os.Geteuid() != 0 {
		t.Fatalf("this test needs root: it makes a network namespace and processes of other users (%s=0 leaves it out)", optOut)
	}
}
