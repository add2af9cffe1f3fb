package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"firedrill/drills/topology/control/poll"
)

// pollEvery is how often a state that cannot be waited for is looked at.
const pollEvery = 10 * time.Millisecond

// wait calls ready until it returns nil or ctx ends; then its last error says
// what was missing.
func wait(ctx context.Context, what string, ready func() error) error {
	err := poll.Until(ctx, pollEvery, func(context.Context) error { return ready() })
	if err != nil {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	return nil
}

// free waits a moment until nobody has the address, and says so if somebody
// does: a server says it only in its log.
func free(ctx context.Context, namespace, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return wait(ctx, "address "+address+" to be free", func() error {
		return inside(namespace, func() error {
			l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
			if err != nil {
				return err
			}
			return l.Close()
		})
	})
}

// credential is nil for the caller's own user.
func credential(uid int) *syscall.Credential {
	if uid == 0 {
		return nil
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid), NoSetGroups: os.Geteuid() != 0}
}

// run runs a tool to its end; an error carries what it said.
func run(ctx context.Context, argv ...string) error {
	return runAs(ctx, 0, "", argv...)
}

func runAs(ctx context.Context, uid int, dir string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(uid)}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, lastLines(out))
	}
	return nil
}

// lastLines keeps the end of a program's output, where the reason usually is.
func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "; ")
}
