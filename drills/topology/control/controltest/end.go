package controltest

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/proc"
)

// End kills every process that a control sees, and returns when they are gone or
// after some seconds.
func End(c topology.Control) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for {
		st, err := c.Status(ctx)
		if err != nil || !st.Running {
			return
		}
		for _, pid := range st.PIDs {
			if p, err := proc.Read(pid); err == nil {
				_ = p.Signal(unix.SIGKILL)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}
