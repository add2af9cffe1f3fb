package injectors_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/control/controltest"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/control/proc"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
)

var kinds = builtin.Kinds()

func TestMain(m *testing.M) {
	controltest.Main(m, map[string]controltest.Role{
		"worker":    injectortest.Worker(kinds, injectors.All),
		"systemctl": controltest.Systemctl(kinds.OpenControl), "faultpoint": faultPoint,
	}, endCluster)
}

// start starts members, and has them end with the test.
func start(t *testing.T, members ...topology.MemberSpec) {
	t.Helper()
	controltest.Real(t)
	for _, m := range members {
		c, err := kinds.OpenControl(m)
		require.NoError(t, err)
		t.Cleanup(func() { controltest.End(c) })
		require.NoError(t, c.Start(t.Context()))
	}
}

// target opens members.
func target(members, others []topology.MemberSpec) func() (drills.Target, error) {
	return func() (drills.Target, error) { return injectortest.OpenTarget(kinds, members, others) }
}

// eventually waits for cond, for as long as real servers may take.
func eventually(ctx context.Context, cond func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return poll.Until(ctx, 2*time.Millisecond, cond)
}

// hello connects and reads the greeting.
func hello(address string, wait time.Duration) error { return greets(address, wait, wait) }

// greets is hello with a time for each of the two.
func greets(address string, dial, read time.Duration) error {
	c, err := net.DialTimeout("tcp", address, dial)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(read))
	said, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(said, "hello ") {
		err = fmt.Errorf("%s greets with %q", address, said)
	}
	return err
}

// whole returns nil once every member has so many running processes and greets.
func whole(processes int, members ...topology.MemberSpec) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, m := range members {
			err := eventually(ctx, func(ctx context.Context) error {
				ps, err := processesOf(ctx, m)
				if err == nil && len(ps) != processes {
					err = fmt.Errorf("member %s has %d processes, want %d", m.Name, len(ps), processes)
				}
				for _, p := range ps {
					if p.Stopped() {
						err = fmt.Errorf("process %d of member %s is stopped", p.PID, m.Name)
					}
				}
				return errors.Join(err, hello(m.Address, 2*time.Second))
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func processesOf(ctx context.Context, m topology.MemberSpec) ([]proc.Process, error) {
	c, err := kinds.OpenControl(m)
	if err != nil {
		return nil, err
	}
	st, err := c.Status(ctx)
	var ps []proc.Process
	for _, pid := range st.PIDs {
		if p, err := proc.Read(pid); err == nil {
			ps = append(ps, p)
		}
	}
	return ps, err
}

// owned lists the processes of a user, whoever their parents are.
func owned(user string) ([]proc.Process, error) {
	u, err := proc.LookupUser(user)
	if err != nil {
		return nil, err
	}
	all, err := proc.All()
	var out []proc.Process
	for _, p := range all {
		if p.UID() == int(u.UID) {
			out = append(out, p)
		}
	}
	return out, err
}

// down returns nil if no process of the member's user is there and its address
// refuses connections.
func down(members ...topology.MemberSpec) func(context.Context) error {
	return func(context.Context) error {
		for _, m := range members {
			left, err := owned(m.User)
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("processes of user %s are still there: %v", m.User, left)
			}
			if err != nil {
				return err
			}
			if err := hello(m.Address, time.Second); !errors.Is(err, unix.ECONNREFUSED) {
				return fmt.Errorf("%s does not refuse: %w", m.Address, err)
			}
		}
		return nil
	}
}

// die kills a member the way an accident would.
func die(m topology.MemberSpec) func(context.Context) error {
	return func(ctx context.Context) error {
		return eventually(ctx, func(context.Context) error {
			ps, err := owned(m.User)
			for _, p := range ps {
				_ = p.Signal(unix.SIGKILL)
			}
			if err == nil && len(ps) > 0 {
				err = errors.New("still dying")
			}
			return err
		})
	}
}

// revive starts members again.
func revive(members ...topology.MemberSpec) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, m := range members {
			c, err := kinds.OpenControl(m)
			if err != nil {
				return err
			}
			if err := c.Start(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// tables lists the nftables tables of this namespace.
func tables() ([]string, error) {
	out, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		return nil, fmt.Errorf("nft list tables: %w", err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")[:strings.Count(string(out), "\n")], nil
}

// strays lists processes of the members' users that the members do not have.
func strays(processes int, members ...topology.MemberSpec) func() ([]string, error) {
	return func() ([]string, error) {
		var out []string
		for _, m := range members {
			ps, err := owned(m.User)
			if err != nil {
				return nil, err
			}
			if len(ps) > processes {
				out = append(out, fmt.Sprintf("%d processes of user %s, want %d", len(ps), m.User, processes))
			}
		}
		t, err := tables()
		return append(out, t...), err
	}
}
