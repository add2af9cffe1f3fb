package vendor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// Entry is one request as the vendor saw it. What a client has seen of an answer is
// in the log before the client sees it; only that a client went away is noticed
// later than by the client itself.
type Entry struct {
	Vendor string `json:"vendor"`
	// ID is the "user" of the request's body, "" without one.
	ID string `json:"id,omitempty"`
	// Op is models, chat, embedding or rerank, "" for a path that does not exist.
	Op     string `json:"op,omitempty"`
	Model  string `json:"model,omitempty"`
	Stream bool   `json:"stream,omitempty"`
	// Mode is what was done to the request, "" if nothing was, whatever mode the
	// vendor was in.
	Mode string `json:"mode,omitempty"`
	// From is when its head was read, First just before its first token was written
	// (its body, if it is not a stream), To when it ended; zero while it has not.
	// They carry a monotonic reading in the vendor's process, and nanoseconds of the
	// wall clock elsewhere.
	From  time.Time `json:"from"`
	First time.Time `json:"first,omitzero"`
	To    time.Time `json:"to,omitzero"`
	// Status is the HTTP status of the answer; 0: none was begun.
	Status int `json:"status,omitempty"`
	// In are the tokens of the request, Tokens those of the answer that were sent.
	In     int `json:"in,omitempty"`
	Tokens int `json:"tokens,omitempty"`
	// Complete tells that a whole answer to what was asked, no error, was handed to
	// the kernel.
	Complete bool `json:"complete"`
	// Aborted tells that the client went away before the end.
	Aborted bool `json:"aborted,omitempty"`
	// Key tells that the key was accepted, or none is wanted.
	Key bool `json:"key"`
}

// keepEntries is how many entries a log keeps at least.
const keepEntries = 100_000

// logbook is the log of a vendor.
type logbook struct {
	mu      sync.Mutex
	records []*record
	dropped int
	file    *os.File // nil: none
	failed  error    // the first error of writing the file
}

// record is an entry that may still change.
type record struct {
	mu sync.Mutex
	e  Entry
}

func openLog(path string) (*logbook, error) {
	b := &logbook{}
	if path == "" {
		return b, nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	b.file = f
	return b, nil
}

// begin adds an entry.
func (b *logbook) begin(e Entry) *record {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.records) == 2*keepEntries {
		b.records = slices.Clone(b.records[keepEntries:])
		b.dropped += keepEntries
	}
	r := &record{e: e}
	b.records = append(b.records, r)
	return r
}

// end writes an entry that has ended to the file.
func (b *logbook) end(e Entry) {
	if b.file == nil {
		return
	}
	line, err := json.Marshal(e)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		_, err = b.file.Write(append(line, '\n'))
	}
	if b.failed == nil && err != nil {
		b.failed = fmt.Errorf("write log: %w", err)
	}
}

// all returns the entries with an id, with "" every entry.
func (b *logbook) all(id string) []Entry {
	b.mu.Lock()
	records := slices.Clone(b.records)
	b.mu.Unlock()
	out := make([]Entry, 0, len(records))
	for _, r := range records {
		if e := r.entry(); id == "" || e.ID == id {
			out = append(out, e)
		}
	}
	return out
}

func (b *logbook) running() int {
	n := 0
	for _, e := range b.all("") {
		if e.To.IsZero() {
			n++
		}
	}
	return n
}

func (b *logbook) forgotten() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

// close closes the file and returns what went wrong with it.
func (b *logbook) close() error {
	if b.file == nil {
		return nil
	}
	return errors.Join(b.failed, b.file.Close())
}

func (r *record) entry() Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.e
}

func (r *record) update(do func(e *Entry)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(&r.e)
}
