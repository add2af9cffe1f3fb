package timeline

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// The names of a run directory's record files.
const (
	EventsFile  = "run.jsonl"
	SamplesFile = "samples.jsonl"
	// ExchangesFile is what fault points saw on the wire; not every drill has one.
	ExchangesFile = "exchanges.jsonl"
)

// Writer appends to a run record. Its methods may be called concurrently. An
// event is handed to the operating system before Append returns, so it outlives
// the runner; samples follow with Flush or when 64 KiB are full. The first error is kept: an
// unrecorded drill proves nothing, so the engine watches Err and aborts.
type Writer struct {
	clock Clock

	mu      sync.Mutex
	events  *os.File
	samples *os.File
	buf     *bufio.Writer
	seq     int64
	prev    string
	err     error
}

// Create starts a record in dir, which must exist and hold none.
func Create(dir string, clock Clock) (*Writer, error) {
	w := &Writer{clock: clock}
	for _, f := range []struct {
		name string
		file **os.File
	}{{EventsFile, &w.events}, {SamplesFile, &w.samples}} {
		file, err := os.OpenFile(filepath.Join(dir, f.name), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, fmt.Errorf("create record: %w", err)
		}
		*f.file = file
	}
	w.buf = bufio.NewWriterSize(w.samples, 1<<16)
	return w, nil
}

// Resume continues the record of a runner that died: a torn last line is cut
// off, and the chain goes on. Offsets come from the wall clock then, relative to
// the start that the record states.
func Resume(dir string) (*Writer, error) {
	rec, err := Read(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, EventsFile)
	if err := os.Truncate(path, rec.size); err != nil {
		return nil, fmt.Errorf("cut torn record: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("resume record: %w", err)
	}
	since := time.Since(rec.Started.StartedAt)
	return &Writer{
		clock:  Clock{epoch: time.Now().Add(-since)},
		events: f, seq: int64(len(rec.Events)), prev: rec.last,
	}, nil
}

// Append records an event now and returns its offset.
func (w *Writer) Append(payload any) (Offset, error) {
	data, err := json.Marshal(payload)
	if err != nil {
		return 0, fmt.Errorf("record %T: %w", payload, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.clock.Now()
	line, err := json.Marshal(Event{Seq: w.seq, T: at, Type: EventType(payload), Data: data, Prev: w.prev})
	if err != nil {
		return at, fmt.Errorf("record %T: %w", payload, err)
	}
	if _, err := w.events.Write(append(line, '\n')); err != nil {
		return at, w.fail(fmt.Errorf("write %s: %w", EventsFile, err))
	}
	w.seq++
	w.prev = digest(line)
	return at, nil
}

// Sample records a sample.
func (w *Writer) Sample(s Sample) {
	line, err := json.Marshal(s)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		_, err = w.buf.Write(append(line, '\n'))
	}
	if err != nil {
		_ = w.fail(fmt.Errorf("write %s: %w", SamplesFile, err)) // the guard sees it
	}
}

// Flush hands samples that wait in memory to the operating system.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf == nil {
		return
	}
	if err := w.buf.Flush(); err != nil {
		_ = w.fail(fmt.Errorf("write %s: %w", SamplesFile, err))
	}
}

// fail keeps the first error and returns err.
func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return err
}

// Err returns the first error of any write, or nil.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Seal makes the samples durable; none may follow.
func (w *Writer) Seal() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buf == nil {
		return nil
	}
	err := errors.Join(w.buf.Flush(), w.samples.Sync(), w.samples.Close())
	w.buf = nil
	if err != nil {
		return w.fail(fmt.Errorf("seal %s: %w", SamplesFile, err))
	}
	return nil
}

// Close makes the events durable and closes the record.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := errors.Join(w.events.Sync(), w.events.Close()); err != nil {
		return fmt.Errorf("close %s: %w", EventsFile, err)
	}
	return nil
}

// digest is the SHA-256 of b in hexadecimal.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// PlanDigest is the digest that Started carries.
func PlanDigest(p Plan) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("digest plan: %w", err)
	}
	return digest(bytes.TrimSpace(b)), nil
}
