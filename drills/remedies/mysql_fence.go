package remedies

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

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

func (f *failover) fenceStop(ctx context.Context) (string, error) {
	c := f.old.Member.Control
	if c == nil {
		return "", fmt.Errorf("member %s has no control in the topology file", f.old.Name())
	}
	if err := c.Stop(ctx); err != nil {
		return "", err
	}
	if how := f.stopped(ctx); how != "" {
		return how, nil
	}
	return "", fmt.Errorf("stopped, but %s does not refuse connections or a process is left", f.old.Member.Address())
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
