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
	switch os.Getenv(role) {
	case "servers":
		if err := unstarved(); err != nil {
			exit(err)
		}
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

// unstarved puts the process ahead of all ordinary ones: a server that waits for
// a CPU does not answer, so that what it writes down of its outages would not be
// the truth. The policy is a thread's and its children's, so the program is
// executed again from the thread that has it.
func unstarved() error {
	const done = "FIREDRILL_TRUTH_UNSTARVED"
	if os.Getenv(done) != "" {
		return nil
	}
	runtime.LockOSThread()
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1}
	if err := unix.SchedSetAttr(0, &attr, 0); err != nil {
		return fmt.Errorf("put the servers ahead of other processes (needs CAP_SYS_NICE): %w", err)
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
