// Package journal keeps the intents of a drill: what must be undone, written
// down and synced to disk before the deed is done. Any later process can read
// the journal and finish the job.
package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/renameio/v2"
)

// Header says whose journal it is.
type Header struct {
	RunID string `json:"run_id"`
	// RunDir is where the record lies.
	RunDir   string `json:"run_dir"`
	Topology string `json:"topology"`
	// Namespace is the network namespace to stand in; empty for the host's.
	Namespace string    `json:"namespace,omitempty"`
	Lock      string    `json:"lock"`
	StartedAt time.Time `json:"started_at"`
	PID       int       `json:"pid"`
}

// Intent is one thing that must be undone. It carries references to secrets,
// never values.
type Intent struct {
	ID string `json:"id"`
	// Sort says what kind of thing it is ("fault", "roles", "ledger", "remedy").
	Sort string `json:"sort"`
	// Name is what people call it.
	Name string `json:"name"`
	// Kind and With rebuild the plug-in that undoes it.
	Kind string          `json:"kind"`
	With json.RawMessage `json:"with,omitempty"`
	// Says is what undoing will do, for people.
	Says string          `json:"says"`
	Undo json.RawMessage `json:"undo,omitempty"`
	// ExpiresAt is when the watchdog undoes it even though the runner lives; zero
	// for what has no time to live.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// line is one line of a journal.
type line struct {
	Op      string    `json:"op"` // open, intent, step, done, left, close
	At      time.Time `json:"at"`
	Header  *Header   `json:"header,omitempty"`
	Intent  *Intent   `json:"intent,omitempty"`
	ID      string    `json:"id,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	By      string    `json:"by,omitempty"`
	Step    string    `json:"step,omitempty"`
}

// Journal is open for appending. Its methods may be called concurrently, and by
// several processes on the same file: a line is one write.
type Journal struct {
	path  string
	mu    sync.Mutex
	f     *os.File
	n     int
	after func(n int)
}

// Create starts a journal. after, if not nil, is called with the number of
// appends so far once each is durable.
func Create(path string, h Header, after func(n int)) (*Journal, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	// Under its name it appears with its header or not at all: one without could not
	// be recovered, nor told from one that is being begun.
	draft := path + ".new"
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	j := &Journal{path: path, f: f}
	err = j.append(line{Op: "open", Header: &h})
	if _, there := os.Lstat(path); err == nil && there == nil {
		err = fmt.Errorf("create journal: %s exists", path)
	}
	if err == nil {
		err = errors.Join(os.Rename(draft, path), syncDir(filepath.Dir(path)))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.RemoveAll(draft))
	}
	if j.after = after; after != nil {
		after(j.n)
	}
	return j, nil
}

// Open opens an existing journal for appending. A torn last line, left by a
// process that died in mid-write, is ended so that what follows stands alone.
func Open(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if end, err := f.Seek(0, io.SeekEnd); err == nil && end > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, end-1); err == nil && last[0] != '\n' {
			if _, err := f.Write([]byte{'\n'}); err != nil {
				return nil, errors.Join(fmt.Errorf("open journal %s: %w", path, err), f.Close())
			}
		}
	}
	return &Journal{path: path, f: f}, nil
}

// Intend makes an intent durable: when it returns nil, the deed may be done.
func (j *Journal) Intend(i Intent) error { return j.append(line{Op: "intent", Intent: &i}) }

// Step makes durable that a step is about to be done that needs no undo of its own.
func (j *Journal) Step(name string) error { return j.append(line{Op: "step", Step: name}) }

// Done notes that an intent was undone; outcome is "clean", "gone" or "failed".
// A failed one stays pending. by is who did it.
func (j *Journal) Done(id, outcome, by string) error {
	return j.append(line{Op: "done", ID: id, Outcome: outcome, By: by})
}

// Leave notes that the runner ended by itself with something not undone: it is
// for a person, or for a later recovery, not for the watchdog.
func (j *Journal) Leave() error { return errors.Join(j.append(line{Op: "left"}), j.f.Close()) }

// Close notes that nothing is left to do and moves the journal to the run
// directory, where it is evidence. If that is full or gone, it is set aside where
// it was, with the suffix ".closed": nothing is pending, so it must not stand in
// the way of the next run, and nor must a note that could not be written.
func (j *Journal) Close(dir string) error {
	_ = j.append(line{Op: "close"})
	if err := j.f.Close(); err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	b, err := os.ReadFile(j.path)
	if err == nil {
		err = renameio.WriteFile(filepath.Join(dir, "journal.jsonl"), b, 0o600)
	}
	if err == nil {
		err = os.Remove(j.path)
	} else {
		err = os.Rename(j.path, j.path+".closed")
	}
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

func (j *Journal) append(l line) error {
	l.At = time.Now().UTC()
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("journal %s: %w", l.Op, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.f.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("journal %s: %w", l.Op, err)
	}
	if err := j.f.Sync(); err != nil {
		return fmt.Errorf("journal %s: %w", l.Op, err)
	}
	j.n++
	if j.after != nil {
		j.after(j.n)
	}
	return nil
}

// State is a journal as read.
type State struct {
	Path   string
	Header Header
	// Closed tells that nothing is left to do.
	Closed bool
	// Left tells that the runner ended by itself although intents are pending.
	Left bool
	// Pending are the intents that are not undone, newest first.
	Pending []Intent
	// Steps are the names of the steps that were about to be done, in order.
	Steps []string
	// Undone are those that were, oldest first.
	Undone []Undone
}

// Undone is an intent that was undone, and how: "clean" or "gone".
type Undone struct {
	Intent
	Outcome string
}

// Read reads a journal. A torn line is ignored: what it announced was not
// durable, so it was not done.
func Read(path string) (State, error) {
	s := State{Path: path}
	f, err := os.Open(path)
	if err != nil {
		return s, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	for r := bufio.NewReader(f); ; {
		b, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return s, fmt.Errorf("read journal %s: %w", path, err)
		}
		// A line that does not parse was torn by a death, and ended by Open.
		if l := (line{}); json.Unmarshal(b, &l) == nil {
			s.apply(l)
		}
		if err != nil {
			break
		}
	}
	slices.Reverse(s.Pending)
	return s, nil
}

func (s *State) apply(l line) {
	switch l.Op {
	case "open":
		if l.Header != nil {
			s.Header = *l.Header
		}
	case "intent":
		if l.Intent == nil {
			return
		}
		s.Pending = append(s.Pending, *l.Intent)
	case "step":
		s.Steps = append(s.Steps, l.Step)
	case "done":
		at := slices.IndexFunc(s.Pending, func(i Intent) bool { return i.ID == l.ID })
		if at >= 0 && l.Outcome != "failed" {
			s.Undone = append(s.Undone, Undone{s.Pending[at], l.Outcome})
			s.Pending = slices.Delete(s.Pending, at, at+1)
		}
	case "left":
		s.Left = true
	case "close":
		s.Closed = true
	}
}

// List returns the paths of all journals in a directory, in the order of their names.
// A directory that does not exist has none.
func List(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("list journals in %s: %w", dir, err)
	}
	return paths, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
