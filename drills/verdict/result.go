// Package verdict turns a run record into a result. It is pure: no I/O beyond
// the record it is handed, no clock, no plug-in; the same record always gives
// the same bytes.
package verdict

import (
	"time"
)

// Schema identifies the format of result.json.
const Schema = "firedrill/result/v1"

// The verdicts. The zero value is Inconclusive's meaning: nothing proven.
const (
	Met          = "met"
	Missed       = "missed"
	Inconclusive = "inconclusive"
	Aborted      = "aborted"
	Dirty        = "dirty"
)

// Exit codes, as documented for users.
const (
	ExitMet          = 0
	ExitMissed       = 1
	ExitUsage        = 2
	ExitAborted      = 3
	ExitInconclusive = 4
	ExitDirty        = 5
)

// Result is what a drill came to. Durations are in seconds, instants in RFC 3339
// with nanoseconds.
type Result struct {
	Schema     string    `json:"schema"`
	RunID      string    `json:"run_id"`
	Scenario   string    `json:"scenario"`
	Topology   string    `json:"topology"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at"`
	Seed       uint64    `json:"seed"`
	// Verdict is met, missed, inconclusive, aborted or dirty.
	Verdict  string `json:"verdict"`
	ExitCode int    `json:"exit_code"`
	// Sentence is one sentence that a manager can quote.
	Sentence string `json:"sentence"`
	// Reasons say why the verdict is what it is.
	Reasons    []string          `json:"reasons"`
	Objectives []ObjectiveResult `json:"objectives"`
	Recovery   Recovery          `json:"recovery"`
	Faults     []FaultResult     `json:"faults"`
	Remedies   []RemedyResult    `json:"remedies"`
	Probes     []ProbeResult     `json:"probes"`
	Ledgers    []LedgerResult    `json:"ledgers"`
	Requests   []RequestsResult  `json:"requests,omitempty"`
	Rejoin     []RejoinResult    `json:"rejoin"`
	// Losses are the members of components that come and go (pods) that were lost
	// from the first fault until the drill began to revert.
	Losses []LossResult `json:"losses,omitempty"`
	// WatchLag is how late the platform told of changes at most, as measured all
	// through the run; nil if nothing was measured.
	WatchLag *float64       `json:"watch_lag_s,omitempty"`
	Baseline BaselineResult `json:"baseline"`
	Cleanup  Cleanup        `json:"cleanup"`
	Caveats  []string       `json:"caveats"`
	Runner   RunnerResult   `json:"runner"`
	Evidence EvidenceResult `json:"evidence"`

	Description string   `json:"description,omitempty"`
	Frequency   string   `json:"frequency,omitempty"`
	Owner       string   `json:"owner,omitempty"`
	Operator    string   `json:"operator,omitempty"`
	Controls    []string `json:"controls,omitempty"`

	// Valid tells that nothing but the objectives decides: the record is whole, the
	// baseline held, the faults are proven and enough was measured.
	Valid bool `json:"-"`

	// Picture is what the timeline is drawn from; it is derived from the same
	// record, downsampled for drawing, never for judging.
	Picture Picture `json:"-"`
}

// Seconds is an interval of seconds that contains the true value. Hi is nil when
// there is no upper bound: it had not happened when the drill stopped looking.
type Seconds struct {
	Lo float64  `json:"lo_s"`
	Hi *float64 `json:"hi_s"`
}

// Instants is an interval of wall-clock instants that contains the true one.
type Instants struct {
	Lo time.Time  `json:"lo"`
	Hi *time.Time `json:"hi"`
}

