package host_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/proc"
	"firedrill/drills/topology/host"
)

func TestLocalRun(t *testing.T) {
	out, err := host.Local{}.Run(t.Context(), []string{"sh", "-c", `cat; echo "$1" >&2`, "x", "it's $HOME"}, "hello")
	require.NoError(t, err)
	assert.Equal(t, host.Output{Stdout: "hello", Stderr: "it's $HOME\n"}, out)
}

func TestLocalErrorsNameTheProgramAndTheFirstLineOnly(t *testing.T) {
	_, err := host.Local{}.Run(t.Context(), []string{"sh", "-c", `printf '\n one \n two\n' >&2; exit 3`, "hush"}, "secret")
	assert.EqualError(t, err, "run sh on this host: exit code 3: one")
	assert.Equal(t, 3, host.Code(err))
	_, err = host.Local{}.Run(t.Context(), []string{"sh", "-c", `kill -9 $$`}, "")
	assert.EqualError(t, err, "run sh on this host: ended by a signal")
	_, err = host.Local{}.Run(t.Context(), []string{"/nonexistent", "hush"}, "")
	assert.ErrorContains(t, err, "/nonexistent")
	assert.NotContains(t, err.Error(), "hush")
	_, err = host.Local{}.Run(t.Context(), nil, "")
	assert.Error(t, err)
}

func TestLocalRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := host.Local{}.Run(ctx, []string{"sh", "-c", "sleep 60 & wait"}, "")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begin), 10*time.Second, "children that hold the output are killed, too")
}

func TestLocalRunDoesNotWaitForWhatIsLeftInTheBackground(t *testing.T) {
	out, err := host.Local{}.Run(t.Context(), []string{"sh", "-c", "sleep 4 & echo started"}, strings.Repeat("unread", 1<<16))
	require.NoError(t, err)
	assert.Equal(t, "started\n", out.Stdout)
}

func TestOutputIsBounded(t *testing.T) {
	out, err := host.Local{}.Run(t.Context(), []string{"head", "-c", "3000000", "/dev/zero"}, "")
	require.NoError(t, err)
	assert.Len(t, out.Stdout, 1<<20)
}

func TestExpand(t *testing.T) {
	in := []string{"{member} at {address} on {host}", "{other}"}
	assert.Equal(t, []string{"a at 127.0.0.1:5 on 127.0.0.1", "{other}"}, host.Expand(in, "a", "127.0.0.1:5"))
	assert.Equal(t, "{member} at {address} on {host}", in[0])
	assert.Equal(t, "root@::1", host.Spec{SSH: "root@{host}"}.For("a", "[::1]:5").SSH)
}

// The test program runs itself again as a runner that is killed.
func TestLocalRunEndsWithItsRunner(t *testing.T) {
	if os.Getenv("FIREDRILL_TEST_RUNNER") != "" {
		host.Local{}.Run(t.Context(), []string{"sh", "-c", "echo $$ > \"$FIREDRILL_TEST_RUNNER\"; exec sleep 60"}, "")
		return
	}
	file := filepath.Join(t.TempDir(), "pid")
	runner := exec.Command(os.Args[0], "-test.run=^TestLocalRunEndsWithItsRunner$")
	runner.Env = append(os.Environ(), "FIREDRILL_TEST_RUNNER="+file)
	require.NoError(t, runner.Start())
	var pid int
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(file)
		n, err := fmt.Sscan(string(b), &pid)
		return n == 1 && err == nil
	}, 30*time.Second, 5*time.Millisecond)
	p, err := proc.Read(pid)
	require.NoError(t, err)
	require.NoError(t, runner.Process.Kill())
	runner.Wait()
	require.Eventually(t, func() bool { return !p.Alive() }, 30*time.Second, time.Millisecond)
}
