package mysql

import (
	"strings"
	"time"

	"firedrill/drills/topology/mysql/gtid"
)

// State is one server at a moment, as it says itself.
type State struct {
	Flavour, Version string
	ServerID         uint32
	// UUID is MySQL's; MariaDB has none.
	UUID   string
	Uptime time.Duration
	// ReadOnly and SuperReadOnly are the global variables; MariaDB has only one.
	ReadOnly, SuperReadOnly bool
	// GTID tells whether the server logs transactions under global ids at all.
	GTID bool
	// Executed is what the server has done itself or applied.
	Executed gtid.History
	// Purged is what it no longer has in its binary logs (MySQL only).
	Purged gtid.History
	// SlavePos is MariaDB's gtid_slave_pos: where a replica asks its source to start.
	SlavePos string
	// Link is its configured source, nil if it has none.
	Link     *Link
	SemiSync SemiSync
}

// Link is a configured replication, running or not.
type Link struct {
	// Source is host:port as the replica reaches it; SourceID and SourceUUID are
	// what it found there, if it did.
	Source     string
	SourceID   uint32
	SourceUUID string
	User       string
	// Receiver (IO thread) tells whether the thread is there, Connected whether it
	// has a connection; Applier is the SQL thread.
	Receiver, Connected, Applier bool
	ReceiverError, ApplierError  string
	// AutoPosition tells whether it replicates by global transaction ids.
	AutoPosition bool
	// Received is what the receiver has written to the relay log, applied or not.
	Received gtid.History
	// Lag is how far the applier is behind, as the server estimates it; nil when
	// it does not know. Delay is a configured one.
	Lag   *time.Duration
	Delay time.Duration
	// Channels is how many sources are configured; only the first is looked at.
	Channels int
}

// SemiSync is the state of semi-synchronous replication.
type SemiSync struct {
	// Source and Replica tell which side is enabled; both false where it is not
	// installed.
	Source, Replica bool
	// Active tells whether commits wait for a replica right now.
	Active bool
	// Clients is how many replicas confirm.
	Clients int
}

// Refused tells whether the source refuses the receiver's login: it goes on trying
// with the password that it was given once, whatever the right one is by now.
func (l *Link) Refused() bool {
	return l != nil && !l.Connected && strings.Contains(l.ReceiverError, "Access denied")
}

// Running tells whether a thread of the replication runs.
func (l *Link) Running() bool { return l != nil && (l.Receiver || l.Applier) }

// Whole tells whether replication runs and is connected.
func (l *Link) Whole() bool { return l != nil && l.Connected && l.Applier }

// Known is what the server has applied or can still apply from its relay log.
// MariaDB throws the relay log away when replication starts from a standstill
// (measured on 10.11: START SLAVE SQL_THREAD with both threads stopped); what it
// would throw away is not known.
func (s State) Known() gtid.History {
	if s.Link == nil || s.Link.Received == nil || s.Flavour == MariaDB && !s.Link.Running() {
		return s.Executed
	}
	return s.Executed.Union(s.Link.Received)
}

// Applied tells whether nothing that the server can apply is left to apply.
func (s State) Applied() bool { return s.Known().Subtract(s.Executed).None() }

// Still tells whether the server executes nothing more, unless somebody tells it
// to: it takes no writes, receives nothing and has applied what it received.
func (s State) Still() bool {
	return s.ReadOnly && (s.Link == nil || !s.Link.Receiver) && s.Applied()
}

// Stranded is what lies in a MariaDB relay log and is thrown away by a start.
func (s State) Stranded() gtid.Difference {
	if s.Flavour != MariaDB || s.Link == nil || s.Link.Running() {
		return gtid.Difference{}
	}
	return s.Link.Received.Subtract(s.Executed)
}