// ObjectiveResult compares one target with what was measured.
type ObjectiveResult struct {
	// Name is rto, rpo, rejoin, steady-state, or one of the objectives of requests:
	// availability, fallback, first-token-p95, truncated, wrong-embeddings,
	// answered-twice, fail-back.
	Name      string   `json:"name"`
	Component string   `json:"component"`
	Target    float64  `json:"target_s"`
	Actual    *Seconds `json:"actual"`
	// Limit and Measured are target and actual of an objective that is no duration:
	// a share (at least) or a count (at most).
	Limit    *float64 `json:"limit,omitempty"`
	Measured *float64 `json:"measured,omitempty"`
	// Verdict is met, missed or inconclusive.
	Verdict string `json:"verdict"`
	// Lost is the number of acknowledged writes lost (rpo).
	Lost *uint64 `json:"lost,omitempty"`
	// Series is the probe and client class that decided: the slowest (rto), the first
	// that did not hold (steady-state).
	Series string `json:"series,omitempty"`
	// Fault is the fault that the recovery is counted from (rto).
	Fault string `json:"fault,omitempty"`
	// Why says in one sentence how the verdict came about.
	Why string `json:"why"`
}

// Recovery says who healed it and where the time went.
type Recovery struct {
	// By is topology (native), runner (assisted) or none.
	By string `json:"by"`
	// Phases are in order, in seconds since the fault that recovery counts from
	// was effective (upper bound of effective); they may be negative before it.
	Phases []Phase `json:"phases"`
}

// Phase is a stretch of the recovery.
type Phase struct {
	Name string  `json:"name"`
	From float64 `json:"from_s"`
	To   float64 `json:"to_s"`
}

// FaultResult is one fault as it happened.
type FaultResult struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`
	Component   string     `json:"component"`
	Targets     []string   `json:"targets"`
	Doing       string     `json:"doing"`
	Effective   *Instants  `json:"effective"`
	ConfirmedBy string     `json:"confirmed_by"`
	RevertedAt  *time.Time `json:"reverted_at"`
	// Revert is clean, failed, gone, or "" if there was nothing to revert.
	Revert string `json:"revert"`
	Error  string `json:"error,omitempty"`
}

// RemedyResult is one remediation as it happened.
type RemedyResult struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind"`
	Target    string       `json:"target"`
	StartedAt time.Time    `json:"started_at"`
	Took      float64      `json:"took_s"`
	Outcome   string       `json:"outcome"`
	Error     string       `json:"error,omitempty"`
	Steps     []StepResult `json:"steps"`
}

