package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"

	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// Start starts the server in a session of its own, so that it outlives the runner
// and its terminal, and waits until it is up.
func (p *process) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.spec.StartTimeout.Std(),
		fmt.Errorf("not up %s after the start", p.spec.StartTimeout))
	defer cancel()
	c := &child{}
	err := ctx.Err()
	if err == nil {
		err = poll.Until(ctx, pollEvery, func(ctx context.Context) error { return p.up(ctx, c) })
	}
	if err != nil {
		return fmt.Errorf("start member %s: %w", p.member.Name, err)
	}
	return p.writePIDFile(c)
}

// child is what was launched; without a start time nothing had to be.
type child struct {
	launched bool
	id       proc.ID
	ended    <-chan error
}

// launch executes the start command.
func (p *process) launch(c *child) error {
	// No context: the server outlives whoever starts it.
	cmd := exec.Command(p.spec.Start[0], p.spec.Start[1:]...) //nolint:noctx // see above
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.spec.Dir, p.environment(), p.attributes()
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if p.spec.Log != "" {
		log, err := os.OpenFile(p.spec.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return fmt.Errorf("open log: %w", err)
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	// What the runner itself was handed open must not stay open in a server that
	// outlives it. Kernels before 5.11 cannot say so at one stroke; there it may.
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	if err := cmd.Start(); err != nil {
		return err
	}
	c.launched, c.id = true, proc.ID{PID: cmd.Process.Pid}
	// The child cannot be reaped before Wait below, so its number is still its own.
	if q, err := proc.Read(c.id.PID); err == nil {
		c.id = q.ID
	}
	ended := make(chan error, 1)
	c.ended = ended
	go func() { ended <- cmd.Wait() }()
	return nil
}

func (p *process) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if p.user != nil && int(p.user.UID) != os.Geteuid() {
		a.Credential = &syscall.Credential{Uid: p.user.UID, Gid: p.user.GID, Groups: p.user.Groups}
	}
	return a
}

func (p *process) environment() []string {
	home := os.Getenv("HOME")
	if p.user != nil {
		home = p.user.Home
	}
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=" + home}
	for k, v := range p.spec.Env {
		env = append(env, k+"="+v)
	}
	return env
}

// up returns nil once the server is up, and launches it if there is none: at first,
// or because what was left of the old one has only just ended. A start command
// that failed is final; one that ended well may have put the server into the
// background.
func (p *process) up(ctx context.Context, c *child) error {
	select {
	case err := <-c.ended:
		if err != nil {
			return poll.Stop(fmt.Errorf("%s ended at once (%w)%s", p.spec.Start[0], err, p.seeLog()))
		}
		c.ended = nil
	default:
	}
	ps, _, err := p.find()
	if err != nil {
		return err
	}
	if len(ps) == 0 && !c.launched {
		if err := p.launch(c); err != nil {
			return poll.Stop(err)
		}
	}
	if len(ps) == 0 {
		return fmt.Errorf("no process yet%s", p.seeLog())
	}
	if p.spec.Ready != "tcp" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.member.Address)
	if err != nil {
		return fmt.Errorf("process %d runs, but %w", ps[0].PID, err)
	}
	return conn.Close()
}

func (p *process) seeLog() string {
	if p.spec.Log == "" {
		return ""
	}
	return "; see " + p.spec.Log
}

// writePIDFile writes the pid file for a server that did not. It belongs to the
// server's user, who may want to write it after all.
func (p *process) writePIDFile(c *child) error {
	if p.spec.PIDFile == "" || c.id.Start == 0 || !c.id.Alive() {
		return nil
	}
	if q, err := p.fromPIDFile(); err != nil || q != nil {
		return err
	}
	f, err := renameio.NewPendingFile(p.spec.PIDFile, renameio.WithPermissions(0o644))
	if err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	defer func() { _ = f.Cleanup() }() // does nothing once the file has its name
	if _, err = fmt.Fprintln(f, c.id.PID); err == nil && p.user != nil {
		err = f.Chown(int(p.user.UID), int(p.user.GID))
	}
	if err == nil {
		err = f.CloseAtomicallyReplace()
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
