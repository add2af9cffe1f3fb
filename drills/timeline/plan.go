package timeline

import (
	"encoding/json"
	"time"
)

// Plan is what a scenario compiled against a topology comes to. It is recorded
// first, and with the events it is all that the verdict needs.
type Plan struct {
	Scenario    string   `json:"scenario"`
	Topology    string   `json:"topology"`
	Description string   `json:"description,omitempty"`
	Frequency   string   `json:"frequency,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Controls    []string `json:"controls,omitempty"`
	// Sources are the two files as they were read, as JSON; secrets are references.
	ScenarioSource json.RawMessage `json:"scenario_source"`
	TopologySource json.RawMessage `json:"topology_source"`

	Objectives []Objective     `json:"objectives"`
	Series     []Series        `json:"series"`
	Faults     []PlannedFault  `json:"faults"`
	Remedies   []PlannedRemedy `json:"remedies,omitempty"`
	Stable     Stable          `json:"stable"`
	// Prices are what members ask for, where the topology says so.
	Prices []Price `json:"prices,omitempty"`
	// Baseline is how long the A/A stretch lasts before the first fault.
	Baseline time.Duration `json:"baseline_ns"`
	// HealAfter is how long the topology may heal itself before the runner acts.
	HealAfter time.Duration `json:"heal_after_ns"`
	// Longest is the longest time from the first fault until the drill gives up.
	Longest time.Duration `json:"longest_ns"`
}

// Objective is one target.
type Objective struct {
	// Name is rto, rpo, or one of the objectives of requests: availability,
	// fallback, first-token-p95, truncated, wrong-embeddings, answered-twice,
	// fail-back.
	Name      string        `json:"name"`
	Component string        `json:"component"`
	Target    time.Duration `json:"target_ns"`
	// Limit is the target of an objective that is no duration: a share or a count.
	Limit *float64 `json:"limit,omitempty"`
}

// Price is what a member of a component asks for a million tokens, in any
// currency.
type Price struct {
	Component string  `json:"component"`
	Member    string  `json:"member"`
	In        float64 `json:"in"`
	Out       float64 `json:"out"`
}

// Series is one probe seen by one class of client. Sample.Series is its index
// in Plan.Series.
type Series struct {
	Probe     string `json:"probe"`
	Kind      string `json:"kind"`
	Component string `json:"component,omitempty"`
	// Client is "fresh" (a new connection for each sample) or "pooled".
	Client string `json:"client"`
	// Address is where it connects to; Via is the route's or member's name.
	Address string `json:"address,omitempty"`
	Via     string `json:"via,omitempty"`
	// From is where an agent looks from; "" is where the runner is.
	From        string        `json:"from,omitempty"`
	Every       time.Duration `json:"every_ns"`
	Timeout     time.Duration `json:"timeout_ns"`
	Concurrency int           `json:"concurrency"`
	// Mode is one of SOT, EOT, Edge, Continuous, OnChaos.
	Mode string `json:"mode"`
	// Judged tells whether this series decides: recovery (Continuous, OnChaos), whether
	// the baseline holds (Continuous, SOT, Edge), whether all is well once everything
	// is put back (Continuous, EOT, Edge). Others only inform.
	Judged bool `json:"judged"`
	// Ledger is the name of the ledger that the series writes to or reads, if any.
	Ledger string `json:"ledger,omitempty"`
	// Writes tells whether it writes to the ledger.
	Writes bool `json:"writes,omitempty"`
	// Op is what a probe that asks a model asks for (chat, embedding, rerank); ""
	// for other probes.
	Op string `json:"op,omitempty"`
}

// Name is "probe/client".
func (s Series) Name() string { return s.Probe + "/" + s.Client }

// PlannedFault is a fault as planned; its members are resolved when it is due.
type PlannedFault struct {
	Name      string        `json:"name"`
	Kind      string        `json:"kind"`
	Component string        `json:"component,omitempty"`
	Target    string        `json:"target"`
	At        time.Duration `json:"at_ns"`
	// For is how long it stays; 0 = until the drill reverts it.
	For time.Duration `json:"for_ns,omitempty"`
	// Measured tells whether recovery time counts from this fault.
	Measured bool `json:"measured"`
	// Narrow tells that it hits only a part of the requests to its members.
	Narrow bool `json:"narrow,omitempty"`
}

// PlannedRemedy is a remediation as planned.
type PlannedRemedy struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Target string `json:"target"`
}

// Stable is when a series counts as recovered: Samples consecutive good ones
// over at least For, with at least Share of the samples that were due.
type Stable struct {
	For     time.Duration `json:"for_ns"`
	Samples int           `json:"samples"`
	Share   float64       `json:"share"`
}

// StableOf is when a series counts as good for long enough. One that looks at the
// ends only is a check, often a slow one: it need not have many samples.
func (p Plan) StableOf(s Series) Stable {
	if s.Mode == "Continuous" || s.Mode == "OnChaos" {
		return p.Stable
	}
	return Stable{For: p.Stable.For, Samples: 1}
}
