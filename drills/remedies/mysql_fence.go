package remedies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
	"firedrill/drills/topology/mysql"
)

// fence makes sure that the old primary takes no more writes, and proves it.
func (f *failover) fence(ctx context.Context) error {
	return f.step("fence", f.old.Name(), func() (string, error) {
		if how := f.stopped(ctx); how != "" {
			return how, nil
		}
		var failed []error
		for _, way := range f.spec.Fence {
			how, err := f.try(ctx, way)
			if err == nil {
				return strings.TrimSpace(way + ": " + how), nil
			}
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			failed = append(failed, fmt.Errorf("%s: %w", way, err))
		}
		return "", fmt.Errorf("%s is not proven to refuse writes, nothing is promoted: %w", f.old.Name(), errors.Join(failed...))
	})
}

func (f *failover) try(ctx context.Context, way string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.spec.FenceTimeout.Std())
	defer cancel()
	switch way {
	case FenceReadOnly:
		return f.fenceReadOnly(ctx)
	case FenceStop:
		return f.fenceStop(ctx)
	}
	return f.fenceRoute(ctx)
}

// stopped says how it is known that the old primary is stopped already; "" if it
// is not. A refused port alone proves nothing: a firewall refuses as well.
func (f *failover) stopped(ctx context.Context) string {
	if f.old.Member.Control == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	port := make(chan bool, 1)
	go func() { port <- refuses(ctx, f.old.Member.Address()) }()
	st, err := f.old.Member.Control.Status(ctx)
	if err != nil || st.Running {
		return ""
	}
	if !<-port {
		return ""
	}
	return "stopped: its control sees no process, and its port refuses connections"
}

// refuses tells whether an address refuses connections.
func refuses(ctx context.Context, address string) bool {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// answerWithin is how long a primary that is to be fenced may take to log
// firedrill in; one that hangs is left to the next way.
const answerWithin = time.Second

func (f *failover) fenceReadOnly(ctx context.Context) (string, error) {
	login, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := f.old.Server.Ping(login); err != nil {
		return "", errors.New(mysql.Problem(f.k.Config, f.old.Server.Address(), err))
	}
	how, err := f.k.Fence(ctx, f.old)
	if err != nil {
		return "", err
	}
	st, err := f.old.Server.State(ctx)
	if err != nil {
		return "", err
	}
	f.left = st.Executed
	return how, nil
}

// fenceStop shuts the old primary down, and kills what does not obey. How it is
// started again is journaled before.
func (f *failover) fenceStop(ctx context.Context) (string, error) {
	m := f.old.Member
	if m.Control == nil {
		return "", fmt.Errorf("member %s has no control in the topology file", m.Name())
	}
	data, err := json.Marshal(m.Spec)
	if err != nil {
		return "", fmt.Errorf("encode undo: %w", err)
	}
	if err := f.log.Intend("stop "+m.Name(), &drills.Undo{Says: "start " + m.Name() + " again", Data: data}); err != nil {
		return "", fmt.Errorf("journal stop of %s: %w", m.Name(), err)
	}
	killed, err := stopOrKill(ctx, m.Control)
	if err != nil {
		return "", err
	}
	if how := f.stopped(ctx); how != "" {
		return how + killed, nil
	}
	return "", fmt.Errorf("stopped, but %s does not refuse connections or a process is left", m.Address())
}

// stopOrKill asks for a shutdown for half of the time that ctx leaves, and not at
// all if the main process is stopped by a signal: it would not hear it.
func stopOrKill(ctx context.Context, c topology.Control) (string, error) {
	st, err := c.Status(ctx)
	if err != nil {
		return "", err
	}
	var ps []proc.Process
	for _, pid := range st.PIDs {
		if p, err := proc.Read(pid); err == nil {
			ps = append(ps, p)
		}
	}
	if len(ps) == 0 || !ps[0].Stopped() {
		end, _ := ctx.Deadline()
		half, cancel := context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
		if err = c.Stop(half); err == nil || len(ps) == 0 {
			return "", err
		}
	}
	for _, p := range ps {
		if err := p.Signal(unix.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return "", err
		}
	}
	return ", after SIGKILL", poll.Until(ctx, 2*time.Millisecond, func(context.Context) error {
		for _, p := range ps {
			if p.Alive() {
				return fmt.Errorf("process %d is there after SIGKILL", p.PID)
			}
		}
		return nil
	})
}

// Revert starts the old primary again, if the fence stopped it. As who it comes
// back is for the component's Restore.
func (mysqlFailover) Revert(ctx context.Context, u drills.Undo) error {
	var m topology.MemberSpec
	if err := json.Unmarshal(u.Data, &m); err != nil || m.Control == nil {
		return fmt.Errorf("read undo %q: want a member with a control: %w", u.Says, err)
	}
	c, err := topology.Kinds{Controls: control.All()}.OpenControl(m)
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", m.Name, err)
	}
	return nil
}

// fenceRoute refuses clients on every route to the primary. It only helps if
// they have no other way there.
func (f *failover) fenceRoute(ctx context.Context) (string, error) {
	var names []string
	for _, rt := range primaryRoutes(f.k.Component) {
		if err := rt.Router.Switch(ctx, ""); err != nil {
			return "", fmt.Errorf("route %s: %w", rt.Spec.Name, err)
		}
		now, err := rt.Router.Current(ctx)
		if err != nil {
			return "", fmt.Errorf("route %s: %w", rt.Spec.Name, err)
		}
		if len(now) > 0 {
			return "", fmt.Errorf("route %s still leads to %s", rt.Spec.Name, strings.Join(now, ", "))
		}
		names = append(names, rt.Spec.Name)
	}
	if len(names) == 0 {
		return "", errors.New("no route serves the component's primary")
	}
	return fmt.Sprintf("%s refuse clients; a client that connects to %s directly is not stopped", strings.Join(names, ", "), f.old.Member.Address()), nil
}
