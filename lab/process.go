package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// poll is how often a state that cannot be waited for is looked at.
const poll = 20 * time.Millisecond

// process is a server program as one detached process.
type process struct {
	argv      []string
	dir       string // its working directory
	uid       int    // 0: the caller's own user
	namespace string // path; empty: the caller's own
	log       string // gets stdout and stderr, appended
	pidFile   string // gets the process id
}

// start starts p in a session of its own, so that it outlives the caller, and
// returns without waiting for it to serve.
func (p process) start() error {
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	// Nothing of the caller's environment, where secrets may be.
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + p.dir, "TMPDIR=" + p.dir, "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: credential(p.uid)}
	if err := inside(p.namespace, cmd.Start); err != nil {
		return fmt.Errorf("start %s: %w", p.argv[0], err)
	}
	// A child that ends while this program lives would stay a zombie.
	go func() { _ = cmd.Wait() }()
	pid := strconv.Itoa(cmd.Process.Pid) + "\n"
	if err := os.WriteFile(p.pidFile, []byte(pid), 0o644); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// answers waits until ready returns nil, and gives up when the process ends.
func (p process) answers(ctx context.Context, ready func() error) error {
	died := false
	err := wait(ctx, "an answer", func() error {
		if died = p.pid() == 0; died {
			return nil
		}
		return ready()
	})
	if died {
		said, err := os.ReadFile(p.log)
		return errors.Join(fmt.Errorf("the process ended: %s", lastLines(said)), err)
	}
	return err
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

// pid returns the id in the pid file if that process is alive and was started
// with p's arguments, or 0.
func (p process) pid() int {
	b, err := os.ReadFile(p.pidFile)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || !mentions(pid, filepath.Dir(p.pidFile)) {
		return 0
	}
	return pid
}

// kill sends a signal to p's process and waits until it is gone. A process that
// is gone already is no error.
func (p process) kill(ctx context.Context, sig syscall.Signal) error {
	pid := p.pid()
	if pid == 0 {
		return nil
	}
	return end(ctx, sig, pid)
}

// end sends a signal to processes and waits until all of them are gone.
func end(ctx context.Context, sig syscall.Signal, pids ...int) error {
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("send %s to process %d: %w", sig, pid, err)
		}
	}
	return wait(ctx, fmt.Sprintf("processes %v to end", pids), func() error {
		for _, pid := range pids {
			if alive(pid) {
				return fmt.Errorf("process %d is still there", pid)
			}
		}
		return nil
	})
}

// alive tells whether a process exists and some thread of it still runs: until
// the last one ended its sockets are open. A zombie is not alive; a process file
// descriptor is readable then (pidfd_open(2)).
func alive(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return !errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	ended, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return err != nil || ended == 0
}

// mentions tells whether a process is alive and has an argument that names a
// path within dir.
func mentions(pid int, dir string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && bytes.Contains(b, []byte(dir+"/"))
}

// processesOf lists the server processes that work in dir, by their arguments.
func processesOf(dir string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && serves(pid, dir) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// serves tells whether a process is a server that was started for dir: it has
// its configuration there. A shell or an editor that names the directory is not.
func serves(pid int, dir string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	for arg := range bytes.SplitSeq(b, []byte{0}) {
		path := strings.TrimPrefix(string(arg), "--defaults-file=")
		if strings.HasPrefix(path, dir+"/") && (strings.HasSuffix(path, ".cnf") || strings.HasSuffix(path, ".cfg")) {
			return true
		}
	}
	return false
}

// wait calls ready until it returns nil or ctx ends; then its last error says
// what was missing.
func wait(ctx context.Context, what string, ready func() error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (%w)", what, err, context.Cause(ctx))
		case <-tick.C:
		}
	}
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
