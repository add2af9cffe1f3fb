package proc

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Grow adds to the roots everything among all that descends from one of them, and
// everything in a session that one of them leads: that finds the children whose
// parent has already ended, too. The roots come first, in their order, whether or
// not they are among all; then by start time.
func Grow(all, roots []Process) []Process {
	in := make(map[int]bool, len(roots))
	for _, r := range roots {
		in[r.PID] = true
	}
	var rest []Process
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.PID] || (!in[p.Parent] && !led(p, roots)) {
				continue
			}
			in[p.PID], grown = true, true
			rest = append(rest, p)
		}
	}
	slices.SortFunc(rest, func(a, b Process) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.PID, b.PID))
	})
	return append(slices.Clone(roots), rest...)
}

// led tells whether p is in a session that one of the roots leads.
func led(p Process, roots []Process) bool {
	return slices.ContainsFunc(roots, func(r Process) bool {
		return r.Session == r.PID && p.Session == r.PID
	})
}

// Command returns the arguments that the process was started with; empty for
// kernel threads and for programs that wiped them.
func (id ID) Command() []string {
	b, err := os.ReadFile(id.path("cmdline"))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// Executable returns the path of the program that runs; empty if it cannot be told.
func (id ID) Executable() string {
	exe, err := os.Readlink(id.path("exe"))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(exe, " (deleted)")
}

// SamePIDNamespace tells whether the process sees the same process numbers as
// this program: those of containers do not.
func (id ID) SamePIDNamespace() bool {
	own, err1 := os.Readlink("/proc/self/ns/pid")
	its, err2 := os.Readlink(id.path("ns/pid"))
	return err1 == nil && err2 == nil && own == its
}

// UID returns the real user id of the process, or -1 if it cannot be told.
func (id ID) UID() int {
	b, err := os.ReadFile(id.path("status"))
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if uid, err := strconv.Atoi(strings.Fields(rest)[0]); err == nil {
				return uid
			}
		}
	}
	return -1
}

// Began returns when the process started, by the wall clock as it is set now;
// good to some 20 ms.
func (id ID) Began() (time.Time, error) {
	b, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return time.Time{}, fmt.Errorf("read uptime: %w", err)
	}
	up, _, _ := strings.Cut(string(b), " ")
	s, err := strconv.ParseFloat(up, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read uptime: %w", err)
	}
	age := s - float64(id.Start)/ticksPerSecond
	return time.Now().Add(-time.Duration(age * float64(time.Second))), nil
}

// ticksPerSecond is USER_HZ, which is 100 in the interface of every Linux
// architecture that Go runs on (time(7), "The software clock").
const ticksPerSecond = 100

func (id ID) path(name string) string { return "/proc/" + strconv.Itoa(id.PID) + "/" + name }
