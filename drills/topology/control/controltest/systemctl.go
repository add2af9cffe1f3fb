package controltest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/topology"
)

// FakeSystemd puts a program called systemctl first in the PATH of the test. The
// hosts of these tests are not run by systemd. What the product must get right is
// the conversation with systemctl (arguments, exit codes, properties) and what it
// concludes from it about real processes; so only the program in between is
// replaced, by one that keeps to systemctl(1) for "show", "start" and "stop", and
// starts and stops a real server. It does not restart failed units.
//
// units maps a unit's name to the control that runs it. It needs the role
// "systemctl" in Main.
func FakeSystemd(t *testing.T, units map[string]topology.MemberSpec) {
	t.Helper()
	dir, program := Dir(t)
	for name, m := range units {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".json"), JSON(t, m), 0o644))
	}
	script := fmt.Sprintf("#!/bin/sh\n%s=systemctl %s=%s exec %s %s \"$@\"\n", roleVar, raceVar, atOnce, program, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "systemctl"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// Unit runs one unit for the fake systemctl; the test's package supplies it,
// because only it can open controls.
type Unit func(topology.MemberSpec) (topology.Control, error)

// Systemctl is the role of the fake systemctl: DIR VERB [--property=…] -- UNIT.
func Systemctl(open Unit) Role {
	return func(args []string) int {
		dir, verb, unit := args[0], args[1], args[len(args)-1]
		b, err := os.ReadFile(filepath.Join(dir, unit+".json"))
		if err != nil {
			return unknown(verb, unit)
		}
		m, err := memberFrom(b)
		if err != nil {
			return 2
		}
		c, err := open(m)
		if err != nil {
			return 2
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		switch verb {
		case "show":
			return show(ctx, c)
		case "start":
			err = c.Start(ctx)
		case "stop":
			err = c.Stop(ctx)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "Job for %s failed: %v\n", unit, err)
			return 1
		}
		return 0
	}
}

// unknown answers as systemctl does for a unit that is not there: "show" succeeds.
func unknown(verb, unit string) int {
	if verb == "show" {
		fmt.Print("MainPID=0\nControlGroup=\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n")
		return 0
	}
	fmt.Fprintf(os.Stderr, "Failed to %s %s: Unit %s not found.\n", verb, unit, unit)
	return 5
}

func show(ctx context.Context, c topology.Control) int {
	st, err := c.Status(ctx)
	if err != nil {
		return 1
	}
	pid, active, sub := 0, "inactive", "dead"
	if st.Running {
		pid, active, sub = st.PIDs[0], "active", "running"
	}
	fmt.Printf("MainPID=%d\nControlGroup=\nLoadState=loaded\nActiveState=%s\nSubState=%s\n", pid, active, sub)
	return 0
}
