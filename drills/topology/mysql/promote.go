package mysql

import (
	"context"
	"fmt"
	"time"

	"firedrill/drills/topology/mysql/gtid"
)

// Fence makes a member refuse writes and cuts its clients. It is proven when it
// returns nil: read_only reads back, no session from before is left, and nothing
// more is executed. Accounts with READ ONLY ADMIN (MariaDB) are not bound by
// read_only: their sessions are cut, but they can come back.
func (k *Cluster) Fence(ctx context.Context, n *Node) (string, error) {
	if err := n.Server.SetReadOnly(ctx, true); err != nil {
		return "", err
	}
	cut, err := n.Server.KillSessions(ctx)
	if err != nil {
		return "", err
	}
	before, err := n.Server.State(ctx)
	if err != nil {
		return "", err
	}
	if err := pause(ctx, poll); err != nil {
		return "", err
	}
	after, err := n.Server.State(ctx)
	if err != nil {
		return "", err
	}
	if d := after.Executed.Subtract(before.Executed); !d.None() && !after.Link.Running() {
		return "", fmt.Errorf("%s: read_only is on and yet %s transactions were written: an account that read_only does not bind is writing", n.Name(), d)
	}
	return fmt.Sprintf("read_only reads back ON, %d sessions cut, position stands at %s", cut, last(after.Executed)), nil
}

// Freeze stops the receiver of a replica, so that what it has is final. The
// applier is made to run first: later MariaDB would throw the relay log away.
func (k *Cluster) Freeze(ctx context.Context, n *Node) (State, error) {
	st, err := n.Server.State(ctx)
	if err != nil {
		return st, err
	}
	if st.Link == nil {
		return st, nil
	}
	if !st.Link.Applier && (st.Link.Receiver || st.Flavour == MySQL) {
		if err := n.Server.StartApplier(ctx); err != nil {
			return st, err
		}
	}
	if st.Link.Receiver {
		if err := n.Server.StopReceiver(ctx); err != nil {
			return st, err
		}
	}
	return n.Server.State(ctx)
}

// Drain waits until a member has applied all that it received, which makes
// losing nothing cost time. Freeze it before.
func (k *Cluster) Drain(ctx context.Context, n *Node, within time.Duration) error {
	st, err := n.Server.State(ctx)
	if err != nil {
		return err
	}
	if d := st.Stranded(); !d.None() {
		return fmt.Errorf("%s: %s transactions lie in its relay log and replication is stopped: starting it would discard them", n.Name(), d)
	}
	if st.Applied() {
		return nil
	}
	if !st.Link.Applier {
		if err := n.Server.StartApplier(ctx); err != nil {
			return err
		}
	}
	return n.Server.WaitApplied(ctx, st.Known(), within)
}

// Promote makes a drained member take writes and reads that back. semiSync makes
// its commits wait for a replica. Whoever was primary is fenced before.
func (k *Cluster) Promote(ctx context.Context, n *Node, semiSync bool) error {
	if err := n.Server.Detach(ctx); err != nil {
		return err
	}
	if semiSync {
		if err := n.Server.SetSemiSync(ctx, "source", true); err != nil {
			return err
		}
	}
	return n.Server.SetReadOnly(ctx, false)
}

// KeepOut makes a member harmless: read-only and not replicating.
func (k *Cluster) KeepOut(ctx context.Context, n *Node) error {
	if err := n.Server.SetReadOnly(ctx, true); err != nil {
		return err
	}
	return n.Server.Detach(ctx)
}

// last is where a history stands, in short.
func last(h gtid.History) string {
	if p, ok := h.(gtid.Positions); ok {
		return p.Last().String()
	}
	return h.String()
}
