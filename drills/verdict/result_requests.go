package verdict

// PartialResult is a stretch in which a service failed for some of its clients'
// requests and answered others: neither up nor down.
type PartialResult struct {
	Start Instants `json:"start"`
	End   Instants `json:"end"`
	// Bad of Samples failed.
	Bad     int     `json:"bad"`
	Samples int     `json:"samples"`
	Share   float64 `json:"share"`
	Class   string  `json:"class"`
}

// RequestsResult accounts for every request that was sent to a component's models.
type RequestsResult struct {
	Component string `json:"component"`
	// Expected is the member that is next in order when the faulted ones are out; ""
	// where members have no order.
	Expected string `json:"expected,omitempty"`
	Tally
	// AnsweredTwice is how many requests were answered in full, and will be billed,
	// more than once, by one member or several; nil if no fault point saw the traffic,
	// or none of the requests' ids in it.
	AnsweredTwice *uint64 `json:"answered_twice,omitempty"`
	// Stages are before, during and after the faults.
	Stages []RequestStage `json:"stages"`
	// IDs lists the requests of each class but whole: failed, truncated, wrong,
	// unanswered, answered_twice.
	IDs map[string][]RequestID `json:"ids,omitempty"`
	// Unlisted is how many of each class are not in IDs.
	Unlisted map[string]uint64 `json:"unlisted,omitempty"`
	// FailBack is the time from the end of the faults until the members of before
	// answered again, for good; nil if it was not measured, or requests never left them.
	FailBack *Seconds `json:"fail_back,omitempty"`
	// Flaps is how often answers went elsewhere once more after that.
	Flaps int `json:"flaps"`
}

// Tally counts requests by how they ended.
type Tally struct {
	Requests   uint64 `json:"requests"`
	Whole      uint64 `json:"whole"`
	Failed     uint64 `json:"failed"`
	Truncated  uint64 `json:"truncated"`
	Wrong      uint64 `json:"wrong"`
	Unanswered uint64 `json:"unanswered"`
	// Begun is how many had a first token.
	Begun uint64 `json:"begun"`
	// By counts those that were answered, in full, by member; "" where the answer
	// does not tell.
	By map[string]uint64 `json:"by"`
}

// RequestStage is a stretch of the drill as those who asked saw it.
type RequestStage struct {
	// Name is before, during or after.
	Name string `json:"name"`
	Tally
	// FirstTokenP50, P95 and P99 are of chat requests, in seconds; nil without any.
	FirstTokenP50 *float64 `json:"first_token_p50_s"`
	FirstTokenP95 *float64 `json:"first_token_p95_s"`
	FirstTokenP99 *float64 `json:"first_token_p99_s"`
	// Stall is the longest wait between two pieces of a stream.
	Stall float64 `json:"longest_stall_s"`
	// TokensIn and TokensOut are what answers counted; Cost is what that comes to at
	// the topology's prices, nil without any.
	TokensIn  int64    `json:"tokens_in"`
	TokensOut int64    `json:"tokens_out"`
	Cost      *float64 `json:"cost,omitempty"`
	// Billed is what members counted for these requests on the wire, what broke off or
	// was answered twice included, and BilledCost what that comes to. They are nil where
	// no fault point saw it, which is before the fault, or none of the requests' ids.
	Billed     *int64   `json:"tokens_billed,omitempty"`
	BilledCost *float64 `json:"billed_cost,omitempty"`
	// Other is what members counted for everybody else.
	Other *int64 `json:"tokens_other,omitempty"`
}

// RequestID is one request by name.
type RequestID struct {
	ID    string `json:"id"`
	Probe string `json:"probe"`
	// By is who answered, or began to.
	By string `json:"by,omitempty"`
	// What is what came of it.
	What string `json:"what,omitempty"`
}
