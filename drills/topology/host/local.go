package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Local is the runner's own host. Programs get the runner's environment.
type Local struct{}

// Name is "this host".
func (Local) Name() string { return "this host" }

// drain is how long the output of a program that has ended is waited for: one
// that it left in the background may hold the pipe for ever.
const drain = time.Second

// Run runs the program in a process group of its own, which is killed when ctx
// ends. If the runner itself is killed, the program is, too, so that it does not go
// on while somebody else already undoes what it does; what it has started is not.
func (l Local) Run(ctx context.Context, argv []string, stdin string) (Output, error) {
	if len(argv) == 0 {
		return Output{}, errors.New("run on this host: no program named")
	}
	// To the kernel the parent is this thread (PR_SET_PDEATHSIG(2const)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stdout, stderr capped
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = drain
	err := cmd.Run()
	out := Output{Stdout: stdout.String(), Stderr: stderr.String()}
	switch exit, bad := errors.AsType[*exec.ExitError](err); {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return out, nil
	case ctx.Err() != nil:
		return out, fmt.Errorf("run %s on this host: %w", argv[0], context.Cause(ctx))
	case bad:
		return out, &ExitError{Host: l.Name(), Program: argv[0], Code: exit.ExitCode(), Line: firstLine(out.Stderr)}
	case errors.Is(err, unix.EPIPE):
		// The program ended well without reading all of its input.
		return out, nil
	}
	return out, fmt.Errorf("run %s on this host: %w", argv[0], err)
}