// StepResult is one step of a remediation; From is in seconds since the remedy
// began.
type StepResult struct {
	Name   string  `json:"name"`
	Member string  `json:"member,omitempty"`
	From   float64 `json:"from_s"`
	Took   float64 `json:"took_s"`
	Detail string  `json:"detail,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// ProbeResult is one series: a probe seen by one class of client.
type ProbeResult struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Component string `json:"component"`
	Client    string `json:"client"`
	Via       string `json:"via"`
	// From is where an agent looked from; "" is where the runner is. Its clock was
	// known to ± ClockError.
	From       string         `json:"from,omitempty"`
	ClockError float64        `json:"clock_error_s,omitempty"`
	Judged     bool           `json:"judged"`
	Every      float64        `json:"every_s"`
	Samples    int            `json:"samples"`
	OK         int            `json:"ok"`
	NoData     int            `json:"no_data"`
	LateP50    float64        `json:"late_p50_s"`
	LateP99    float64        `json:"late_p99_s"`
	RoundTrip  float64        `json:"round_trip_p50_s"`
	Classes    map[string]int `json:"classes"`
	Outages    []Outage       `json:"outages"`
	// Partial are the stretches in which some requests failed and others did not.
	Partial []PartialResult `json:"partial,omitempty"`
	// Total is the summed length of all outages.
	Total Seconds `json:"total_outage"`
	// Recovery is the time from the fault until this series was stable again.
	Recovery *Seconds `json:"recovery"`
}

// Outage is a stretch in which the service was not usable. Begin and end are
// intervals that contain the true instants.
type Outage struct {
	Start Instants `json:"start"`
	End   Instants `json:"end"`
	// Length is the outage's length.
	Length Seconds `json:"length"`
	Bad    int     `json:"bad"`
	// Class is the most frequent class of its samples.
	Class string `json:"class"`
	// Cause is the fault, remedy or revert that it is attributed to by time; ""
	// if none.
	Cause string `json:"cause"`
}

// LedgerResult accounts for the writes of one ledger.
type LedgerResult struct {
	Name         string `json:"name"`
	Component    string `json:"component"`
	Attempted    uint64 `json:"attempted"`
	Acknowledged uint64 `json:"acknowledged"`
	// AcknowledgedBefore were acknowledged before the first measured fault could take
	// effect: what was there to be lost.
	AcknowledgedBefore uint64   `json:"acknowledged_before_fault"`
	Rejected           uint64   `json:"rejected"`
	Lost               uint64   `json:"lost"`
	LostIDs            []string `json:"lost_ids"`
	// LostUnlisted is how many lost ids are not in LostIDs.
	LostUnlisted       uint64     `json:"lost_unlisted,omitempty"`
	FirstLostAt        *time.Time `json:"first_lost_at,omitempty"`
	LastLostAt         *time.Time `json:"last_lost_at,omitempty"`
	Indeterminate      uint64     `json:"indeterminate"`
	RejectedButPresent uint64     `json:"rejected_but_present"`
	Duplicated         uint64     `json:"duplicated"`
	Phantom            uint64     `json:"phantom"`
	Stale              uint64     `json:"stale"`
	StaleLongest       float64    `json:"stale_longest_s"`
	Diverged           uint64     `json:"diverged"`
	Resurrected        uint64     `json:"resurrected"`
	// Vanished were on the primary after recovery and not after the rejoin.
	Vanished        uint64  `json:"vanished"`
	DualWrite       uint64  `json:"dual_write"`
	DualWriteWindow float64 `json:"dual_write_window_s"`
	// IDs lists the ids of every class but lost, "writer:sequence"; ranges as
	// "writer:from-to".
	IDs map[string][]string `json:"ids,omitempty"`
	// ReadBack says which members were read, when.
	ReadBack []ReadBackResult `json:"read_back"`
	// RecoveryPoint is disruption minus the acknowledgement of the earliest lost
	// write, nil if it could not be determined.
	RecoveryPoint *Seconds `json:"recovery_point"`
}

// ReadBackResult is one member read back.
type ReadBackResult struct {
	Member  string  `json:"member"`
	When    string  `json:"when"`
	Primary bool    `json:"primary"`
	Rows    uint64  `json:"rows"`
	Took    float64 `json:"took_s"`
	Error   string  `json:"error,omitempty"`
}

// RejoinResult says how a component's members came back.
type RejoinResult struct {
	Component string            `json:"component"`
	Primary   string            `json:"primary"`
	Replicas  []string          `json:"replicas"`
	KeptOut   map[string]string `json:"kept_out"`
	Errant    map[string]string `json:"errant"`
	Took      float64           `json:"took_s"`
	Error     string            `json:"error,omitempty"`
}

// BaselineResult is the A/A stretch before the first fault.
type BaselineResult struct {
	Held    bool    `json:"held"`
	Length  float64 `json:"length_s"`
	Samples int     `json:"samples"`
	Bad     int     `json:"bad"`
	// FalseAlarmHi bounds the rate of false alarms per sample at 95 % confidence.
	FalseAlarmHi float64 `json:"false_alarm_rate_hi"`
}

// Cleanup says whether everything was put back.
type Cleanup struct {
	Verdict   string   `json:"verdict"` // clean, dirty
	Leftovers []string `json:"leftovers"`
}

// RunnerResult is how well the runner itself ran.
type RunnerResult struct {
	Version string  `json:"version"`
	Host    string  `json:"host"`
	Gaps    int     `json:"gaps"`
	GapsSum float64 `json:"gaps_total_s"`
	GapMax  float64 `json:"gaps_longest_s"`
}

// EvidenceResult is what ties the result to the record.
type EvidenceResult struct {
	PlanDigest   string            `json:"plan_sha256"`
	RecordDigest string            `json:"record_sha256"`
	Files        map[string]string `json:"files_sha256"`
	Events       int               `json:"events"`
	Whole        bool              `json:"whole"`
}
