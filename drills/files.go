package drills

import (
	"fmt"

	"golang.org/x/sys/unix"

	"firedrill/drills/timeline"
)

// spareFiles is what the runner itself needs beside its probes.
const spareFiles = 128

// enoughFiles refuses a drill whose probes could run out of file descriptors
// when everything hangs: their samples would be no data just when they matter.
func enoughFiles(series []timeline.Series) error {
	need := uint64(spareFiles)
	for _, s := range series {
		need += uint64(s.Concurrency)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("read the limit of open files: %w", err)
	}
	if need > limit.Cur {
		return fmt.Errorf("the probes may need %d open files when everything hangs, the limit is %d: raise it (ulimit -n), or sample less often, or lower the timeouts", need, limit.Cur)
	}
	return nil
}
