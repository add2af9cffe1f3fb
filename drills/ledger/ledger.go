// Package ledger accounts for every acknowledged write: the file of what was
// attempted and answered, the ids read back from each member, and the audit that
// compares the two.
package ledger

import (
	"errors"
	"path/filepath"

	"firedrill/drills/timeline"
)

// ID names one attempted write. Sequences are dense: 1, 2, 3… for each writer.
type ID struct {
	Writer uint16
	Seq    uint64
}

// Outcome is what the client learnt of an attempt.
type Outcome uint8

// The outcomes of an attempt. The zero value is Indeterminate: without an
// answer, nothing is known.
const (
	// Indeterminate: neither an acknowledgement nor a refusal came back.
	Indeterminate Outcome = iota
	// Acknowledged: the server said that it is done.
	Acknowledged
	// Rejected: the server refused it, or it was never sent.
	Rejected
)

// ErrRejected marks the error of an attempt that the server refused, or that
// never reached it. Any other error leaves the attempt indeterminate.
var ErrRejected = errors.New("rejected")

// Entry is one attempt: Start before it was sent, End when the outcome was known.
// Member names the server that answered, "" if unknown.
type Entry struct {
	ID      ID
	Outcome Outcome
	Start   timeline.Offset
	End     timeline.Offset
	Member  string
}

// Path is the file of a ledger's entries in a run directory.
func Path(dir, name string) string { return filepath.Join(dir, "ledger."+name+".bin") }

// ReadBackPath is the file with what was read back for a ledger.
func ReadBackPath(dir, name string) string {
	return filepath.Join(dir, "ledger."+name+".readback.jsonl")
}
