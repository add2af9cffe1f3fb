package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// ProcessSpec controls a server as plain processes of the runner's own host.
type ProcessSpec struct {
	// Start is the program and its arguments, without a shell in between. It may
	// stay in the foreground or put itself into the background.
	Start []string `json:"start" jsonschema:"minItems=1"`
	// PIDFile is the path of the file with the number of the main process. If the
	// server does not write it, firedrill does.
	PIDFile string `json:"pidFile,omitempty"`
	// User is who the processes run as: a name, or "uid[:gid]" (default: the
	// member's user, or else the runner's own).
	User string `json:"user,omitempty"`
	// Dir is the directory to start in (default "/").
	Dir string `json:"dir,omitempty"`
	// Env is what the processes find in their environment besides PATH, HOME and
	// LANG. The runner's own environment is not handed on. Not for secrets: they
	// would be in records.
	Env map[string]string `json:"env,omitempty"`
	// Log is the path of the file that the server's output is appended to
	// (default: it is dropped).
	Log string `json:"log,omitempty"`
	// StopSignal asks the main process to shut down.
	StopSignal string `json:"stopSignal,omitempty"`
	// StopTimeout is how long all processes may take to end after it.
	StopTimeout spec.Duration `json:"stopTimeout,omitempty"`
	// StartTimeout is how long a start may take until the server is up.
	StartTimeout spec.Duration `json:"startTimeout,omitempty"`
	// Ready says when a start is done: "tcp", once the member's address accepts
	// connections, or "process", once the main process is there.
	Ready string `json:"ready,omitempty" jsonschema:"enum=tcp,enum=process"`
}

var processDefaults = ProcessSpec{
	StopSignal: "TERM", Ready: "tcp",
	StopTimeout: spec.Duration(30 * time.Second), StartTimeout: spec.Duration(time.Minute),
}

// pollEvery is how often the processes are looked at while waiting.
const pollEvery = 5 * time.Millisecond

type process struct {
	spec   ProcessSpec
	member topology.MemberSpec
	signal unix.Signal
	// user is nil if the processes run as the runner's own user.
	user *proc.User
}

func newProcess(s ProcessSpec) (topology.NewControl, error) {
	signal, err := Signal(s.StopSignal)
	switch {
	case len(s.Start) == 0 || s.Start[0] == "":
		return nil, errors.New("start: name the program to start")
	case err != nil:
		return nil, fmt.Errorf("stopSignal: %w", err)
	case s.Ready != "tcp" && s.Ready != "process":
		return nil, fmt.Errorf("ready: %q: want tcp or process", s.Ready)
	}
	return func(m topology.MemberSpec) (topology.Control, error) {
		p := &process{spec: s, member: m, signal: signal}
		name := s.User
		if name == "" {
			name = m.User
		}
		if name == "" {
			return p, nil
		}
		u, err := proc.LookupUser(name)
		if err != nil {
			return nil, err
		}
		p.user = &u
		return p, nil
	}, nil
}

// Signal finds a signal by its name, with or without "SIG".
func Signal(name string) (unix.Signal, error) {
	s := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG"))
	if s == 0 {
		return 0, fmt.Errorf("unknown signal %q: want a name such as TERM, KILL or INT", name)
	}
	return s, nil
}

// Status finds the processes: see find.
func (p *process) Status(context.Context) (topology.Status, error) {
	ps, how, err := p.find()
	if err != nil {
		return topology.Status{}, fmt.Errorf("find processes of member %s: %w", p.member.Name, err)
	}
	if len(ps) == 0 {
		return topology.Status{Detail: "no process"}, nil
	}
	st := topology.Status{Running: true, Detail: fmt.Sprintf("process %d (%s)", ps[0].PID, how)}
	for _, q := range ps {
		st.PIDs = append(st.PIDs, q.PID)
	}
	return st, nil
}

// Stop signals the main process and waits until every process that belonged to it
// has ended. It does not resort to SIGKILL: a server that does not obey is an
// error.
func (p *process) Stop(ctx context.Context) error {
	ps, _, err := p.find()
	if err != nil {
		return fmt.Errorf("stop member %s: %w", p.member.Name, err)
	}
	if len(ps) == 0 {
		return nil
	}
	if err := ps[0].Signal(p.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop member %s: %w", p.member.Name, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.spec.StopTimeout.Std(),
		fmt.Errorf("not stopped %s after %s", p.spec.StopTimeout, unix.SignalName(p.signal)))
	defer cancel()
	err = poll.Until(ctx, pollEvery, func(context.Context) error {
		for _, q := range ps {
			if q.Alive() {
				return fmt.Errorf("process %d still runs", q.PID)
			}
		}
		now, _, err := p.find()
		if err == nil && len(now) > 0 {
			err = fmt.Errorf("process %d runs", now[0].PID)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("stop member %s: %w", p.member.Name, err)
	}
	return nil
}
