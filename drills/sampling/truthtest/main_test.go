// Package truthtest proves that the sampler and the outage mathematics tell the
// truth: servers in a process of their own go down and up by a seeded plan and
// write down when; real requests over TCP look at them; and what the verdict
// reports must contain what the servers wrote down, every time.
package truthtest

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology/netns"
)

// role tells the test binary, executed again, which process it is to be.
const role = "FIREDRILL_TRUTH_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv("FIREDRILL_TEST_REAL") != "0" {
		if err := netns.Private(); err != nil {
			exit(err)
		}
		if err := unstarved(); err != nil {
			exit(err)
		}
	}
	switch os.Getenv(role) {
	case "servers":
		exit(serveAll(os.Stdin, os.Stdout))
	case "runner":
		exit(runApart(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// unstarved puts the process, and those that it starts, ahead of all ordinary
// ones, so that the tests do not depend on what else the machine does: a server
// that waits for a CPU does not answer, and what it writes down of its outages
// would not be the truth; a runner that waits for one is what the test that stops
// it is about. FIREDRILL_TRUTH_ORDINARY=1 leaves the runner an ordinary process.
// The policy is a thread's and its children's, so the program is executed again
// from the thread that has it.
func unstarved() error {
	const done = "FIREDRILL_TRUTH_UNSTARVED"
	ordinary := os.Getenv("FIREDRILL_TRUTH_ORDINARY") == "1" && os.Getenv(role) != "servers"
	if os.Getenv(done) != "" || ordinary {
		return nil
	}
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("put the tests ahead of other processes (needs CAP_SYS_NICE): %w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(exe, os.Args, append(os.Environ(), done+"=1"))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
