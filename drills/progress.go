package drills

import (
	"time"

	"firedrill/drills/timeline"
)

// Watcher sees a drill while it runs. Its methods are called from one goroutine
// and must return quickly; what they do never influences the drill.
type Watcher interface {
	// Event is called for every event that was recorded.
	Event(at timeline.Offset, wall time.Time, payload any)
	// Snapshot is called a few times a second.
	Snapshot(s Snapshot)
}

// Snapshot is the drill at a moment, for a person to look at.
type Snapshot struct {
	Scenario string
	Phase    string
	Elapsed  time.Duration
	// SinceFault is nil until the measured fault is being injected.
	SinceFault *time.Duration
	// Target is the smallest recovery time objective; 0 if there is none.
	Target         time.Duration
	Series         []SeriesLive
	Acked          uint64
	AckedPerSecond float64
	Faults         []FaultLive
	// Next says what is about to happen.
	Next string
}

// SeriesLive is one series at a moment.
type SeriesLive struct {
	Name string
	// State is "good", "bad" or "no-data"; it has been so for Since.
	State      string
	Since      time.Duration
	LastClass  string
	LastDetail string
	// By is who gave the last good answer, for probes that ask a model.
	By string
	// Spark is the last 60 seconds, oldest first: 0 no samples, 1 good, 2 partly
	// bad, 3 bad.
	Spark []uint8
}

// FaultLive is a fault in force.
type FaultLive struct {
	Name, Kind string
	Members    []string
	// TTL is how long until the watchdog undoes it.
	TTL time.Duration
}
