package mysql

import (
	"context"
	"errors"
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
	if st.Known().Subtract(st.Executed).None() {
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
	st, err := n.Server.State(ctx)
	if err != nil {
		return err
	}
	if semiSync && !st.SemiSync.Source {
		if err := n.Server.SetSemiSync(ctx, "source", true); err != nil {
			return err
		}
	}
	if !st.ReadOnly {
		return nil
	}
	return n.Server.SetReadOnly(ctx, false)
}

// Errant is why a member cannot follow a primary: it has what the primary lacks.
type Errant struct {
	Member  string
	Missing gtid.Difference
}

func (e *Errant) Error() string {
	return fmt.Sprintf("%s has %s transactions that the primary lacks: it must be rebuilt from the primary", e.Member, e.Missing)
}

// ErrPurged marks a member that needs transactions that the primary no longer
// has in its binary logs.
var ErrPurged = errors.New("the primary has purged transactions that it needs")

// Compare tells whether a member can follow primary without either losing
// anything: nil, *Errant or ErrPurged. The member is asked first, so that what a
// busy primary writes meanwhile does not count.
func (k *Cluster) Compare(ctx context.Context, n, primary *Node) (member, of State, err error) {
	if member, err = n.Server.State(ctx); err != nil {
		return member, of, err
	}
	if of, err = primary.Server.State(ctx); err != nil {
		return member, of, err
	}
	if member.Flavour != of.Flavour {
		return member, of, fmt.Errorf("%s is %s and %s is %s: their transaction ids cannot be compared", n.Name(), member.Flavour, primary.Name(), of.Flavour)
	}
	if d := member.Executed.Subtract(of.Executed); !d.None() {
		return member, of, &Errant{Member: n.Name(), Missing: d}
	}
	if of.Purged != nil {
		if d := of.Purged.Subtract(member.Executed); !d.None() {
			return member, of, fmt.Errorf("%s lacks %s: %w", n.Name(), d, ErrPurged)
		}
	}
	return member, of, nil
}

// Follow makes a member replicate from primary, read-only, and says in one line
// what it did; "" if it was right already. wasPrimary gives it the replica's part
// of semi-synchronous replication, where primary has the other one.
func (k *Cluster) Follow(ctx context.Context, n, primary *Node, wasPrimary bool) (string, error) {
	st, of, err := k.Compare(ctx, n, primary)
	if err != nil {
		return "", err
	}
	if !st.ReadOnly || st.Flavour == MySQL && !st.SuperReadOnly && of.SuperReadOnly {
		if err := n.Server.SetReadOnly(ctx, true); err != nil {
			return "", err
		}
	}
	right := st.Link != nil && st.Link.Source == primary.Replication && st.Link.AutoPosition
	if right && st.Link.Receiver && st.Link.Applier && st.ReadOnly {
		return "", nil
	}
	if wasPrimary && of.SemiSync.Source {
		if err := n.Server.takeReplicaSide(ctx, st); err != nil {
			return "", err
		}
	}
	did := "follows " + primary.Name()
	if d := st.Known().Subtract(of.Executed); !d.None() {
		did += fmt.Sprintf("; gives up %s received and not applied, which %s lacks", d, primary.Name())
	}
	if st.Link.Running() {
		if err := n.Server.StopReplica(ctx); err != nil {
			return "", err
		}
		// What it applied since it was compared counts as well.
		if st.Link.Receiver || !st.Known().Subtract(st.Executed).None() {
			if st, _, err = k.Compare(ctx, n, primary); err != nil {
				return "", err
			}
		}
	}
	return did, n.Server.point(ctx, primary.Replication, st)
}

// takeReplicaSide turns a former primary's part of semi-synchronous replication
// round: its commits no longer wait, and it confirms.
func (s *Server) takeReplicaSide(ctx context.Context, st State) error {
	if st.SemiSync.Source {
		if err := s.SetSemiSync(ctx, "source", false); err != nil {
			return err
		}
	}
	if st.SemiSync.Replica {
		return nil
	}
	return s.SetSemiSync(ctx, "replica", true)
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
