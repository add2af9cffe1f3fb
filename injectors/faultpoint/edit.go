package faultpoint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// errHeld ends an answer that a fault held back: the connection is closed.
var errHeld = errors.New("held back by a fault")

// next is what follows on a piece of an answer.
type next int

const (
	goOn next = iota
	end       // the body ends, in good order
	hold      // nothing more comes
)

// spoil puts a fault between a member's answer and who asked. It leaves alone what
// the mode does not fit: a malformed event needs events.
func (fl *flight) spoil(r *http.Response) {
	o := fl.watch
	if r.StatusCode == http.StatusSwitchingProtocols || r.Body == http.NoBody || r.Request.Method == http.MethodHead {
		return
	}
	mode := fl.fault.Mode
	if mode == SlowFirstToken {
		fl.applied = mode
		r.Body = &late{observer: o, fl: fl}
		return
	}
	general := mode == Stall || mode == Cut
	if !o.plain || !general && !o.good || mode == MalformedSSE && !o.stream {
		return
	}
	// The length is another now, or never to be reached.
	r.Header.Del("Content-Length")
	r.ContentLength = -1
	if o.stream {
		e := &events{fl: fl, up: o, in: bufio.NewReaderSize(o, 16<<10), edit: editEvent(fl)}
		if general && fl.fault.After == 0 {
			e.then = e.stopAt()
			fl.applied = mode
		}
		r.Body = e
		return
	}
	r.Body = &whole{fl: fl, up: o}
}

// late lets the first piece of a body wait.
type late struct {
	*observer
	fl     *flight
	waited bool
}

func (l *late) Read(p []byte) (int, error) {
	n, err := l.observer.Read(p)
	if !l.waited {
		l.waited = true
		if !l.fl.wait(l.fl.fault.Delay.Std()) {
			return 0, errHeld
		}
	}
	return n, err
}

// events are a stream of server-sent events of which some are changed.
type events struct {
	fl *flight
	up *observer
	in *bufio.Reader
	// edit returns what becomes of the n-th event (from 1) and what follows.
	edit func(n int, data []byte) (event []byte, then next)
	n    int
	out  []byte
	then next
	err  error
}

// Read returns no more than one event: none waits for the next.
func (e *events) Read(p []byte) (int, error) {
	for len(e.out) == 0 {
		switch {
		case e.then == end:
			e.fl.drain()
			return 0, io.EOF
		case e.then == hold:
			return 0, e.fl.hold()
		case e.err != nil:
			return 0, e.err
		}
		var ev []byte
		ev, e.err = e.event()
		data := dataOf(ev)
		if len(data) == 0 || bytes.Equal(data, []byte("[DONE]")) {
			e.out = ev
			continue
		}
		e.n++
		changed, then := e.edit(e.n, data)
		if e.then = then; changed == nil {
			changed = ev
		}
		e.out = changed
	}
	n := copy(p, e.out)
	e.out = e.out[n:]
	return n, nil
}

// event reads up to the next blank line. One that is too long to be kept comes in
// several pieces.
func (e *events) event() (ev []byte, err error) {
	for len(ev) < parseLimit {
		line, err := e.in.ReadSlice('\n')
		ev = append(ev, line...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			return ev, err
		case len(bytes.TrimRight(line, "\r\n")) == 0:
			return ev, nil
		}
	}
	return ev, nil
}

// dataOf returns the data of an event that has one line of it.
func dataOf(ev []byte) []byte {
	for line := range bytes.Lines(ev) {
		if data, is := bytes.CutPrefix(line, []byte("data:")); is {
			return bytes.TrimSpace(data)
		}
	}
	return nil
}

// Close leaves the member's answer to the drain, if there is one.
func (e *events) Close() error { return e.fl.closeUp(e.up) }

// stopAt is how a stall or a cut goes on.
func (e *events) stopAt() next {
	if e.fl.fault.Mode == Stall {
		return hold
	}
	return end
}

// editEvent returns what the fault does to each event; nil leaves it as it is.
func editEvent(fl *flight) func(n int, data []byte) ([]byte, next) {
	f := fl.fault
	broken := func(data []byte) []byte { return append([]byte("data: "), data[:len(data)/2]...) }
	return func(n int, data []byte) ([]byte, next) {
		switch f.Mode {
		case Stall, Cut:
			if n < f.After {
				return nil, goOn
			}
			fl.applied = f.Mode
			if f.Mode == Stall {
				return nil, hold
			}
			return nil, end
		case MalformedSSE, TruncatedJSON:
			if n != max(f.After, 1) {
				return nil, goOn
			}
			fl.applied = f.Mode
			if f.Mode == TruncatedJSON {
				return broken(data), end
			}
			return append(broken(data), "\n\n"...), goOn
		}
		changed := f.change(data)
		if changed == nil {
			return nil, goOn
		}
		fl.applied = f.Mode
		return append(append([]byte("data: "), changed...), "\n\n"...), goOn
	}
}

// change returns an answer, or a piece of it, with another content; nil if there
// is nothing to change.
func (f Fault) change(data []byte) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(data, &m) != nil {
		return nil
	}
	done := false
	if f.Mode == WrongModel && m["model"] != nil {
		m["model"], _ = json.Marshal(f.Model) // a string: cannot fail
		done = true
	}
	for _, list := range []string{"choices", "data", "results"} { // of a chat, of embeddings, of a reranking
		if f.Mode == EmptyChoice && m[list] != nil {
			m[list], done = json.RawMessage("[]"), true
		}
	}
	if !done {
		return nil
	}
	out, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return out
}

// whole is an answer in one piece. It is read as far as it can be kept before
// anything of it is passed on.
type whole struct {
	fl     *flight
	up     *observer
	loaded bool
	out    io.Reader
	then   next
}

func (w *whole) Read(p []byte) (int, error) {
	if !w.loaded {
		w.loaded = true
		body, err := io.ReadAll(io.LimitReader(w.up, parseLimit))
		if err != nil {
			return 0, err
		}
		w.load(body)
	}
	n, err := w.out.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	switch w.then {
	case end:
		w.fl.drain()
	case hold:
		return n, w.fl.hold()
	}
	return n, io.EOF
}

// load decides what becomes of a body.
func (w *whole) load(body []byte) {
	f := w.fl.fault
	w.out = io.MultiReader(bytes.NewReader(body), w.up)
	switch {
	case len(body) < 2:
		return
	case f.Mode == EmptyChoice || f.Mode == WrongModel:
		changed := f.change(body)
		if changed == nil {
			return
		}
		w.out = bytes.NewReader(changed)
	case f.Mode == Stall:
		w.out, w.then = bytes.NewReader(body[:len(body)/2]), hold
	default: // cut, truncated-json
		w.out, w.then = bytes.NewReader(body[:len(body)/2]), end
	}
	w.fl.applied = f.Mode
}

// Close leaves the member's answer to the drain, if there is one.
func (w *whole) Close() error { return w.fl.closeUp(w.up) }
