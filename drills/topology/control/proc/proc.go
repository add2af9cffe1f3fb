// Package proc reads and signals the processes of this host by way of proc(5).
// A process is told from a later one with the same number by its start time.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ID names one process for as long as the host is up.
type ID struct {
	PID int `json:"pid"`
	// Start is the start time in clock ticks since boot (proc(5), field 22).
	Start uint64 `json:"start"`
}

// Process is one process at a moment.
type Process struct {
	ID
	Parent, Session int
	// State is the letter of proc(5): R, S, D, T, t, Z, X, I. It is that of the
	// main thread.
	State byte
	// Threads is how many threads it has.
	Threads int
}

// ended tells whether the process runs no more, though its parent may not have
// been told yet. One whose main thread has ended before others still runs, and
// still holds its files and sockets open.
func (p Process) ended() bool {
	return p.State == 'Z' && p.Threads <= 1 || p.State == 'X' || p.State == 'x'
}

// Stopped tells whether the process is stopped by a signal.
func (p Process) Stopped() bool { return p.State == 'T' }

// Read returns the process with a number. A process that has ended, reaped or
// not, is an error that is os.ErrProcessDone.
func Read(pid int) (Process, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return Process{}, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	if err != nil {
		return Process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	p, err := parse(pid, b)
	if err == nil && p.ended() {
		return Process{}, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return p, err
}

// parse reads /proc/PID/stat. The second field is the program's name in
// parentheses, which may hold spaces and parentheses itself.
func parse(pid int, stat []byte) (Process, error) {
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 20 {
		return Process{}, fmt.Errorf("read process %d: /proc/%d/stat has %d fields after the name", pid, pid, len(f))
	}
	parent, err1 := strconv.Atoi(f[1])
	session, err2 := strconv.Atoi(f[3])
	threads, err3 := strconv.Atoi(f[17])
	start, err4 := strconv.ParseUint(f[19], 10, 64)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return Process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return Process{ID: ID{PID: pid, Start: start}, Parent: parent, Session: session, State: f[0][0], Threads: threads}, nil
}

// All returns every process that has not ended, in the order of their numbers.
func All() ([]Process, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Process
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		p, err := Read(pid)
		switch {
		case errors.Is(err, os.ErrProcessDone):
		case err != nil:
			return nil, err
		default:
			all = append(all, p)
		}
	}
	return all, nil
}

// Now returns the process as it is now; an error that is os.ErrProcessDone says
// that it has ended, even if another one has its number.
func (id ID) Now() (Process, error) {
	p, err := Read(id.PID)
	if err == nil && p.Start != id.Start {
		return Process{}, fmt.Errorf("process %d: %w", id.PID, os.ErrProcessDone)
	}
	return p, err
}

// Alive tells whether the process has not ended.
func (id ID) Alive() bool {
	_, err := id.Now()
	return !errors.Is(err, os.ErrProcessDone)
}

// Signal sends a signal to this very process, never to a later one with its
// number (pidfd_open(2)). An error that is os.ErrProcessDone says that it ended.
func (id ID) Signal(s unix.Signal) error {
	fd, err := unix.PidfdOpen(id.PID, 0)
	if err == nil {
		defer unix.Close(fd)
		if _, err = id.Now(); err != nil {
			return err
		}
		err = unix.PidfdSendSignal(fd, s, nil, 0)
	}
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", id.PID, os.ErrProcessDone)
	}
	if err != nil {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(s), id.PID, err)
	}
	return nil
}

// Boot identifies the time since the host was started: an ID means nothing in
// another one.
func Boot() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
