package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// program is this program as the lab's processes run it: a copy where their users
// can execute it, as the caller's own directories may be closed to them.
func (l *models) program() string { return filepath.Join(l.places.servers, "firedrill") }

// installed tells whether the copy is one of this very program. Another one may
// speak another language on its sockets.
func (l *models) installed() bool {
	exe, err := os.Executable()
	if err != nil {
		return false
	}
	own, err := os.Stat(exe)
	if err != nil {
		return false
	}
	theirs, err := os.Stat(l.program())
	return err == nil && theirs.Size() == own.Size() && theirs.ModTime().Equal(own.ModTime())
}

// install makes the copy unless it is there, and ends what runs another one.
func (l *models) install(ctx context.Context) error {
	if l.installed() {
		return nil
	}
	for _, p := range append([]process{l.faultPoint}, l.vendors...) {
		if p.pid(ctx) == 0 {
			continue
		}
		l.say("%s ran another firedrill: starting it anew", p.name)
		if err := p.kill(ctx, syscall.SIGKILL); err != nil {
			return err
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	if err := run(ctx, "cp", "--preserve=timestamps", "--reflink=auto", exe, l.program()+".new"); err != nil {
		return err
	}
	if err := os.Chmod(l.program()+".new", 0o755); err != nil {
		return err
	}
	return os.Rename(l.program()+".new", l.program())
}
