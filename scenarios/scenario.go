// Package scenarios reads scenario and topology files strictly and compiles a
// scenario against a topology into a plan.
package scenarios

//go:generate go run firedrill/cmd/generate -root ..

import (
	"encoding/json"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// File is a scenario file. Load fills in the defaults.
type File struct {
	// APIVersion is always "firedrill/v1".
	APIVersion string `json:"apiVersion" jsonschema:"enum=firedrill/v1"`
	// Kind is always "Scenario".
	Kind     string        `json:"kind" jsonschema:"enum=Scenario"`
	Metadata topology.Meta `json:"metadata"`
	Spec     Spec          `json:"spec"`

	// doc keeps the places of the values, for Compile to point at; nil if the File
	// was not read from a file.
	doc *document
}

// Spec says what is to go wrong, what must hold, and what to do about it.
type Spec struct {
	// Vars are the scenario's variables with their default values; "${name}" in any
	// other value stands for one, and takes its type if it is the whole value. Set on
	// the command line with --var name=value. "$${" stands for a plain "${".
	Vars map[string]string `json:"vars,omitempty"`
	// Frequency is how often the drill is due.
	Frequency string `json:"frequency,omitempty" jsonschema:"enum=daily,enum=weekly,enum=monthly,enum=quarterly,enum=semi-annually,enum=annually"`
	// Owner is who answers for it.
	Owner string `json:"owner,omitempty"`
	// Controls are references to the rules that ask for the drill ("ISO 22301 8.5").
	Controls []string `json:"controls,omitempty"`
	// Objectives are what must hold.
	Objectives Objectives `json:"objectives"`
	// Baseline is how long everything must hold before the first fault.
	Baseline spec.Duration `json:"baseline,omitempty"`
	// Stable is when a probe counts as recovered.
	Stable Stable `json:"stable,omitzero"`
	// Probes measure, all the time, what clients get.
	Probes []Probe `json:"probes" jsonschema:"minItems=1"`
	// Faults are what goes wrong.
	Faults []Fault `json:"faults" jsonschema:"minItems=1"`
	// HealAfter is how long the topology may heal itself before the runner acts.
	HealAfter spec.Duration `json:"healAfter,omitempty"`
	// Remediation is what the runner does, in order, when the topology has not
	// healed itself.
	Remediation []Remedy `json:"remediation,omitempty"`
	// StopConditions end the drill at once, with everything put back.
	StopConditions []StopCondition `json:"stopConditions,omitempty"`
	// Limits bound what the drill may touch.
	Limits Limits `json:"limits,omitzero"`
}

// Objectives are the targets; those of a component win over the general ones,
// and a topology's own are used where the scenario has none.
type Objectives struct {
	topology.Objectives
	// Components holds targets per component, by name or kind.
	Components map[string]topology.Objectives `json:"components,omitempty"`
}

// Stable is when a probe counts as recovered.
type Stable struct {
	// For is how long it must have been good without a break.
	For spec.Duration `json:"for,omitempty"`
	// Samples is how many consecutive good samples that must be at least.
	Samples int `json:"samples,omitempty" jsonschema:"minimum=1"`
	// Share is the share of the samples that are due which must be good, over the
	// whole stretch.
	Share float64 `json:"share,omitempty" jsonschema:"minimum=0,maximum=1"`
}

// Target names what to act on by component and role, never by address.
type Target struct {
	// Component is a component's name, or a kind if the topology has just one of it.
	Component string `json:"component"`
	// Role chooses members by what they are at that moment.
	Role string `json:"role,omitempty" jsonschema:"enum=primary,enum=replica,enum=any"`
	// Site chooses the members of one site.
	Site string `json:"site,omitempty"`
	// Member chooses one member by name.
	Member string `json:"member,omitempty"`
	// Node chooses the members that run on a node of Kubernetes.
	Node string `json:"node,omitempty"`
	// Labels chooses members that Kubernetes runs by their labels, as a selector
	// ("app=api,tier!=canary").
	Labels string `json:"labels,omitempty"`
	// Count is how many of those that fit; the seed decides which. 0: all of them.
	Count int `json:"count,omitempty" jsonschema:"minimum=0"`
	// Percent is the same as a share of those that fit, rounded up to whole members.
	Percent int `json:"percent,omitempty" jsonschema:"minimum=0,maximum=100"`
}

// Probe is one continuous measurement.
type Probe struct {
	// Name is the probe's name in records and reports, and that of its ledger.
	Name string `json:"name"`
	// Kind says how it looks.
	Kind string `json:"kind"`
	// Target is the component that is looked at. Without role, site or member the
	// probe goes through the component's route, as clients do.
	Target *Target `json:"target,omitempty"`
	// Route names the route to go through where the component has several.
	Route string `json:"route,omitempty"`
	// Address is host:port, for what no component covers.
	Address string `json:"address,omitempty"`
	// From is where the probe looks from, if not from where the runner is: a probe
	// agent is started there.
	From *From `json:"from,omitempty"`
	// Every is the time from one sample to the next.
	Every spec.Duration `json:"every,omitempty"`
	// Timeout is when a sample without an answer counts as failed.
	Timeout spec.Duration `json:"timeout,omitempty"`
	// Clients are the classes of connections, each measured by itself: fresh,
	// pooled (default: both where the kind has both).
	Clients []string `json:"clients,omitempty" jsonschema:"enum=fresh,enum=pooled"`
	// Mode says when it samples: all the time (Continuous), before the first fault (SOT),
	// once everything is put back (EOT), both of these (Edge), or from the fault until
	// all is stable (OnChaos).
	Mode string `json:"mode,omitempty" jsonschema:"enum=SOT,enum=EOT,enum=Edge,enum=Continuous,enum=OnChaos"`
	// Inform marks a probe that is recorded and drawn, but decides nothing.
	Inform bool `json:"inform,omitempty"`
	// Ledger names the writing probe whose acknowledged writes a reading probe
	// must see.
	Ledger string `json:"ledger,omitempty"`
	// With are the parameters of the kind.
	With json.RawMessage `json:"with,omitempty"`
}

// From is a place in a cluster where a probe agent is started.
type From struct {
	// Component is the one of kind kubernetes in whose cluster the agent is started;
	// the topology file gives it with.agent. Default: the probe's target.
	Component string `json:"component,omitempty"`
	// Zone is the zone that the agent is in (topology.kubernetes.io/zone).
	Zone string `json:"zone,omitempty"`
	// Node is the node that the agent is on.
	Node string `json:"node,omitempty"`
}

// Fault is one thing that goes wrong.
type Fault struct {
	// Name is the fault's name in records and reports.
	Name string `json:"name"`
	// Kind says what goes wrong.
	Kind string `json:"kind"`
	// Target is what it happens to.
	Target Target `json:"target"`
	// Peer is the other side, for faults between two (network-partition).
	Peer *Target `json:"peer,omitempty"`
	// At is when, counted from the end of the baseline.
	At spec.Duration `json:"at,omitempty"`
	// For is how long; without it the fault stays until the drill reverts it.
	For spec.Duration `json:"for,omitempty"`
	// Prelude marks a fault that only sets the scene: recovery is not counted from it.
	Prelude bool `json:"prelude,omitempty"`
	// With are the parameters of the kind.
	With json.RawMessage `json:"with,omitempty"`
}

// Remedy is one remediation.
type Remedy struct {
	// Name is the remediation's name in records and reports.
	Name string `json:"name"`
	// Kind says what is done.
	Kind string `json:"kind"`
	// Target is the component that is healed.
	Target Target `json:"target"`
	// With are the parameters of the kind.
	With json.RawMessage `json:"with,omitempty"`
}

// StopCondition ends the drill at once when it holds.
type StopCondition struct {
	// Probe is the probe that is watched.
	Probe string `json:"probe"`
	// Outage is for how long the probe may be bad without a break.
	Outage spec.Duration `json:"outage"`
}

// Limits bound what a drill may touch.
type Limits struct {
	// Members is how many members may be faulted at once.
	Members int `json:"members,omitempty" jsonschema:"minimum=1"`
	// Sites is how many sites may be touched.
	Sites int `json:"sites,omitempty" jsonschema:"minimum=1"`
	// Percent is the largest share of a component's members that may be faulted at
	// once. 0: any.
	Percent int `json:"percent,omitempty" jsonschema:"minimum=0,maximum=100"`
	// Duration is the longest time from the first fault to the revert.
	Duration spec.Duration `json:"duration,omitempty"`
}
