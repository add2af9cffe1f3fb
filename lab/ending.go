package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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

// processesOf lists the processes that work in one of dirs, by their arguments.
func processesOf(dirs ...string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err == nil && serves(pid, dirs) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// works are the ends of the names of files that a server is started with: its
// configuration, what is loaded into it, or the socket that it listens on.
var works = []string{".cnf", ".cfg", ".cjs", ".sock"}

// serves tells whether a process is a server that was started for one of dirs: an
// argument names a file there that only a server works with. A shell or an editor
// that names the directory is not.
func serves(pid int, dirs []string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	for arg := range bytes.SplitSeq(b, []byte{0}) {
		path := string(arg)
		if _, value, ok := strings.Cut(path, "="); ok && strings.HasPrefix(path, "--") {
			path = value
		}
		for _, dir := range dirs {
			if strings.HasPrefix(path, dir+"/") && slices.Contains(works, filepath.Ext(path)) {
				return true
			}
		}
	}
	return false
}
