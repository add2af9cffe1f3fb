package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Down ends the lab of that name under home and removes everything of it: its
// processes, its network namespace with every rule in it, its files. Only the
// cache stays, which all labs share. It is idempotent.
func Down(ctx context.Context, home, name string) error {
	l, err := open(home, name, nil)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Dir(l.state)); os.IsNotExist(err) {
		return nil
	}
	unlock, err := lock(ctx, home)
	if err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	defer unlock()
	if err := l.destroy(ctx); err != nil {
		return fmt.Errorf("lab %s: %w", name, err)
	}
	return nil
}

// destroy needs nothing to be whole. The processes are killed: what they would
// save is removed anyway, and one that a drill froze cannot be asked.
func (l *lab) destroy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	pids, err := processesOf(l.places.servers, l.places.sockets)
	if err != nil {
		return err
	}
	if err := end(ctx, syscall.SIGKILL, pids...); err != nil {
		return err
	}
	if c, ok := l.make.(cleaner); ok {
		if err := c.clean(ctx); err != nil {
			return err
		}
	}
	if l.namespace != "" {
		if err := deleteNamespace(ctx, l.namespace); err != nil {
			return err
		}
	}
	for _, dir := range []string{l.places.servers, l.places.sockets, l.state} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return nil
}

// lock keeps two programs from changing the labs of one home at the same time;
// the second waits. The lock ends with the program, whatever happens to it.
func lock(ctx context.Context, home string) (unlock func(), err error) {
	dir := filepath.Join(home, "lab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make lab directory: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open lab directory: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	err = wait(ctx, "another program to finish with the labs of "+home, func() error {
		return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
