package injectors_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/controltest"
	"firedrill/injectors"
	"firedrill/injectors/injectortest"
)

// A keeps a connection to B busy in both directions, the way a replica does; both
// leave from 127.0.0.1. C is a bystander with a connection to B, too.
func TestNetworkPartitionConforms(t *testing.T) {
	controltest.Real(t)
	b := controltest.Member(t, "b", "127.0.4.2:7001", "65532")
	a := controltest.Member(t, "a", "127.0.4.1:7001", "65531", "-peer", b.Address)
	c := controltest.Member(t, "c", "127.0.4.3:7001", "65533", "-peer", b.Address)
	start(t, b, a, c)
	for name, with := range map[string]string{
		"both":   `{}`,
		"in":     `{"direction":"in"}`,
		"out":    `{"direction":"out"}`,
		"reject": `{"mode":"reject","by":"user"}`,
	} {
		t.Run(name, func(t *testing.T) {
			injectortest.Run(t, injectortest.Case{
				Catalogue: injectors.All(kinds), Kind: "network-partition", With: with,
				Target:  target([]topology.MemberSpec{a}, []topology.MemberSpec{b}),
				Worker:  &injectortest.Job{Members: []topology.MemberSpec{a}, Others: []topology.MemberSpec{b}},
				Healthy: func(ctx context.Context) error { return errors.Join(flows(ctx, a, b), flows(ctx, c, b)) },
				Faulted: func(ctx context.Context) error {
					return errors.Join(severed(a, b, name), flows(ctx, c, b), hello(a.Address, 5*time.Second))
				},
				Leftovers: tables, Die: die(a), Heal: revive(a), Share: 0.5,
			})
		})
	}
}

func TestNetworkPartitionFromEverybodyConforms(t *testing.T) {
	controltest.Real(t)
	b := controltest.Member(t, "b", "127.0.4.5:7001", "65535")
	a := controltest.Member(t, "a", "127.0.4.4:7001", "65534:65534", "-peer", b.Address)
	self := controltest.Member(t, "self", "127.0.4.6:7001", "65534", "-peer", a.Address)
	start(t, b, a, self)
	for _, direction := range []string{"both", "in", "out"} {
		t.Run(direction, func(t *testing.T) {
			injectortest.Run(t, injectortest.Case{
				Catalogue: injectors.All(kinds), Kind: "network-partition",
				With:    `{"from":"everybody","direction":"` + direction + `"}`,
				Target:  target([]topology.MemberSpec{a}, []topology.MemberSpec{b}),
				Worker:  &injectortest.Job{Members: []topology.MemberSpec{a}, Others: []topology.MemberSpec{b}},
				Healthy: func(ctx context.Context) error { return errors.Join(flows(ctx, a, b), flows(ctx, self, a)) },
				Faulted: func(ctx context.Context) error {
					err := hello(a.Address, 50*time.Millisecond)
					if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
						return fmt.Errorf("the runner's connection to a: want a timeout, got %w", err)
					}
					return nil
				},
				Leftovers: tables, Share: 0.5,
			})
		})
	}
}

// counts asks a server how many lines it has heard and how many answers it had.
func counts(m topology.MemberSpec) (heard, answers int, err error) {
	c, err := net.DialTimeout("tcp", m.Address, 5*time.Second)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		return 0, 0, err
	}
	fmt.Fprintln(c, "count")
	_, err = fmt.Fscanf(r, "count %d %d\n", &heard, &answers)
	return heard, answers, err
}

// flows returns nil once from has had new answers from to.
func flows(ctx context.Context, from, to topology.MemberSpec) error {
	_, before, err := counts(from)
	return errors.Join(err, eventually(ctx, func(context.Context) error {
		_, now, err := counts(from)
		if err == nil && now == before {
			err = fmt.Errorf("%s has no new answers from %s", from.Name, to.Name)
		}
		return err
	}))
}

// severed returns nil once a has no new answers from b. What had arrived before the
// rules did may be read for a moment.
func severed(a, b topology.MemberSpec, how string) error {
	_, first, err := counts(a)
	for last, until := first, time.Now().Add(2*time.Second); err == nil; {
		<-time.After(30 * time.Millisecond)
		var now int
		if _, now, err = counts(a); err == nil && now == last {
			return nil
		}
		if last = now; time.Now().After(until) {
			return fmt.Errorf("%s: %s goes on having answers from %s, %d of them, over the connection that was open before", how, a.Name, b.Name, now-first)
		}
	}
	return err
}
