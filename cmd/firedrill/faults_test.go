package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
)

// Each fault that can be made on a primary runs through, is confirmed, comes to a
// verdict that fits it, and leaves nothing.
func TestFaultsOnThePrimary(t *testing.T) {
	p := ill(t, "mysql")
	for kind, c := range map[string]struct {
		revert string
		by     string
		outage bool
	}{
		"process-kill":      {"clean", "runner", true},
		"process-stop":      {"clean", "runner", true},
		"process-pause":     {"gone", "runner", true}, // the fence killed it
		"mysql-read-only":   {"gone", "runner", true}, // another has taken over
		"network-partition": {"clean", "topology", false},
		"network-partition\n      with: {mode: reject}":    {"clean", "topology", false},
		"network-partition\n      with: {from: everybody}": {"clean", "runner", true},
	} {
		t.Run(strings.Join(strings.Fields(kind), " "), func(t *testing.T) {
			res, out := p.drill(t, "mysql", quick(t, "kind: process-kill", "kind: "+kind, "timeout: 2s", "timeout: 1s"))
			require.Equal(t, verdict.ExitMet, out.code, out.stderr)
			f := res.Faults[0]
			assert.NotEmpty(t, f.ConfirmedBy)
			assert.Equal(t, c.revert, f.Revert)
			assert.Equal(t, c.by, res.Recovery.By)
			rto := res.Objectives[0].Actual
			if c.outage {
				assert.Positive(t, rto.Lo, "clients saw it")
			} else {
				assert.Zero(t, rto.Lo, "clients saw nothing")
			}
			t.Log(res.Sentence)
			p.whole(t)
		})
	}
}

// The runner hangs with a fault in force: when the fault's time to live is over,
// the watchdog undoes it. When the runner goes on, it ends without doing harm.
func TestRunnerHangs(t *testing.T) {
	p := ill(t, "mysql")
	primary, pid := p.primary, p.member(t, p.primary).PID
	held := *p
	held.program = p.with(slack + "=1s")
	res, out := held.during(t, quick(t, "kind: process-kill", "kind: process-pause\n      for: 3s",
		"  remediation:\n", "", "    - {name: promote, kind: mysql-failover, target: {component: mysql}}\n", "",
		"    - {name: switch, kind: route-switch, target: {component: mysql}}\n", ""),
		map[string]func(){
			" confirmed kill-primary": func() {
				require.NoError(t, held.runner.Signal(syscall.SIGSTOP))
				defer held.runner.Signal(syscall.SIGCONT)
				assert.True(t, stopped(t, pid), "the fault is in force")
				assert.Eventually(t, func() bool { return !stopped(t, pid) }, 30*time.Second, 20*time.Millisecond,
					"the watchdog does not undo it")
				state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", held.runner.Pid))
				require.NoError(t, err)
				assert.Contains(t, string(state), ") T ", "the runner still hangs")
			},
		})
	assert.Contains(t, []int{verdict.ExitMet, verdict.ExitInconclusive}, out.code, out.stderr)
	assert.Equal(t, "clean", res.Faults[0].Revert)
	p.whole(t)
	assert.Equal(t, primary, p.primary)
	assert.Equal(t, pid, p.member(t, primary).PID)
	t.Log(out.code, res.Sentence)
}
