package timeline

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// Record is a run record as read back.
type Record struct {
	Dir     string
	Started Started
	Events  []Moment
	// Ended is nil when the record has no end: the runner died and nobody has
	// closed the record yet.
	Ended *Ended
	// Broken lists in what way the record is not whole: a broken chain, a torn
	// line, a file that is not what Ended says. Empty means whole.
	Broken []string
	// Digest is the SHA-256 of the events file.
	Digest string

	last string
	size int64
}

// Moment is an event with its payload decoded.
type Moment struct {
	T       Offset
	Payload any
}

// payloads knows the type of every event.
var payloads = func() map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for _, p := range []any{
		Started{},
		PhaseBegan{},
		RolesSeen{},
		MemberChanged{},
		PlatformAway{},
		PlatformBack{},
		Journaled{},
		Injecting{},
		Injected{},
		Confirmed{},
		Held{},
		Reverting{},
		Reverted{},
		Detected{},
		RemedyBegan{},
		RemedyStep{},
		RemedyEnded{},
		Healed{},
		Gap{},
		ClockRelated{},
		AgentLost{},
		StopRequested{},
		ReadBack{},
		Rejoined{},
		Caveat{},
		CleanedUp{},
		Ended{},
	} {
		m[EventType(p)] = reflect.TypeOf(p)
	}
	return m
}()

// Read reads the events of a run directory and verifies the chain and, when the
// record has an end, the digests of all its files. An error means that there is
// no record to speak of; anything less is told in Broken.
func Read(dir string) (*Record, error) {
	b, err := os.ReadFile(filepath.Join(dir, EventsFile))
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	r := &Record{Dir: dir, Digest: digest(b)}
	for len(b) > 0 {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if !whole {
			r.broken("the last line is torn")
			break
		}
		if err := r.add(line); err != nil {
			r.broken("event %d: %v", len(r.Events), err)
			break
		}
		r.size += int64(len(line)) + 1
		b = rest
	}
	if len(r.Events) == 0 {
		return nil, fmt.Errorf("read record %s: no readable event: %v", dir, r.Broken)
	}
	r.check()
	return r, nil
}

func (r *Record) broken(format string, args ...any) {
	r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
}

// add decodes a line, checks that it follows the one before, and keeps it.
func (r *Record) add(line []byte) error {
	var e Event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if e.Prev != r.last || e.Seq != int64(len(r.Events)) {
		return errors.New("the hash chain is broken: a line was changed, added or removed")
	}
	typ, ok := payloads[e.Type]
	if !ok {
		return fmt.Errorf("unknown event type %q: was it written by a newer version?", e.Type)
	}
	p := reflect.New(typ)
	if err := json.Unmarshal(e.Data, p.Interface()); err != nil {
		return fmt.Errorf("%s: %w", e.Type, err)
	}
	r.last = digest(line)
	r.Events = append(r.Events, Moment{T: e.T, Payload: p.Elem().Interface()})
	return nil
}

// check fills Started and Ended and compares digests.
func (r *Record) check() {
	started, ok := r.Events[0].Payload.(Started)
	if !ok {
		r.broken("the first event is not %q", EventType(Started{}))
	}
	r.Started = started
	if d, err := PlanDigest(started.Plan); err != nil || d != started.PlanDigest {
		r.broken("the plan does not have the digest that the record states")
	}
	if e, ok := r.Events[len(r.Events)-1].Payload.(Ended); ok {
		r.Ended = &e
		r.checkFiles(e.Files)
		return
	}
	r.broken("the record has no end: the runner was interrupted")
}

func (r *Record) checkFiles(files map[string]string) {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		d, err := FileDigest(filepath.Join(r.Dir, filepath.Base(n)))
		switch {
		case err != nil:
			r.broken("%s: %v", n, err)
		case d != files[n]:
			r.broken("%s does not have the digest that the record states", n)
		}
	}
}

// FileDigest is the SHA-256 of a file in hexadecimal.
func FileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ReadExchanges reads what fault points saw on the wire; known is false if the
// record has no such file.
func (r *Record) ReadExchanges() (out []Exchange, known bool, err error) {
	f, err := os.Open(filepath.Join(r.Dir, ExchangesFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read exchanges: %w", err)
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var x Exchange
		err := d.Decode(&x)
		if errors.Is(err, io.EOF) {
			return out, true, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("read exchanges: %w", err)
		}
		out = append(out, x)
	}
}

// ReadSamples reads all samples, one slice for each series, each sorted by
// Start and then by N. A torn last line is dropped.
func (r *Record) ReadSamples() ([][]Sample, error) {
	out := make([][]Sample, len(r.Started.Plan.Series))
	f, err := os.Open(filepath.Join(r.Dir, SamplesFile))
	if err != nil {
		return nil, fmt.Errorf("read samples: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewReaderSize(f, 1<<16); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var s Sample
		if err == nil {
			err = json.Unmarshal(line, &s)
		}
		if err != nil {
			return nil, fmt.Errorf("read samples: %w", err)
		}
		if s.Series < 0 || s.Series >= len(out) {
			return nil, fmt.Errorf("read samples: series %d is not in the plan", s.Series)
		}
		out[s.Series] = append(out[s.Series], s)
	}
	for _, ss := range out {
		slices.SortFunc(ss, func(a, b Sample) int {
			if a.Start != b.Start {
				return int(a.Start - b.Start)
			}
			return int(a.N - b.N)
		})
	}
	return out, nil
}
