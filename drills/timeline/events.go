package timeline

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Event is one line of the record.
type Event struct {
	Seq  int64           `json:"seq"`
	T    Offset          `json:"t"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
	// Prev is the SHA-256 of the line before, in hexadecimal; "" on the first.
	Prev string `json:"prev"`
}

// EventType is the type of the event that carries a payload: the name of the
// payload's Go type in kebab case (PhaseBegan: "phase-began").
func EventType(payload any) string {
	var b strings.Builder
	for i, r := range reflect.TypeOf(payload).Name() {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// The phases of a run, in order.
const (
	PhasePreflight = "preflight"
	PhaseBaseline  = "baseline"
	PhaseFault     = "fault"
	PhaseHeal      = "heal"
	PhaseRemedy    = "remedy"
	PhaseStabilise = "stabilise"
	PhaseRevert    = "revert"
	PhaseRejoin    = "rejoin"
	PhaseAudit     = "audit"
	PhaseSteady    = "steady"
)

// What happens to members that come and go (MemberChanged).
const (
	MemberCreated   = "created"
	MemberScheduled = "scheduled" // it has a node
	MemberImage     = "image"     // its images are there
	MemberStarted   = "started"   // its containers run
	MemberReady     = "ready"
	MemberUnready   = "unready"
	MemberDeleting  = "deleting" // it was asked to end
	MemberGone      = "gone"
	MemberServing   = "serving"   // it is among the endpoints that get traffic
	MemberUnserving = "unserving" // it no longer is
	// MemberEcho is a change that the runner itself made, to learn how late it is
	// told: its Lag is from the call to the watch.
	MemberEcho = "echo"
	// MemberSilence is when the platform stops to tell, and Detail says why: what
	// happens from then on is told late. MemberHeard is when it tells again; its Lag is
	// how long it may not have told. Neither names a member.
	MemberSilence = "silence"
	MemberHeard   = "heard"
)

// How a fault's revert can end.
const (
	RevertClean  = "clean"
	RevertGone   = "gone" // the target is no more, and the fault with it
	RevertFailed = "failed"
)

type (
	// Started opens every record.
	Started struct {
		RunID     string    `json:"run_id"`
		Version   string    `json:"version"`
		StartedAt time.Time `json:"started_at"`
		Seed      uint64    `json:"seed"`
		Host      string    `json:"host"`
		Operator  string    `json:"operator,omitempty"`
		Plan      Plan      `json:"plan"`
		// PlanDigest is the SHA-256 of the plan's JSON.
		PlanDigest string `json:"plan_digest"`
	}
	// PhaseBegan marks the begin of a phase.
	PhaseBegan struct {
		Phase string `json:"phase"`
	}
	// RolesSeen records a component as discovered; Members is a topology.State.
	RolesSeen struct {
		Component string          `json:"component"`
		Members   []MemberSeen    `json:"members"`
		Took      Offset          `json:"took"`
		Extra     json.RawMessage `json:"extra,omitempty"`
	}
	// MemberSeen is one member as discovered.
	MemberSeen struct {
		Member  string            `json:"member"`
		Role    string            `json:"role"`
		Facts   map[string]string `json:"facts,omitempty"`
		Problem string            `json:"problem,omitempty"`
	}
	// MemberChanged records what happened to a member that comes and goes by itself, as
	// its platform told; the event's time is when the runner was told.
	MemberChanged struct {
		Component string `json:"component"`
		Member    string `json:"member"`
		What      string `json:"what"`
		Detail    string `json:"detail,omitempty"`
		// Stamp is the platform's own time of the change, by its clock.
		Stamp *time.Time `json:"stamp,omitempty"`
		// Lag is how late it was told, where that is known.
		Lag time.Duration `json:"lag_ns,omitempty"`
	}
	// PlatformAway says that the platform of a component did not answer the runner, and
	// PlatformBack that it does again.
	PlatformAway struct {
		Component string `json:"component"`
		Err       string `json:"error"`
	}
	// PlatformBack ends what PlatformAway began.
	PlatformBack struct {
		Component string `json:"component"`
	}
	// Journaled says that an intent is durable; the deed comes after it.
	Journaled struct {
		Intent string `json:"intent"`
		Kind   string `json:"kind"`
		For    string `json:"for"`
	}
	// Injecting marks the begin of a fault's inject call.
	Injecting struct {
		Fault   string   `json:"fault"`
		Kind    string   `json:"kind"`
		Targets []string `json:"targets"`
		Doing   string   `json:"doing,omitempty"`
	}
	// Injected marks the end of the inject call.
	Injected struct {
		Fault string `json:"fault"`
		Err   string `json:"error,omitempty"`
	}
	// Confirmed says that an independent witness saw the fault act.
	Confirmed struct {
		Fault string `json:"fault"`
		By    string `json:"by"`
		Err   string `json:"error,omitempty"`
	}
	// Held says whether a fault was still in force when its revert began, for faults
	// that can tell.
	Held struct {
		Fault string `json:"fault"`
		Err   string `json:"error,omitempty"`
	}
	// Reverting marks the begin of a revert.
	Reverting struct {
		Fault string `json:"fault"`
	}
	// Reverted marks its end, after the real state was read back.
	Reverted struct {
		Fault   string `json:"fault"`
		Outcome string `json:"outcome"`
		Err     string `json:"error,omitempty"`
		// Elsewhere tells that the watchdog or a later process did it.
		Elsewhere bool `json:"elsewhere,omitempty"`
	}
	// Detected says that the runner saw a judged series fail.
	Detected struct {
		Series string `json:"series"`
	}
	// RemedyBegan and RemedyEnded enclose a remediation.
	RemedyBegan struct {
		Remedy string `json:"remedy"`
		Kind   string `json:"kind"`
		Target string `json:"target"`
	}
	// RemedyStep is one step of it; the event's time is the step's end.
	RemedyStep struct {
		Remedy string `json:"remedy"`
		Step   string `json:"step"`
		Member string `json:"member,omitempty"`
		From   Offset `json:"from"`
		Detail string `json:"detail,omitempty"`
		Err    string `json:"error,omitempty"`
	}
	// RemedyEnded closes a remediation.
	RemedyEnded struct {
		Remedy  string `json:"remedy"`
		Outcome string `json:"outcome"` // done, failed
		Err     string `json:"error,omitempty"`
	}
	// Healed says that every judged series was stable again; By is "topology",
	// "runner" or "none".
	Healed struct {
		By string `json:"by"`
	}
	// Gap is a stretch in which the runner itself did not run: no data.
	Gap struct {
		From Offset `json:"from"`
		To   Offset `json:"to"`
		// Of is the Series.From of an agent that did not run; "" is the runner.
		Of string `json:"of,omitempty"`
	}
	// ClockRelated says how well the clock of an agent is known.
	ClockRelated struct {
		// From is the agent's Series.From.
		From string `json:"from"`
		// Ahead is by how much the runner's offsets are ahead of the agent's, give or
		// take Error.
		Ahead Offset        `json:"ahead"`
		Error time.Duration `json:"error_ns"`
		// Late is within how long of their end 99 % of the samples so far were here.
		Late time.Duration `json:"late_p99_ns,omitempty"`
		// Strayed is by how much the clocks contradicted what was known before: one of
		// them jumped, or was set right too fast.
		Strayed time.Duration `json:"strayed_ns,omitempty"`
	}
	// AgentLost says that an agent is gone: there is no data of its series from then on.
	AgentLost struct {
		From string `json:"from"`
		Why  string `json:"why"`
	}
	// StopRequested says why the drill was stopped early.
	StopRequested struct {
		Why string `json:"why"`
	}
	// ReadBack says that a member was read; the ids are in the ledger's files.
	ReadBack struct {
		Ledger string `json:"ledger"`
		Member string `json:"member"`
		// When is "recovered" or "rejoined".
		When string `json:"when"`
		// Primary tells whether the member was the primary then.
		Primary bool   `json:"primary"`
		Rows    uint64 `json:"rows"`
		// From is when the reading began; the event's time is its end.
		From Offset `json:"from"`
		Err  string `json:"error,omitempty"`
	}
	// Rejoined says how a component's members came back.
	Rejoined struct {
		Component string            `json:"component"`
		Members   []MemberSeen      `json:"members"`
		KeptOut   map[string]string `json:"kept_out,omitempty"`
		Errant    map[string]string `json:"errant,omitempty"`
		From      Offset            `json:"from"`
		Err       string            `json:"error,omitempty"`
	}
	// Caveat is something that a reader of the numbers must know.
	Caveat struct {
		Text string `json:"text"`
	}
	// CleanedUp is the last word on what was put back.
	CleanedUp struct {
		Verdict   string   `json:"verdict"` // clean, dirty
		Leftovers []string `json:"leftovers"`
	}
	// Ended closes a whole record; Files are the SHA-256 digests of its other files.
	Ended struct {
		FinishedAt time.Time         `json:"finished_at"`
		Files      map[string]string `json:"files"`
		// Interrupted tells that the runner died and a later process closed the record.
		Interrupted bool `json:"interrupted,omitempty"`
	}
)
