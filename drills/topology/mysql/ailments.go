package mysql

import (
	"context"
	"fmt"
	"strings"

	"firedrill/drills/topology"
)

// ailments are what is wrong with a member, and what to do about it.
type ailments []string

func (all *ailments) add(wrong bool, format string, args ...any) {
	if wrong {
		*all = append(*all, oneLine(fmt.Sprintf(format, args...)))
	}
}

// ailments says in one line what is wrong with a member that answers; "" if
// nothing is.
func (a *adapter) ailments(ctx context.Context, k *Cluster, p Picture, s Seen, role topology.Role) string {
	var all ailments
	writable := len(k.Writable(p))
	all.add(writable == 0 && role == topology.Detached && k.followed(p, s),
		"it is read-only although others follow it, and no member takes writes: SET GLOBAL read_only=OFF there if it is the primary")
	all.add(writable > 1 && role == topology.Primary,
		"more than one member takes writes: SET GLOBAL read_only=ON on all but the primary")
	if s.State.Link != nil && role != topology.Primary {
		all.link(ctx, s, role)
	}
	if d := s.State.Stranded(); !d.None() {
		all.add(true, "%s received transactions are not applied, and starting replication discards them", d)
	}
	all.add(!s.State.GTID, "it does not log under global transaction ids (MySQL gtid_mode, MariaDB log_bin)")
	all.accounts(ctx, a, s)
	return strings.Join(all, "; ")
}

// link looks at a replication that is configured.
func (all *ailments) link(ctx context.Context, s Seen, role topology.Role) {
	l, start := s.State.Link, "START REPLICA"
	if d, err := s.Server.dialect(ctx); err == nil {
		start = "START " + d.replica
	}
	all.add(l.Running() && !l.Receiver, "the receiver is stopped%s", because(l.ReceiverError, start+" IO_THREAD"))
	all.add(l.Receiver && !l.Connected, "the receiver has no connection to %s%s", l.Source, because(l.ReceiverError, ""))
	all.add(l.Running() && !l.Applier, "the applier is stopped%s", because(l.ApplierError, start+" SQL_THREAD"))
	all.add(!l.Running(), "replication from %s is stopped%s", l.Source, because(l.ReceiverError+l.ApplierError, start))
	all.add(!l.AutoPosition, "it replicates by file and position: only GTID positions can be compared")
	all.add(l.Channels > 1, "it replicates from %d sources: firedrill looks at the first only", l.Channels)
	all.add(role == topology.Replica && !s.State.ReadOnly, "it replicates and takes writes: SET GLOBAL read_only=ON there")
}

// accounts looks whether the accounts could be used: a member that cannot be made
// to follow is better found now than after the failover.
func (all *ailments) accounts(ctx context.Context, a *adapter, s Seen) {
	_, err := a.cfg.Application.Password.Resolve()
	all.add(err != nil, "with.application.password: %v", err)
	if a.c.Spec.Failover != "runner" {
		return
	}
	_, err = a.cfg.Replication.Password.Resolve()
	all.add(err != nil, "with.replication.password: %v", err)
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	missing, err := s.Server.MissingGrants(ctx, s.State.SemiSync.Source || s.State.SemiSync.Replica)
	all.add(err != nil, "%v", err)
	all.add(len(missing) > 0, "%s", grantProblem(a.cfg.User, missing))
}

// followed tells whether another member is configured to follow s.
func (k *Cluster) followed(p Picture, s Seen) bool {
	for _, o := range p {
		if o.Node != s.Node && k.Source(p, o) == s.Node {
			return true
		}
	}
	return false
}

// because says why something does not run; if nobody knows, what starts it.
func because(why, start string) string {
	switch {
	case why != "":
		return ": " + oneLine(why)
	case start != "":
		return ": " + start
	}
	return ""
}
