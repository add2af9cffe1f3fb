// Package netns moves the program into a network namespace. A namespace belongs
// to a thread, so the whole program is executed again from a thread that has
// entered it: then every goroutine and every child stands there.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Inside tells whether the program already stands in the namespace at path.
func Inside(path string) (bool, error) {
	var own, want unix.Stat_t
	// Of this thread, not of the main one: that one may have been left behind in
	// another namespace by a goroutine that was locked to it.
	if err := unix.Stat("/proc/thread-self/ns/net", &own); err != nil {
		return false, fmt.Errorf("stat own network namespace: %w", err)
	}
	if err := unix.Stat(path, &want); errors.Is(err, unix.ENOENT) {
		return false, fmt.Errorf("there is no network namespace %s: a lab's comes with `firedrill lab up`, others with `ip netns add`", path)
	} else if err != nil {
		return false, fmt.Errorf("network namespace %s: %w", path, err)
	}
	return own.Ino == want.Ino && own.Dev == want.Dev, nil
}

// Enter makes the program stand in the namespace at path: it executes the
// program again, with the same arguments, unless it is there already. It returns
// only then, or on an error. Entering needs CAP_SYS_ADMIN.
func Enter(path string) error {
	in, err := Inside(path)
	if err != nil || in {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", path, err)
	}
	runtime.LockOSThread()
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s (needs root): %w", path, err)
	}
	return again()
}

// again executes the program from this thread.
func again() error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	return fmt.Errorf("execute %s again: %w", exe, unix.Exec(exe, os.Args, os.Environ()))
}

// private marks a program that stands in a namespace that Private made.
const private = "FIREDRILL_PRIVATE_NETNS"

// Private makes the program stand in a new namespace of its own, with the
// loopback interface up, which vanishes with the last process in it. Tests that
// start servers or inject network faults call it first, from TestMain.
func Private() error {
	if os.Getenv(private) != "" {
		return nil
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a private network namespace (needs root): %w", err)
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if err := os.Setenv(private, "1"); err != nil {
		return err
	}
	return again()
}

// loopbackUp sets the flag IFF_UP of lo (netdevice(7)).
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open socket for lo: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return fmt.Errorf("read flags of lo: %w", err)
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}
