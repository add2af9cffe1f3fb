package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"firedrill/drills"
)

// newWatchdog is the process that stands by a run; the runner starts it.
func newWatchdog() *cobra.Command {
	return &cobra.Command{
		Use:    "watchdog JOURNAL",
		Short:  "Stand by a run and undo its faults when the runner is gone",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			// The runner's terminal may send its signals to this process too: it has
			// to outlive them.
			rec, err := drills.Watchdog(context.WithoutCancel(cmd.Context()), home(), args[0], plugins(), func() {
				fmt.Fprintln(cmd.OutOrStdout(), "ready")
				os.Stdout.Close()
			})
			if rec.RunDir != "" {
				_ = render(rec.RunDir) // `firedrill report` does it again
			}
			return err
		},
	}
}

// readyWithin is how long the watchdog has to stand by.
const readyWithin = 10 * time.Second

// startWatchdog starts the watchdog in a session of its own, so that it outlives
// the runner and its terminal, and waits until it stands by.
func startWatchdog(ctx context.Context, journalPath, runDir string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(runDir, "watchdog.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	c := exec.Command(exe, "watchdog", journalPath) //nolint:noctx // it outlives the runner
	c.Stderr = log
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	ready := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(out, make([]byte, len("ready\n")))
		ready <- err
		_ = c.Wait() // reap it, should it end before the runner
	}()
	select {
	case err := <-ready:
		if err != nil {
			return fmt.Errorf("the watchdog did not come up, see %s: %w", log.Name(), err)
		}
		return nil
	case <-time.After(readyWithin):
		return fmt.Errorf("the watchdog did not stand by within %s", readyWithin)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
