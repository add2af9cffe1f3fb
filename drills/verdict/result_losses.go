package verdict

import "time"

// LossResult is one member that was lost and, maybe, replaced, on the clock of the
// runner: what the platform told counts from when the runner was told.
type LossResult struct {
	Component string `json:"component"`
	Member    string `json:"member"`
	// Node is where it ran.
	Node string `json:"node,omitempty"`
	// How is deleted (it was asked to end), gone (it was not even asked) or unready.
	How string `json:"how"`
	// Cause is the latest fault or remedy that had begun by then.
	Cause string `json:"cause"`
	// At is when it was told that the member was lost.
	At time.Time `json:"at"`
	// Replacement is the member that took its place: itself if it came back; "" if
	// none did.
	Replacement     string `json:"replacement,omitempty"`
	ReplacementNode string `json:"replacement_node,omitempty"`
	// Total is the time from the begin of the cause until the replacement was in
	// service.
	Total Seconds `json:"total"`
	// WatchLag is how late the platform told of changes at most at that time: each end
	// of a phase may be that much earlier, the begin of the first excepted.
	WatchLag *float64    `json:"watch_lag_s,omitempty"`
	Phases   []LossPhase `json:"phases"`
	// Why says in one sentence what took the time and which requests it cost.
	Why string `json:"why"`
}

// The phases of a loss, in order. The first three are about the member that was lost,
// the others about its replacement, at the same time.
const (
	// LossKill is from the begin of the cause's call until the member was lost.
	LossKill = "kill"
	// LossEndpoint is for how long the lost member still was among the endpoints.
	LossEndpoint = "endpoint removed"
	// LossEnded is for how long it took to end when it was asked to.
	LossEnded = "ended"
	// LossCreated is from the loss until there was a replacement; the phases that
	// follow begin where the one before has ended.
	LossCreated   = "replacement created"
	LossScheduled = "scheduled"
	LossImage     = "image"
	LossStarted   = "started"
	LossReady     = "ready"
	LossServing   = "in endpoints"
	// LossFailing is from then on until the last request was sent that failed.
	LossFailing = "still failing"
)

// LossPhase is a stretch of a loss, in seconds on the axis of Recovery.Phases.
type LossPhase struct {
	Name string  `json:"name"`
	From float64 `json:"from_s"`
	To   float64 `json:"to_s"`
	// Open tells that it had not ended when the drill stopped looking.
	Open bool `json:"open,omitempty"`
	// Late is how much earlier an end of the phase may be because the platform told
	// nothing for a while.
	Late float64 `json:"late_s,omitempty"`
	// Samples are the requests that were sent in the phase to the component by judged
	// probes, Failed those of them that failed. Phases overlap, and so do these counts.
	Samples int `json:"samples"`
	Failed  int `json:"failed"`
	// FailedFrom and FailedTo are when the first and the last of them was sent; nil if
	// none failed.
	FailedFrom *float64 `json:"failed_from_s,omitempty"`
	FailedTo   *float64 `json:"failed_to_s,omitempty"`
}
