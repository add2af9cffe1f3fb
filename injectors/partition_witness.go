package injectors

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
)

// path is a connection that a partition cuts, and how to try it.
type path struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Address is where it leads.
	Address string `json:"address"`
	// UID is who opens it, if that is not the runner.
	UID *int `json:"uid,omitempty"`
	// Source is the address that it is bound to; empty: none.
	Source string `json:"source,omitempty"`
	// Place is where it is opened, if not where the runner stands.
	Place *place `json:"place,omitempty"`
	// Took is how long it took before the fault.
	Took spec.Duration `json:"took,omitempty"`
}

// paths lists the connections between the members and whom they are cut off from,
// as far as they can be tried from here: over one host both ways, from another
// host or namespace outwards, and from the runner if it is cut off, too.
func (f *networkPartition) paths(t drills.Target) ([]path, error) {
	var out []path
	for _, m := range t.Members {
		everybody := f.spec.From == "everybody"
		if everybody {
			out = append(out, path{From: "the runner", To: m.Name(), Address: m.Address()})
		}
		for _, o := range t.Others {
			there, err := f.path(m, o)
			if err != nil {
				return nil, err
			}
			out = append(out, there)
			if there.Place != nil || everybody {
				continue
			}
			back, err := f.path(o, m)
			if err != nil {
				return nil, err
			}
			out = append(out, back)
		}
	}
	return out, nil
}

func (f *networkPartition) path(from, to *topology.Member) (path, error) {
	p := path{From: from.Name(), To: to.Name(), Address: to.Address()}
	if pl := f.place(from); pl != (place{}) {
		p.Place = &pl
		return p, nil
	}
	if !f.byUser(from) {
		h, _, err := net.SplitHostPort(from.Address())
		if ip := net.ParseIP(h); ip != nil && ip.IsLoopback() {
			p.Source = h
		}
		return p, err
	}
	u, err := proc.LookupUser(from.Spec.User)
	if err != nil {
		return p, fmt.Errorf("member %s: %w", from.Name(), err)
	}
	uid := int(u.UID)
	p.UID = &uid
	return p, nil
}

// open returns those of the paths that can be gone now, and how long each took.
func open(ctx context.Context, paths []path) []path {
	errs := each(paths, func(p *path) error {
		begin := time.Now()
		err := p.try(ctx, time.Second)
		p.Took = spec.Duration(time.Since(begin))
		return err
	})
	var out []path
	for i, p := range paths {
		if errs[i] == nil {
			out = append(out, p)
		}
	}
	return out
}

// each calls f for all paths at once.
func each(paths []path, f func(*path) error) []error {
	errs := make([]error, len(paths))
	var wg sync.WaitGroup
	for i := range paths {
		wg.Go(func() { errs[i] = f(&paths[i]) })
	}
	wg.Wait()
	return errs
}

// try opens the connection and closes it.
func (p path) try(ctx context.Context, wait time.Duration) error {
	if p.Place != nil {
		return p.tryThere(ctx, wait)
	}
	d := net.Dialer{Timeout: wait}
	if p.Source != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.Source)}
	}
	dialled := make(chan error, 1)
	go func() {
		if p.UID != nil {
			if err := becomeForSockets(*p.UID); err != nil {
				dialled <- err
				return
			}
		}
		c, err := d.DialContext(ctx, "tcp", p.Address)
		if err == nil {
			err = c.Close()
		}
		dialled <- err
	}()
	return <-dialled
}

// tryThere opens the connection at another place, by the shell there.
func (p path) tryThere(ctx context.Context, wait time.Duration) error {
	h, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		return err
	}
	seconds := fmt.Sprintf("%.3f", wait.Seconds())
	_, err = p.Place.run(ctx, []string{"timeout", seconds, "bash", "-c", `exec 3<>"/dev/tcp/$0/$1"`, h, port}, "")
	return err
}

// cutOff returns nil if the connection does not come about although the wait is
// many times as long as it took before. A refused one counts only where the fault
// refuses: otherwise it says that the other side is down.
func (p path) cutOff(ctx context.Context, reject bool) error {
	wait := min(max(20*p.Took.Std(), 100*time.Millisecond), 2*time.Second)
	begin := time.Now()
	err := p.try(ctx, wait)
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ok && timeout.Timeout():
		return waited(begin, wait)
	case err == nil:
		return fmt.Errorf("%s still reaches %s at %s", p.From, p.To, p.Address)
	case errors.Is(err, unix.ECONNREFUSED) && !reject:
		return fmt.Errorf("%s at %s refuses connections: it is down rather than cut off", p.To, p.Address)
	}
	return nil
}

// Confirm has connections for a witness: those between the members and whom they are
// cut off from, opened as the members' users (or at the members' places), which
// came about before the fault, do not come about any more.
func (f *networkPartition) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	u, err := readPartition(undo)
	if err != nil {
		return "", err
	}
	if len(u.Paths) == 0 {
		return "", errors.New("no connection between the two sides came about before the fault: that none does now proves nothing")
	}
	reject := f.spec.Mode == "reject"
	err = poll.Until(ctx, lookEvery, func(ctx context.Context) error {
		return errors.Join(each(u.Paths, func(p *path) error { return p.cutOff(ctx, reject) })...)
	})
	if err != nil {
		return "", err
	}
	var said []string
	for _, p := range u.Paths {
		said = append(said, p.From+" to "+p.To)
	}
	slices.Sort(said)
	return "connections that came about before do not any more: " + strings.Join(slices.Compact(said), ", "), nil
}

// becomeForSockets makes sockets that the calling goroutine opens from now on count
// as another user's: the kernel goes by the file system user id of the thread that
// opens a socket (setfsuid(2)). The goroutine must end soon: its thread, which ends
// with it, is fit for nothing else.
func becomeForSockets(uid int) error {
	runtime.LockOSThread()
	if err := unix.Setfsuid(uid); err != nil {
		return fmt.Errorf("open sockets as user %d: %w", uid, err)
	}
	// setfsuid(2) does not say whether it worked; asking for an impossible id does.
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != uid {
		return fmt.Errorf("open sockets as user %d: %w (needs root)", uid, syscall.EPERM)
	}
	return nil
}
