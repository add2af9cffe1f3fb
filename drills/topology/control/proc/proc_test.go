package proc

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestParseNamesWithSpacesAndParentheses(t *testing.T) {
	p, err := parse(7, []byte("7 (a) b (c) T 3 4 5 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 98765 0 0"))
	require.NoError(t, err)
	assert.Equal(t, Process{ID: ID{PID: 7, Start: 98765}, Parent: 3, Session: 5, State: 'T', Threads: 3}, p)
	assert.True(t, Process{State: 'Z', Threads: 1}.ended())
	assert.False(t, Process{State: 'Z', Threads: 2}.ended(), "the main thread has ended, others have not")
	_, err = parse(7, []byte("7 (a) R 1"))
	assert.ErrorContains(t, err, "fields")
}

func TestGrowFindsOrphansOfTheSession(t *testing.T) {
	at := func(pid, parent, session int) Process {
		return Process{ID: ID{PID: pid, Start: uint64(pid)}, Parent: parent, Session: session}
	}
	root, child, orphan, other := at(10, 1, 10), at(11, 10, 10), at(12, 1, 10), at(13, 1, 13)
	below := at(9, 12, 9) // a grandchild by way of the orphan, with a lower number
	got := Grow([]Process{below, root, child, orphan, other}, []Process{root})
	assert.Equal(t, []Process{root, below, child, orphan}, got)

	inAShell := at(20, 1, 5) // does not lead its session: the shell's other jobs are not its own
	assert.Equal(t, []Process{inAShell}, Grow([]Process{inAShell, at(21, 1, 5)}, []Process{inAShell}))
}

func TestAProcessThatEndedIsDone(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	p, err := Read(cmd.Process.Pid)
	require.NoError(t, err)
	assert.True(t, p.Alive())
	assert.Equal(t, os.Geteuid(), p.UID())
	assert.True(t, p.SamePIDNamespace())
	began, err := p.Began()
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), began, 10*time.Second)

	later := ID{PID: p.PID, Start: p.Start + 1}
	assert.False(t, later.Alive(), "the number alone is not the process")
	assert.ErrorIs(t, later.Signal(unix.SIGKILL), os.ErrProcessDone)
	assert.True(t, p.Alive(), "and the signal did not reach it")

	require.NoError(t, p.Signal(unix.SIGKILL))
	require.Eventually(t, func() bool { return !p.Alive() }, 30*time.Second, time.Millisecond, "gone although not reaped")
	require.Error(t, cmd.Wait())
	assert.ErrorIs(t, p.Signal(unix.SIGKILL), os.ErrProcessDone)
}

func TestLookupUser(t *testing.T) {
	u, err := LookupUser("65501")
	require.NoError(t, err)
	assert.Equal(t, User{UID: 65501, GID: 65501, Home: "/"}, u)
	u, err = LookupUser("65501:12")
	require.NoError(t, err)
	assert.Equal(t, uint32(12), u.GID)
	u, err = LookupUser("root")
	require.NoError(t, err)
	assert.Zero(t, u.UID)
	for _, bad := range []string{"no-such-user", "1:x", ""} {
		_, err := LookupUser(bad)
		assert.Error(t, err, bad)
	}
}
