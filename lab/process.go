package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/control/poll"
)

// process is a server program as a detached process. It is run through the same
// control that drills use, so that what a drill starts again is the same.
type process struct {
	name      string
	address   string // host:port that it listens on
	dir       string // has everything that it writes
	argv      []string
	uid       int    // 0: the caller's own user
	namespace string // path; empty: the caller's own
	// env is what the program finds in its environment; it is in the topology file.
	env map[string]string
	// ready is that of control.ProcessSpec; empty means its default.
	ready string
}

func (p process) log() string { return filepath.Join(p.dir, "server.log") }

// spec describes the process as a member of a topology.
func (p process) spec() topology.MemberSpec {
	with := control.ProcessSpec{Start: p.argv, PIDFile: filepath.Join(p.dir, "server.pid"), Dir: p.dir, Log: p.log(), Env: p.env, Ready: p.ready}
	m := topology.MemberSpec{Name: p.name, Address: p.address}
	if p.uid != 0 {
		m.User = strconv.Itoa(p.uid)
	}
	m.Control = &topology.ControlSpec{Kind: "process", With: withoutEmpty(with)}
	return m
}

// withoutEmpty encodes what is set, and leaves the rest to the kind's defaults.
func withoutEmpty(with any) json.RawMessage {
	b, err := json.Marshal(with)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", with, err)) // plain data: a mistake in the program
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		panic(err)
	}
	for k, v := range all {
		if empty, ok := v.(map[string]any); v == nil || v == "" || v == "0s" || ok && len(empty) == 0 {
			delete(all, k)
		}
	}
	b, err = json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return b
}

func (p process) control() (topology.Control, error) {
	return topology.Kinds{Controls: control.All()}.OpenControl(p.spec())
}

// start starts the process unless it runs, and returns once ready returns nil,
// or with what the process said if it ends before.
func (p process) start(ctx context.Context, ready func() error) error {
	c, err := p.control()
	if err != nil {
		return err
	}
	if p.pid(ctx) == 0 {
		if err := free(ctx, p.namespace, p.address); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	// What the control starts and dials on this goroutine is in the namespace.
	if err := inside(p.namespace, func() error { return c.Start(ctx) }); err != nil {
		said, _ := os.ReadFile(p.log())
		return fmt.Errorf("%w: %s", err, lastLines(said))
	}
	err = poll.Until(ctx, pollEvery, func(context.Context) error {
		if err := ready(); err == nil || p.pid(ctx) != 0 {
			return err
		}
		said, err := os.ReadFile(p.log())
		return poll.Stop(fmt.Errorf("the process ended: %s: %w", lastLines(said), err))
	})
	if err != nil {
		return fmt.Errorf("start %s on %s: %w", p.name, p.address, err)
	}
	return nil
}

// pid is the main process, or 0 if there is none.
func (p process) pid(ctx context.Context) int {
	c, err := p.control()
	if err != nil {
		return 0
	}
	st, err := c.Status(ctx)
	if err != nil || len(st.PIDs) == 0 {
		return 0
	}
	return st.PIDs[0]
}

// kill sends a signal and waits until the process is gone. One that is gone
// already is no error.
func (p process) kill(ctx context.Context, sig syscall.Signal) error {
	pid := p.pid(ctx)
	if pid == 0 {
		return nil
	}
	if err := end(ctx, sig, pid); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	return nil
}

// write makes a process's directory, with these files in it that only its user
// reads.
func (p process) write(files map[string]string) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("configure %s: %w", p.name, err)
		}
	}
	return own(p.dir, p.uid)
}
