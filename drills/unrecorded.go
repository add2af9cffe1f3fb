package drills

import (
	"errors"
	"fmt"
	"sync"

	"firedrill/drills/ledger"
)

// errUnrecorded marks what keeps a drill from being recorded. It ends the drill,
// which proves nothing then; it is not something that was left behind.
var errUnrecorded = errors.New("the record cannot be written")

// unrecorded returns the first write error of anything that belongs to the record.
// It may be called concurrently.
func (r *run) unrecorded() error {
	r.rec.Flush()
	if err := r.rec.Err(); err != nil {
		return err
	}
	return r.ledgers.err()
}

// ledgers are the open ledger files by name, with the first error of what was read
// back for them. Its methods may be called concurrently: the guard looks at it.
type ledgers struct {
	mu    sync.Mutex
	files map[string]*ledger.File
	read  error
}

func (l *ledgers) get(name string) *ledger.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[name]
}

func (l *ledgers) add(name string, f *ledger.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files == nil {
		l.files = map[string]*ledger.File{}
	}
	l.files[name] = f
}

// readBack keeps the first error of writing down what was read back.
func (l *ledgers) readBack(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.read == nil {
		l.read = err
	}
}

// err returns the first write error of any ledger.
func (l *ledgers) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.files {
		if err := f.Err(); err != nil {
			return err // it names the file
		}
	}
	return l.read
}

// close ends all files; it may be called again.
func (l *ledgers) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var first error
	for _, f := range l.files {
		if err := f.Close(); err != nil && first == nil {
			first = fmt.Errorf("%w: %w", errUnrecorded, err)
		}
	}
	return first
}
