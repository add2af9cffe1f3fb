package vantage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// Process is an agent that is a process of the runner's own host.
type Process struct {
	// Argv is the program and its arguments; Env is added to the runner's own.
	Argv []string
	Env  []string
	// Stderr takes what it says beside the protocol; nil drops it.
	Stderr io.Writer

	mu      sync.Mutex
	started bool
}

// Connect starts the process. It ends when the connection does, so that there is one
// only.
func (p *Process) Connect(context.Context) (io.ReadWriteCloser, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return nil, fmt.Errorf("process %s: %w", p.Argv[0], ErrGone)
	}
	p.started = true
	c := exec.Command(p.Argv[0], p.Argv[1:]...) //nolint:noctx // it ends with its standard input
	c.Env, c.Stderr = append(c.Environ(), p.Env...), p.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("start agent: %w: %w", ErrGone, err)
	}
	return &process{cmd: c, WriteCloser: in, out: out}, nil
}

// endWithin is how long a process may take to end.
const endWithin = 5 * time.Second

type process struct {
	cmd *exec.Cmd
	io.WriteCloser
	out  io.Reader
	once sync.Once
	err  error
}

func (p *process) Read(b []byte) (int, error) { return p.out.Read(b) }

// Close closes the agent's standard input, at which it ends, and waits for that.
func (p *process) Close() error {
	p.once.Do(func() {
		err := p.WriteCloser.Close()
		kill := time.AfterFunc(endWithin, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		p.err = errors.Join(err, p.cmd.Wait())
	})
	return p.err
}
