package control

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/topology/control/proc"
)

// find returns the member's processes, the main one first, none if it is stopped,
// and how they were found: by the pid file, or, where that is missing or names
// somebody else, by the command that Start gives.
func (p *process) find() ([]proc.Process, string, error) {
	all, err := proc.All()
	if err != nil {
		return nil, "", err
	}
	main, err := p.fromPIDFile()
	if err != nil {
		return nil, "", err
	}
	if main != nil {
		return proc.Grow(all, []proc.Process{*main}), "pid file", nil
	}
	roots, err := p.fromCommand(all)
	if err != nil || len(roots) == 0 {
		return nil, "", err
	}
	return proc.Grow(all, roots), "command", nil
}

// fromPIDFile returns the process that the pid file names, or nil if there is no
// such file or its process has ended.
func (p *process) fromPIDFile() (*proc.Process, error) {
	if p.spec.PIDFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(p.spec.PIDFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pid file: %w", err)
	}
	// Some servers write more lines after the number (PostgreSQL). A server that is
	// just writing the file leaves it empty for a moment.
	first, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return nil, nil //nolint:nilerr // a number that is not there yet
	}
	q, err := proc.Read(pid)
	if errors.Is(err, os.ErrProcessDone) {
		reap(pid)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !p.runs(q) && !p.wrote(q) {
		return nil, nil
	}
	return &q, nil
}

// written is how much later than the pid file a process may seem to have started
// and still be the one that wrote it: the clock may have been set in between.
const written = 5 * time.Second

// wrote tells whether q can be the process that the pid file was written for: it
// was there by then, and it is the right user's. Otherwise its number was taken
// over by another program.
func (p *process) wrote(q proc.Process) bool {
	f, err := os.Stat(p.spec.PIDFile)
	if err != nil {
		return false
	}
	began, err := q.Began()
	if err != nil || began.After(f.ModTime().Add(written)) {
		return false
	}
	return q.SamePIDNamespace() && p.owns(q)
}

func (p *process) owns(q proc.Process) bool {
	return p.user == nil || q.UID() == int(p.user.UID)
}

// runs tells whether q runs the command that Start gives: directly, or by the
// interpreter that its "#!" line names.
func (p *process) runs(q proc.Process) bool {
	cmd := q.Command()
	start := p.spec.Start
	if len(cmd) < len(start) || !slices.Equal(cmd[len(cmd)-len(start)+1:], start[1:]) {
		return false
	}
	program := start[0]
	if found, err := exec.LookPath(program); err == nil {
		program = found
	}
	before := cmd[:len(cmd)-len(start)]
	called := cmd[len(cmd)-len(start)]
	match := len(before) == 0 && (called == start[0] || called == program || q.Executable() == resolved(program)) ||
		len(before) > 0 && (called == start[0] || called == program) && slices.Equal(before, interpreter(program))
	return match && p.owns(q) && q.SamePIDNamespace()
}

func resolved(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	return path
}

// interpreter returns what the kernel puts before the arguments of a script
// (execve(2), "Interpreter scripts").
func interpreter(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	line, script := strings.CutPrefix(string(head[:n]), "#!")
	if !script {
		return nil
	}
	line, _, _ = strings.Cut(line, "\n")
	program, option, has := strings.Cut(strings.TrimSpace(line), " ")
	if !has {
		return []string{program}
	}
	return []string{program, strings.TrimSpace(option)}
}

// fromCommand returns the processes that run the start command and whose parents
// do not. Several are an error unless they are of one session: they could be two
// servers, and a fault must not hit the wrong one.
func (p *process) fromCommand(all []proc.Process) ([]proc.Process, error) {
	var roots []proc.Process
	running := map[int]bool{}
	for _, q := range all {
		if p.runs(q) {
			running[q.PID] = true
			roots = append(roots, q)
		}
	}
	roots = slices.DeleteFunc(roots, func(q proc.Process) bool { return running[q.Parent] })
	slices.SortFunc(roots, func(a, b proc.Process) int { return int(int64(a.Start) - int64(b.Start)) })
	for _, q := range roots {
		if q.Session != roots[0].Session {
			return nil, fmt.Errorf("processes %d and %d both run %s with these arguments: name a pidFile that the server writes",
				roots[0].PID, q.PID, p.spec.Start[0])
		}
	}
	return roots, nil
}

// reap takes the exit status of a process that ended, if it is a child of this
// program: a program that executed itself again is the parent of servers that it
// does not know of. Until then the process is a zombie, which a server that starts
// in its place may take for one that lives (MySQL and its socket's lock file).
func reap(pid int) {
	_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
}
