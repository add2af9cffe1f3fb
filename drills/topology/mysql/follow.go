package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"firedrill/drills/topology/mysql/gtid"
)

// PointAt makes the server replicate from source (host:port) from its own
// position on, and starts it. Compare the histories first: MySQL follows a
// source that lacks some of its transactions without a word. What lies in the
// relay log and is not applied yet is fetched again from source.
func (s *Server) PointAt(ctx context.Context, source string) error {
	st, err := s.State(ctx)
	if err != nil {
		return err
	}
	if st.Link.Running() {
		if err := s.StopReplica(ctx); err != nil {
			return err
		}
		if st, err = s.State(ctx); err != nil {
			return err
		}
	}
	return s.point(ctx, source, st)
}

// point is PointAt for a server that does not replicate, in state st.
func (s *Server) point(ctx context.Context, source string, st State) error {
	host, p, err := net.SplitHostPort(source)
	if err != nil {
		return fmt.Errorf("source %q: want host:port: %w", source, err)
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		return fmt.Errorf("source %q: want a numeric port: %w", source, err)
	}
	d, err := s.dialect(ctx)
	if err != nil {
		return err
	}
	password, err := s.cfg.Replication.Password.Resolve()
	if err != nil {
		return fmt.Errorf("with.replication.password: %w", err)
	}
	if st.Link == nil && s.cfg.Replication.User == "" {
		return fmt.Errorf("%s: it has no replication account: set with.replication.user and password", s.address)
	}
	if err := s.aim(ctx, st); err != nil {
		return err
	}
	encrypted := s.cfg.TLS == "skip-verify" || s.cfg.TLS == "verify"
	query, args := d.follow(host, port, s.cfg.Replication.User, password, st.Link == nil, encrypted)
	if err := s.run(ctx, d.change+" "+source, query, args...); err != nil {
		return err
	}
	return s.StartReplica(ctx)
}

// aim makes a MariaDB server ask for what comes after its own last transaction:
// gtid_slave_pos does not count what a former primary wrote itself. The same is
// MASTER_DEMOTE_TO_SLAVE from 10.10 on.
func (s *Server) aim(ctx context.Context, st State) error {
	own, ok := st.Executed.(gtid.Positions)
	if !ok {
		return nil
	}
	at := own.Last().String()
	if pos, err := gtid.ParsePositions(st.SlavePos); err == nil && pos.String() == at {
		return nil
	}
	return s.run(ctx, "", "SET GLOBAL gtid_slave_pos=?", at)
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
	return member, of, compare(ctx, n, primary, member, of)
}

// compare is Compare of two states.
func compare(ctx context.Context, n, primary *Node, member, of State) error {
	if member.Flavour != of.Flavour {
		return fmt.Errorf("%s is %s and %s is %s: their transaction ids cannot be compared", n.Name(), member.Flavour, primary.Name(), of.Flavour)
	}
	d := member.Executed.Subtract(of.Executed)
	if d.None() && d.Unsure != "" && primary.Server.knowsAll(ctx) {
		d = gtid.Difference{Text: "the last of them " + d.Unsure, Count: 1, Unsure: d.Unsure}
	}
	if !d.None() {
		return &Errant{Member: n.Name(), Missing: d}
	}
	if of.Purged != nil {
		if d := of.Purged.Subtract(member.Executed); !d.None() {
			return fmt.Errorf("%s lacks %s: %w", n.Name(), d, ErrPurged)
		}
	}
	return nil
}

// Follow makes a member replicate from primary, read-only, and says in one line
// what it did; "" if it was right already. wasPrimary gives it the replica's part
// of semi-synchronous replication, where primary has the other one.
func (k *Cluster) Follow(ctx context.Context, n, primary *Node, wasPrimary bool) (string, error) {
	st, of, err := k.Compare(ctx, n, primary)
	if err != nil {
		return "", err
	}
	return k.follow(ctx, n, primary, st, of, wasPrimary)
}

// FollowFrozen is Follow where both hold still, frozen and applied, in the states
// st and of: it asks neither of them again. A primary that is being opened would
// keep whoever asks it waiting.
func (k *Cluster) FollowFrozen(ctx context.Context, n, primary *Node, st, of State) (string, error) {
	if err := compare(ctx, n, primary, st, of); err != nil {
		return "", err
	}
	return k.follow(ctx, n, primary, st, of, false)
}

// follow is Follow of a member in state st that can follow primary in state of.
func (k *Cluster) follow(ctx context.Context, n, primary *Node, st, of State, wasPrimary bool) (string, error) {
	if !st.ReadOnly {
		if err := n.Server.SetReadOnly(ctx, true); err != nil {
			return "", err
		}
	}
	right := st.Link != nil && st.Link.Source == primary.Replication && st.Link.AutoPosition
	if right && st.Link.Receiver && st.Link.Applier && st.ReadOnly && !st.Link.Refused() {
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
		if !st.Still() {
			var err error
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
