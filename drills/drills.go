// Package drills holds the vocabulary of the product, the small interfaces that
// its plug-ins implement, and Run: the drill itself.
package drills

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"firedrill/drills/ledger"
	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// Target is what a step acts on, resolved the moment before it is used.
type Target struct {
	Component *topology.Component
	// Members are the ones to act on; never empty.
	Members []*topology.Member
	// Others are the component's remaining members, or those that the scenario
	// names as the other side of a partition.
	Others []*topology.Member
	// State is the component as discovered just now.
	State topology.State
	// Around are all components of the topology: a fault on what others run on must
	// leave them what they need.
	Around []*topology.Component
	// Run is the run's id.
	Run string
	// Stay is how long the fault is to stay at the longest, with what the watchdog
	// gives a runner that hangs: whoever undoes a fault by itself waits longer.
	Stay time.Duration
}

// Undo is all that another process needs to revert a deed: it is journaled
// before the deed is done. It carries references to secrets, never values.
type Undo struct {
	// Says is one line for people: what reverting will do.
	Says string          `json:"says"`
	Data json.RawMessage `json:"data,omitempty"`
}

// ErrGone is returned by Revert when what was to be reverted no longer exists,
// and the fault with it; that is clean.
var ErrGone = errors.New("target is gone")

// ErrOwnWord is returned by Confirm along with the witness when nobody has seen the
// fault act but who made it: the verdict says so.
var ErrOwnWord = errors.New("nobody but who made the fault says that it acts")

// Injector is one kind of fault with its parameters. An Injector has no state of
// its own between calls: Revert may be called on another instance, made from the
// same parameters in another process.
type Injector interface {
	// Prepare checks that the fault can be injected into t and says how to undo
	// it. It has no side effect.
	Prepare(ctx context.Context, t Target) (Undo, error)
	// Inject makes the fault; u is journaled before. On an error the fault may be
	// there in part: Revert is called in any case.
	Inject(ctx context.Context, t Target, u Undo) error
	// Revert undoes it and returns nil only after reading the real state back.
	// It is idempotent and safe after an absent, partial or failed Inject.
	Revert(ctx context.Context, u Undo) error
}

// Confirmer is implemented by injectors that have an independent witness: it
// returns once the fault is seen to act by other means than the call that made
// it, and says in one line who saw what. It returns an error when ctx ends first.
type Confirmer interface {
	Confirm(ctx context.Context, t Target, u Undo) (witness string, err error)
}

// Holder is implemented by injectors that can tell, just before the revert,
// whether the fault was in force all the time: an error says why not.
type Holder interface {
	Held(ctx context.Context, u Undo) error
}

// Wire is implemented by injectors that saw the traffic they acted on: Exchanges
// yields every request since u was prepared, also after the revert.
type Wire interface {
	Exchanges(ctx context.Context, u Undo) iter.Seq2[timeline.Exchange, error]
}

// Narrower is implemented by injectors that may hit only a part of the requests to
// their members; the others have no reason to be answered by anybody else.
type Narrower interface {
	Narrow() bool
}

// Privileged is implemented by injectors, kinds of probes and remedies that act on a
// component's platform: what they must be allowed to do there. c may have no members
// yet.
type Privileged interface {
	Privileges(c *topology.Component) []topology.Privilege
}

// Client is the class of a probe's connections.
type Client string

// The client classes.
const (
	// Fresh opens a new connection for each sample.
	Fresh Client = "fresh"
	// Pooled keeps long-lived connections, the way applications do.
	Pooled Client = "pooled"
)

// Observation is what one look at the service came to. A failure is data.
type Observation = sampling.Observation

// Probe looks at a service, once per call. Calls overlap. Observe returns by the
// deadline of ctx; what did not answer by then is timeline.Timeout.
type Probe = sampling.Observer

// Subject is what a probe looks at.
type Subject struct {
	// Component is nil for a probe that has just an address.
	Component *topology.Component
	// Member is set when the probe looks at one member rather than at a route.
	Member *topology.Member
	// Address is host:port to connect to; may be empty for exec probes.
	Address string
	Client  Client
	Timeout time.Duration
	// Lanes is how many observations may be under way at once.
	Lanes int
	Clock timeline.Clock
	// Ledger is where a writing probe accounts for its writes, and where a reading
	// probe learns what must be visible. Nil for probes without one.
	Ledger *ledger.File
	// RunID makes names on the servers unique.
	RunID string
}

// ProbeKind is one kind of probe with its parameters.
type ProbeKind interface {
	// Open makes the probe. It may contact the service; it leaves no trace there.
	// A probe that is an io.Closer is closed at the end.
	Open(ctx context.Context, s Subject) (Probe, error)
}

// LedgerKind is a ProbeKind that writes to a ledger.
type LedgerKind interface {
	ProbeKind
	// Prepare makes the place that the writes go to, on the component's primary.
	// The engine journals Undo before.
	Prepare(ctx context.Context, c *topology.Component, runID string) error
	// PlanUndo says how that place is removed; it has no side effect.
	PlanUndo(c *topology.Component, runID string) (Undo, error)
	// Remove undoes Prepare. Idempotent.
	Remove(ctx context.Context, u Undo) error
	// ReadBack yields every id on one member, ordered by writer and sequence; an
	// id that is there twice is yielded twice.
	ReadBack(ctx context.Context, c *topology.Component, runID string, from *topology.Member) iter.Seq2[ledger.ID, error]
}

// Overview is implemented by kinds of probes that look at a component as a whole, with
// the eyes of its platform: they need no route to it.
type Overview interface {
	Overview()
}

// RequestKind is a ProbeKind that asks a model: its observations carry a Request.
type RequestKind interface {
	ProbeKind
	// Op is what it asks for: chat, embedding or rerank.
	Op() string
}

// Remedy is one kind of remediation with its parameters.
type Remedy interface {
	// Apply heals t. Each step is idempotent: after an interruption, Apply on the
	// same target carries on. It hands every step to log as it ends.
	Apply(ctx context.Context, t Target, log RemedyLog) error
}

// RemedyLog is how a remedy records what it does.
type RemedyLog interface {
	// Intend makes durable that the named step is about to be done, with its undo
	// if the component's Restore does not cover it. The deed comes after.
	Intend(step string, u *Undo) error
	// Step records a step that just ended; it took since the Intend or Step before.
	Step(s topology.Step)
}

// Reverter is implemented by remedies whose steps hand an Undo to Intend.
type Reverter interface {
	Revert(ctx context.Context, u Undo) error
}
