package injectors_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runnerRounds is how many drills one operation is.
const runnerRounds = 3

// runs measures the memory of firedrill, a process of its own, in a whole drill on a
// component: the most that was resident at any time.
func (c *benchedCluster) runs(b *testing.B, app string) {
	program := filepath.Join(b.TempDir(), "firedrill")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../cmd/firedrill")
	out, err := build.CombinedOutput()
	require.NoError(b, err, string(out))
	var peaks []float64
	for b.Loop() {
		for range runnerRounds {
			c.whole(b)
			peaks = append(peaks, c.drill(b, program, app))
		}
	}
	slices.Sort(peaks)
	b.ReportMetric(peaks[0], "peak-min-MB")
	b.ReportMetric(peaks[len(peaks)/2], "peak-p50-MB")
	b.ReportMetric(peaks[len(peaks)-1], "peak-max-MB")
	b.ReportMetric(0, "ns/op")
}

// drill runs one and returns the peak of the runner's resident memory in MB.
func (c *benchedCluster) drill(b *testing.B, program, app string) float64 {
	b.Helper()
	dir := b.TempDir()
	scenario, topology := c.files(app)
	for name, text := range map[string]string{"drill.yaml": scenario, "topology.yaml": topology} {
		require.NoError(b, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "run", filepath.Join(dir, "drill.yaml"), "--topology", filepath.Join(dir, "topology.yaml"), "--yes")
	cmd.Env = append(os.Environ(), "FIREDRILL_HOME="+filepath.Join(dir, "home"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	require.NoError(b, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for peak := 0.0; ; {
		select {
		case err := <-ended:
			require.NoError(b, err, said.String())
			return peak
		case <-tick.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
}

var vmHWM = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// highWater is the most memory that a process had resident so far, in MB; 0 once it has
// ended. It begins anew when the process executes another program.
func highWater(pid int) float64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	m := vmHWM.FindSubmatch(b)
	if err != nil || m == nil {
		return 0
	}
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		return 0
	}
	return kb * 1024 / 1e6
}
