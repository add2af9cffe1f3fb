package lab

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// makePlaces makes the directories and the network namespace.
func (l *lab) makePlaces(ctx context.Context) error {
	if err := os.MkdirAll(l.state, 0o700); err != nil {
		return err
	}
	// The servers' users pass through these; each closes its own.
	for _, dir := range []string{l.places.servers, l.places.sockets} {
		if err := makeOwn(dir); err != nil {
			return err
		}
	}
	for process, uid := range l.make.users() {
		if err := makeSocketDir(l.socketsOf(process), uid); err != nil {
			return err
		}
	}
	if l.namespace == "" {
		l.say("without the right to make network namespaces (root) the servers listen on 127.0.%d.x of this host,"+
			" and network faults are not available", l.net)
		return nil
	}
	return addNamespace(ctx, l.namespace)
}

// makeOwn makes a directory and refuses one that somebody else made, as anybody
// could in a temporary directory.
func makeOwn(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s belongs to user %d: remove it", dir, st.Uid)
	}
	return nil
}

func makeSocketDir(dir string, uid int) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return own(dir, uid)
}
