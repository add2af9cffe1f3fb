package injectors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/mysql"
)

// MySQLReplicationStopSpec has no parameters.
type MySQLReplicationStopSpec struct{}

type mysqlReplicationStop struct{}

func newMySQLReplicationStop(MySQLReplicationStopSpec) (drills.Injector, error) {
	return mysqlReplicationStop{}, nil
}

// Prepare needs every target to receive from its source.
func (mysqlReplicationStop) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	return mysqlBefore(ctx, t, "start the receiver (IO thread) of %s again, unless it follows another source by then", func(s mysql.Seen) error {
		switch l := s.State.Link; {
		case l == nil:
			return errors.New("it replicates from nobody: choose replicas (role: replica)")
		case !l.Connected:
			return errors.New("it does not receive now: the fault would change nothing: " + l.ReceiverError)
		}
		return nil
	})
}

// Inject stops the receivers (IO threads): what is received is still applied,
// and everything after that is real lag.
func (mysqlReplicationStop) Inject(ctx context.Context, t drills.Target, _ drills.Undo) error {
	return onTargets(t, func(_ *mysql.Cluster, n *mysql.Node) error { return n.Server.Claiming(mysqlClaim).StopReceiver(ctx) })
}

// standstill is how long a position must not move.
const standstill = 50 * time.Millisecond

// Confirm reads over other connections that the thread is gone, and that nothing
// more is received for a while; it says how far the source is ahead by then.
func (mysqlReplicationStop) Confirm(ctx context.Context, _ drills.Target, u drills.Undo) (string, error) {
	var m mysqlUndo
	k, nodes, err := m.open(u)
	if err != nil {
		return "", err
	}
	defer k.Close()
	var seen []string
	for _, n := range nodes {
		var what string
		err := poll.Until(ctx, lookEvery, func(ctx context.Context) (err error) {
			what, err = standsStill(ctx, k, n)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("member %s: %w", n.Name(), err)
		}
		seen = append(seen, "member "+n.Name()+": "+what)
	}
	return strings.Join(seen, "; "), nil
}

func standsStill(ctx context.Context, k *mysql.Cluster, n *mysql.Node) (string, error) {
	before, err := n.Server.State(ctx)
	if err != nil {
		return "", err
	}
	wait := time.NewTimer(standstill)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	after, err := n.Server.State(ctx)
	switch {
	case err != nil:
		return "", err
	case after.Link == nil || before.Link == nil || after.Link.Receiver:
		return "", errors.New("its receiver runs")
	}
	if d := after.Known().Subtract(before.Known()); !d.None() {
		return "", fmt.Errorf("it received %s more", d)
	}
	said := fmt.Sprintf("another connection sees no receiver, and nothing was received for %s", standstill)
	p := k.Look(ctx)
	if src := k.Source(p, p.Of(n)); src != nil && p.Of(src).Up() {
		said += fmt.Sprintf("; %s is ahead by %d transactions", src.Name(), p.Of(src).State.Executed.Subtract(after.Known()).Count)
	}
	return said, nil
}

// Revert starts the receivers again. A member that was promoted or that follows
// another source meanwhile is left alone: the fault is gone.
func (mysqlReplicationStop) Revert(ctx context.Context, u drills.Undo) error {
	var m mysqlUndo
	k, nodes, err := m.open(u)
	if err != nil {
		return err
	}
	defer k.Close()
	return revertEach(nodes, func(n *mysql.Node) error {
		if err := n.Server.EndClaim(ctx, mysqlClaim); err != nil {
			return errors.New(mysql.Problem(k.Config, n.Server.Address(), err))
		}
		st, err := n.Server.State(ctx)
		switch {
		case err != nil:
			return errors.New(mysql.Problem(k.Config, n.Server.Address(), err))
		case st.Link == nil:
			return fmt.Errorf("it replicates from nobody by now: %w", drills.ErrGone)
		case st.Link.Source != m.Sources[n.Name()]:
			return fmt.Errorf("it follows %s by now: %w", st.Link.Source, drills.ErrGone)
		case st.Link.Receiver:
			return nil
		}
		if err := n.Server.StartReceiver(ctx); err != nil {
			return err
		}
		if st, err = n.Server.State(ctx); err != nil {
			return err
		}
		if st.Link == nil || !st.Link.Receiver {
			return errors.New("its receiver does not run after it was started")
		}
		return nil
	})
}
