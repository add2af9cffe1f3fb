// Package service is the component kind "service": members without roles that
// take TCP connections.
package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// Spec is what a service needs beyond its members.
type Spec struct {
	// Timeout is how long a member may take to accept a connection.
	Timeout spec.Duration `json:"timeout,omitempty"`
	// Settle is how long members may take to be back when everything is restored.
	Settle spec.Duration `json:"settle,omitempty"`
}

// Kind is the catalogue entry.
func Kind() kind.Kind[topology.NewAdapter] {
	defaults := Spec{Timeout: spec.Duration(time.Second), Settle: spec.Duration(15 * time.Second)}
	return kind.New("service", "Members without roles that take TCP connections.", defaults,
		func(s Spec) (topology.NewAdapter, error) {
			if s.Timeout <= 0 || s.Settle <= 0 {
				return nil, errors.New("with: timeout and settle must be longer than 0s")
			}
			return func(c *topology.Component) (topology.Adapter, error) { return &adapter{spec: s, c: c}, nil }, nil
		})
}

type adapter struct {
	spec Spec
	c    *topology.Component
}

// Discover connects to every member at once.
func (a *adapter) Discover(ctx context.Context) (topology.State, error) {
	st := topology.State{Members: make([]topology.MemberState, len(a.c.Members))}
	var wg sync.WaitGroup
	for i, m := range a.c.Members {
		wg.Go(func() {
			st.Members[i] = topology.MemberState{Member: m.Name(), Role: topology.Instance}
			if err := a.connect(ctx, m.Address()); err != nil {
				st.Members[i].Role, st.Members[i].Problem = topology.Down, err.Error()
			}
		})
	}
	wg.Wait()
	return st, nil
}

func (a *adapter) connect(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: a.spec.Timeout.Std()}
	c, err := d.DialContext(ctx, "tcp", address)
	var timeout net.Error
	switch {
	case err == nil:
		return c.Close()
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: connection refused: nothing listens there", address)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: no answer within %s", address, a.spec.Timeout)
	}
	return err
}

// Restore waits until every member that was there before the drill is back.
// There are no roles to put in order.
func (a *adapter) Restore(ctx context.Context, keep topology.State, note func(topology.Step)) (topology.Restored, error) {
	ctx, cancel := context.WithTimeout(ctx, a.spec.Settle.Std())
	defer cancel()
	was := map[string]bool{}
	for _, name := range keep.With(topology.Down) {
		was[name] = true
	}
	for {
		st, err := a.Discover(ctx)
		if err != nil {
			return topology.Restored{}, err
		}
		out := topology.Restored{State: st, KeptOut: map[string]string{}}
		missing := false
		for _, m := range st.Members {
			if m.Role == topology.Down {
				out.KeptOut[m.Member] = m.Problem
				missing = missing || !was[m.Member]
			}
		}
		if !missing {
			return out, nil
		}
		t := time.NewTimer(20 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return out, fmt.Errorf("restore %s: not back after %s: %v", a.c.Name(), a.spec.Settle, out.KeptOut)
		}
	}
}
