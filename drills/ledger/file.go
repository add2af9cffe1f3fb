package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// SyncEvery is how often an open file is fsynced when something was written.
const SyncEvery = 100 * time.Millisecond

// DefaultLanes is the cap on lanes when WithLanes does not set one.
const DefaultLanes = 1024

// ErrClosed is returned when an attempt is recorded in a closed file.
var ErrClosed = errors.New("the ledger is closed")

// File is a ledger's file of entries, open for writing. See Create.
//
// An entry is written with write(2) before Record returns: it survives the death
// of the runner, kill -9 included. A crash of the machine can cost the entries of
// the last SyncEvery, plus what the disk takes to sync; Close syncs the rest.
// The first write or sync that fails makes the file fail for good: see Err.
//
// All methods may be called concurrently.
type File struct {
	path  string
	limit int

	mu      sync.Mutex // guards the fields below, and the order of the records
	out     *os.File
	enc     encoder
	buf     []byte
	members map[string]uint64
	entries uint64
	err     error
	closed  bool

	lanesMu sync.Mutex // guards the fields below; never held while writing
	lanes   []*Lane
	free    []*Lane
	ended   bool

	dirty   atomic.Bool
	stop    chan struct{}
	stopped chan struct{}
}

// Option is an option of Create.
type Option func(*header)

// WithLanes sets how many lanes there can be: 1 to 65535.
func WithLanes(n int) Option { return func(h *header) { h.Lanes = n } }

// WithEpoch records the wall clock at offset 0, as a label.
func WithEpoch(t time.Time) Option {
	return func(h *header) { t = t.Round(0).UTC(); h.Epoch = &t }
}

// Create makes the file of the named ledger; the file must not exist. When it
// returns, the file is on disk. The caller must Close it.
func Create(path, name string, opts ...Option) (*File, error) {
	h := header{Format: formatV1, Name: name, Lanes: DefaultLanes}
	for _, o := range opts {
		o(&h)
	}
	if h.Lanes < 1 || h.Lanes > math.MaxUint16 {
		return nil, fmt.Errorf("create ledger %s: %d lanes: from 1 to %d are possible", name, h.Lanes, math.MaxUint16)
	}
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("create ledger %s: %w", name, err)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create ledger %s: %w", name, err)
	}
	line = append(line, '\n')
	if err := begin(out, line); err != nil {
		return nil, fmt.Errorf("create ledger %s: %w", name, errors.Join(err, out.Close()))
	}
	f := &File{
		path: path, limit: h.Lanes, out: out, members: map[string]uint64{},
		enc:  encoder{sum: crc32.Checksum(line, castagnoli()), table: castagnoli()},
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go f.keepSynced()
	return f, nil
}

// begin writes the first line and makes it and the file's name durable.
func begin(out *os.File, line []byte) error {
	if _, err := out.Write(line); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(out.Name()))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lane hands out a free lane; false if all are taken or the file is closed. The
// caller must Release it.
func (f *File) Lane() (*Lane, bool) {
	f.lanesMu.Lock()
	defer f.lanesMu.Unlock()
	if f.ended {
		return nil, false
	}
	if n := len(f.free); n > 0 {
		l := f.free[n-1]
		f.free = f.free[:n-1]
		l.taken = true
		return l, true
	}
	if len(f.lanes) == f.limit {
		return nil, false
	}
	l := &Lane{file: f, writer: uint16(len(f.lanes) + 1), taken: true}
	f.lanes = append(f.lanes, l)
	return l, true
}

// Err returns the error of the first write or sync that failed, nil if none did.
// After it nothing more is recorded, and a drill that goes on proves nothing.
func (f *File) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// Close ends the file: attempts under way are written as indeterminate, then the
// end record, then it syncs. No lane may be in use any more: what is recorded
// after Close fails with ErrClosed. It returns what Err says, and has no effect
// the second time.
func (f *File) Close() error {
	if !f.end() {
		return f.Err()
	}
	for _, l := range f.allLanes() {
		l.settleLocked()
	}
	close(f.stop)
	<-f.stopped
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.err == nil {
		f.buf = f.enc.seal(appendEndBody(f.buf[:0], f.entries), 0)
		f.write(f.buf)
	}
	f.fail(f.out.Sync())
	f.fail(f.out.Close())
	return f.err
}

// end stops the handing out of lanes; it returns false if that was done before.
func (f *File) end() bool {
	f.lanesMu.Lock()
	defer f.lanesMu.Unlock()
	was := f.ended
	f.ended = true
	return !was
}

func (f *File) allLanes() []*Lane {
	f.lanesMu.Lock()
	defer f.lanesMu.Unlock()
	// Lanes are only ever added, so that this view stays whole.
	return f.lanes[:len(f.lanes):len(f.lanes)]
}
