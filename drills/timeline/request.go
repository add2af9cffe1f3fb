package timeline

import "time"

// Request is what is known of a sample that asked a model for something, beyond
// its class.
type Request struct {
	// ID is unique in the run and travels with the request, in its "user" field.
	ID string `json:"id"`
	// Op is what was asked for: chat, embedding or rerank.
	Op string `json:"op"`
	// Outcome is how it ended for who asked.
	Outcome Outcome `json:"o"`
	// First is when the first piece of the answer was there: the first token of a
	// stream, the whole body of anything else. 0: none came.
	First Offset `json:"f,omitempty"`
	// Stall is the longest wait from one piece of a stream to the next.
	Stall Offset `json:"g,omitempty"`
	// Status is the answer's HTTP status; 0 without one.
	Status int `json:"h,omitempty"`
	// Model and Finish are the model and the finish reason that the answer names.
	Model  string `json:"m,omitempty"`
	Finish string `json:"r,omitempty"`
	// In and Out are the tokens that the answer counts.
	In  int64 `json:"ti,omitempty"`
	Out int64 `json:"to,omitempty"`
	// Dimension is the length of an embedding, Distance its cosine distance to the
	// reference (0 to 2).
	Dimension int     `json:"dim,omitempty"`
	Distance  float64 `json:"dist,omitempty"`
}

// Outcome is how a request ended for who asked.
type Outcome string

// The outcomes of requests.
const (
	Whole      Outcome = "whole"      // answered in full, and rightly
	Failed     Outcome = "failed"     // an error that who asked can see
	Cut        Outcome = "truncated"  // presented as a success, but not whole
	Wrong      Outcome = "wrong"      // whole, but not what was asked for
	Unanswered Outcome = "unanswered" // nothing, or no end, within the sample's deadline
)

// Exchange is one request to one member as a fault point on the wire saw it.
type Exchange struct {
	// ID is the request's id, "" if it carried none. A record keeps those of firedrill's
	// own requests only.
	ID     string `json:"id,omitempty"`
	Member string `json:"member"`
	Path   string `json:"path"`
	Model  string `json:"model,omitempty"`
	// From and To are when it began and ended, by the host's clock.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Fault is what was done to it, "" if nothing was.
	Fault string `json:"fault,omitempty"`
	// Status is what the member answered; 0: it was not asked, or did not answer.
	Status int `json:"status,omitempty"`
	// Billed tells that the member answered in full: it will ask for its money,
	// whatever came of the answer.
	Billed bool `json:"billed,omitempty"`
	// Delivered tells that the answer was passed on in full, unchanged.
	Delivered bool `json:"delivered,omitempty"`
	// In and Out are the tokens that the member counted.
	In  int64 `json:"in,omitempty"`
	Out int64 `json:"out,omitempty"`
}
