package probes_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

func TestExecConforms(t *testing.T) {
	probetest.Conform(t, probetest.Suite{
		Kind:    build(t, "exec", `{"command":["sh","-c","echo $FIREDRILL_ADDRESS; sleep 0"],"expectOutput":"^here"}`),
		Correct: "here:1",
	})
}

func TestExecJudges(t *testing.T) {
	t.Setenv("EXEC_SECRET", "hush")
	for _, c := range []struct {
		with string
		want timeline.Class
		says string
	}{
		{`{"command":["true"]}`, timeline.OK, ""},
		{`{"command":["false"]}`, timeline.Error, "exit status 1, want exit status 0"},
		{`{"command":["sh","-c","echo broken >&2; exit 3"]}`, timeline.Error, "broken"},
		{`{"command":["sh","-c","exit 3"],"expectExit":3}`, timeline.OK, ""},
		{`{"command":["echo","no"],"expectOutput":"^yes"}`, timeline.WrongAnswer, `got "no\n"`},
		{`{"command":["sh","-c","echo $S; exit 1"],"secretEnv":{"S":"env:EXEC_SECRET"}}`, timeline.Error, "***"},
		{`{"command":["sh","-c","test $A-$FIREDRILL_MEMBER-$FIREDRILL_TIMEOUT = b-db-1-1s"],"env":{"A":"b"}}`, timeline.OK, ""},
		{`{"command":["sh","-c","sleep 100 & exit 0"]}`, timeline.OK, ""},
		{`{"command":["sh","-c","echo END"],"expectOutput":"END"}`, timeline.OK, ""},
		{`{"command":["sh","-c","head -c 3000000 /dev/zero; echo END"],"expectOutput":"END"}`, timeline.WrongAnswer, "output: "},
		{`{"command":["sleep","100"]}`, timeline.Timeout, "killed"},
		{`{"command":["sh","-c","kill -9 $$"]}`, timeline.Error, "signal: killed"},
	} {
		t.Run(c.with, func(t *testing.T) {
			m := &topology.Member{Spec: topology.MemberSpec{Name: "db-1"}}
			p := open(t, build(t, "exec", c.with), drills.Subject{Client: drills.Fresh, Timeout: time.Second, Member: m})
			patience := probetest.Patience
			if c.want == timeline.Timeout {
				patience = probetest.Timeout
			}
			o, took := probetest.Look(t, p, patience)
			assert.Equal(t, c.want, o.Class, o.Detail)
			assert.Contains(t, o.Detail, c.says)
			assert.NotContains(t, o.Detail, "hush")
			assert.Less(t, took, 5*time.Second)
		})
	}
}

// What the command started is killed with it.
func TestExecKillsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	k := build(t, "exec", fmt.Sprintf(`{"command":["sh","-c","sleep 100 & echo $! > %s; wait"]}`, file))
	p := open(t, k, drills.Subject{Client: drills.Fresh})
	// Twice as long each time, until the command gets as far as that.
	for within := probetest.Timeout; ; within *= 2 {
		o, _ := probetest.Look(t, p, within)
		require.Equal(t, timeline.Timeout, o.Class)
		b, err := os.ReadFile(file)
		if len(b) == 0 && within < probetest.Patience {
			continue
		}
		require.NoError(t, err)
		pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
		require.NoError(t, err)
		assert.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 10*time.Millisecond)
		return
	}
}

// gone tells whether a process has ended; a zombie has, too.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return true
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.Contains(b, []byte(") Z "))
}

func TestExecRefusesNonsense(t *testing.T) {
	for with, says := range map[string]string{`{}`: "command", `{"command":["a"],"expectOutput":"("}`: "expectOutput"} {
		_, err := probes.All().Build("exec", []byte(with))
		assert.ErrorContains(t, err, says)
	}
	_, err := build(t, "exec", `{"command":["no-such-program"]}`).Open(t.Context(), drills.Subject{Client: drills.Fresh})
	assert.ErrorContains(t, err, "no-such-program")
}
