package drills

import (
	"encoding/json"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// Drill is a scenario compiled against a topology: plain data for the record and
// the plug-ins to carry it out.
type Drill struct {
	// Plan is what is recorded; Series, Faults and Remedies match its fields of
	// the same names by index.
	Plan     timeline.Plan
	Topology *topology.Topology
	Series   []SeriesStep
	Faults   []FaultStep
	Remedies []RemedyStep
	Stops    []StopCondition
	Limits   Limits
}

// SeriesStep is one probe seen by one class of client.
type SeriesStep struct {
	Kind ProbeKind
	// With rebuilds the kind in another process.
	With json.RawMessage
	// Component may be nil.
	Component *topology.Component
	// Select chooses the member to look at; nil when it goes through Address.
	Select *Selector
	// From is where an agent looks from; nil where the runner itself does.
	From *Vantage
}

// Selector chooses members of a component by what they are at a moment.
type Selector struct {
	Component *topology.Component
	// Role, Site, Member, Node and Labels narrow the choice; empty means any.
	Role   topology.Role
	Site   string
	Member string
	// Node is where the member runs.
	Node string
	// Labels are a label selector in the form of Kubernetes.
	Labels labels.Selector
	// Count is how many of those that fit, chosen by the seed; 0 = all. Percent is
	// the same as a share of those that fit, rounded up.
	Count, Percent int
}

// FaultStep is one fault to inject.
type FaultStep struct {
	Injector Injector
	// Kind and With rebuild the injector in another process.
	Kind   string
	With   json.RawMessage
	Target Selector
	// Peer is the other side of a fault between two; nil if there is none.
	Peer *Selector
}

// RemedyStep is one remediation.
type RemedyStep struct {
	Remedy Remedy
	Kind   string
	With   json.RawMessage
	Target Selector
}

// StopCondition ends the drill when a probe is bad for Outage without a break.
type StopCondition struct {
	Probe  string
	Outage time.Duration
}

// Limits bound what a drill may touch at once.
type Limits struct {
	Members int
	Sites   int
	// Percent is the largest share of a component's members; 0 = any.
	Percent int
}
