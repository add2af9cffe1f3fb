package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespaces is where ip-netns(8) keeps named network namespaces.
const namespaces = "/run/netns"

// inside calls f on a thread that stands in the network namespace at path; what
// f starts or dials on its own goroutine belongs there. The thread ends with the
// call, so nothing else of the program is moved. An empty path calls f at once.
func inside(path string, f func() error) error {
	if path == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the runtime ends the thread with the goroutine.
		runtime.LockOSThread()
		done <- enterAndCall(path, f)
	}()
	return <-done
}

func enterAndCall(path string, f func() error) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return f()
}

// DialInside dials from within the network namespace at path; an empty path is the
// caller's own.
func DialInside(ctx context.Context, path, network, address string) (conn net.Conn, err error) {
	err = inside(path, func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// addNamespace makes a named network namespace with the loopback interface up.
// One that exists already is left as it is.
func addNamespace(ctx context.Context, path string) error {
	name := filepath.Base(path)
	if _, err := os.Stat(path); err != nil {
		if err := run(ctx, "ip", "netns", "add", name); err != nil {
			return fmt.Errorf("make network namespace: %w", err)
		}
	}
	if err := run(ctx, "ip", "-n", name, "link", "set", "lo", "up"); err != nil {
		return fmt.Errorf("bring loopback up in namespace %s: %w", name, err)
	}
	return nil
}

// deleteNamespace removes the name; the namespace itself, with its rules, ends
// with the last process in it. It is idempotent.
func deleteNamespace(ctx context.Context, path string) error {
	if _, err := os.Stat(path); os.IsNotExist(err) {
		return nil
	}
	if err := run(ctx, "ip", "netns", "delete", filepath.Base(path)); err != nil {
		return fmt.Errorf("delete network namespace: %w", err)
	}
	return nil
}

// canNamespace tells whether this process may make network namespaces: root
// may, unless a container took CAP_SYS_ADMIN away.
func canNamespace() bool {
	if os.Geteuid() != 0 {
		return false
	}
	tried := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		tried <- unix.Unshare(unix.CLONE_NEWNET)
	}()
	return <-tried == nil
}
