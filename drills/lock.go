package drills

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock is an flock(2) on a topology: one drill at a time. The kernel releases it
// when its holder dies, which is how the watchdog learns of that.
type lock struct {
	path string
	f    *os.File
}

// ErrLocked says that another drill runs on the topology.
var ErrLocked = errors.New("another drill runs on this topology")

// takeLock takes the lock of a topology; if another process holds it, takeLock
// waits for it or fails with ErrLocked.
func takeLock(home, topology string, wait bool) (*lock, error) {
	path := filepath.Join(home, "locks", topology+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("take lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("take lock: %w", err)
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(f.Fd()), how)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("take lock %s: %w: wait for it, or see `firedrill recover`", path, ErrLocked)
		}
		return nil, fmt.Errorf("take lock %s: %w", path, err)
	}
	return &lock{path: path, f: f}, nil
}

func (l *lock) release() { l.f.Close() }

func journalDir(home string) string { return filepath.Join(home, "journal") }
