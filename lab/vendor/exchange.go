package vendor

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody is how long a request's body may be.
const maxBody = 16 << 20

var errTooLarge = errors.New("the body is too large")

// exchange is a request and its answer. When an answer cannot go on, its methods
// panic with http.ErrAbortHandler, which is how a handler of net/http gives a
// connection up.
type exchange struct {
	v    *Vendor
	w    http.ResponseWriter
	r    *http.Request
	rc   *http.ResponseController
	link *link
	rec  *record
	raw  []byte // the request's body
	cut  error  // why it did not come whole
	bad  error  // why it means nothing
	op   string
	// model is the one that was asked for.
	model string
	key   bool
	mode  Mode    // what is to be done to this request
	known *active // the mode that was in force when that was drawn
}

// open reads a request and writes it into the log.
func (v *Vendor) open(w http.ResponseWriter, r *http.Request) *exchange {
	e := Entry{Vendor: v.cfg.Name, From: time.Now(), Op: operation(r.URL.Path), Key: v.accepts(r)}
	x := &exchange{v: v, w: w, r: r, rc: http.NewResponseController(w), op: e.Op, key: e.Key}
	x.link, _ = r.Context().Value(linkKey{}).(*link)
	var asked struct {
		Model  string `json:"model"`
		User   string `json:"user"`
		Stream bool   `json:"stream"`
	}
	x.raw, x.cut = io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case len(x.raw) > maxBody:
		x.bad = errTooLarge
	case e.Op != OpModels:
		x.bad = json.Unmarshal(x.raw, &asked)
	}
	e.ID, e.Model, e.Stream, x.model = asked.User, asked.Model, asked.Stream && e.Op == OpChat, asked.Model
	x.mode, x.known = v.draw(e)
	e.Mode = x.mode.Name
	x.rec = v.log.begin(e)
	h := w.Header()
	h.Set("X-Vendor", v.cfg.Name)
	h.Set("X-Request-Id", "req_"+v.token())
	h.Set("Openai-Version", "2020-10-01")
	return x
}

// operation is what a path is for.
func operation(path string) string {
	switch {
	case path == "/v1/models", strings.HasPrefix(path, "/v1/models/"):
		return OpModels
	case path == "/v1/chat/completions":
		return OpChat
	case path == "/v1/embeddings":
		return OpEmbedding
	case path == "/v1/rerank":
		return OpRerank
	}
	return ""
}

// accepts tells whether a request has the key.
func (v *Vendor) accepts(r *http.Request) bool {
	if v.cfg.Key == "" {
		return true
	}
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(key), []byte(v.cfg.Key)) == 1
}

// token returns a name that this vendor has not given to anything yet.
func (v *Vendor) token() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, v.cfg.Name, " ", v.serial.Add(1))))[:29]
}

// decode reads the request's body; anything that does not fit is a problem.
func (x *exchange) decode(into any) *problem {
	err := json.Unmarshal(x.raw, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		p := invalid(wrong.Field, "Invalid type for '%s': got %s instead.", wrong.Field, wrong.Value)
		p.Code = ptr("invalid_type")
		return p
	case err != nil:
		return invalid("", "%s", err)
	}
	return nil
}

// close writes what became of the request into the log.
func (x *exchange) close() {
	x.rec.update(func(e *Entry) {
		if e.To.IsZero() {
			e.To = time.Now()
		}
		x.v.log.end(*e)
	})
}

// gone gives the request up: its connection is no more. Who closed it is noted.
func (x *exchange) gone() {
	x.rec.update(func(e *Entry) {
		switch {
		case x.link != nil && x.link.cut.Load():
			e.Mode = Refused
		case !x.v.isClosed():
			e.Aborted = true
		}
	})
	panic(http.ErrAbortHandler)
}

func (v *Vendor) isClosed() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.closed
}

// reset sends a TCP reset.
func (x *exchange) reset() {
	if c, ok := x.link.Conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // a connection that is gone needs no reset
	}
	panic(http.ErrAbortHandler)
}

// hold answers nothing any more, until the connection is closed.
func (x *exchange) hold() {
	<-x.r.Context().Done()
	x.gone()
}

// wait lets time pass.
func (x *exchange) wait(d time.Duration) {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-x.r.Context().Done():
		}
	}
	if x.r.Context().Err() != nil {
		x.gone()
	}
	if x.swallowed() {
		x.rec.update(func(e *Entry) { e.Mode = BlackHole })
		x.hold()
	}
}

// swallowed tells whether the vendor has become a black hole for this request since
// it was last looked at.
func (x *exchange) swallowed() bool {
	x.v.mu.Lock()
	now := x.v.mode
	x.v.mu.Unlock()
	if now == x.known {
		return false
	}
	x.known = now
	if now.Name != BlackHole {
		return false
	}
	var m Mode
	m, x.known = x.v.draw(x.rec.entry())
	return m.Name == BlackHole
}

// send writes a piece of an answer, and lets it leave at once.
func (x *exchange) send(b []byte) {
	if err := x.write(b); err != nil {
		x.gone()
	}
}

func (x *exchange) write(b []byte) error {
	if _, err := x.w.Write(b); err != nil {
		return err
	}
	return x.rc.Flush()
}

// lastWithin bounds how long the last piece of an answer waits for a client that
// does not read: the log waits with it.
const lastWithin = 5 * time.Second

// last writes the last piece of an answer and what that came to in one go: no
// client sees an answer that is not in the log.
func (x *exchange) last(b []byte, complete bool) {
	x.wait(0)
	// Every connection has deadlines; one that is gone shows it in the next line.
	_ = x.rc.SetWriteDeadline(time.Now().Add(lastWithin))
	x.rec.mu.Lock()
	err := x.write(b)
	if err == nil {
		x.rec.e.Complete, x.rec.e.To = complete, time.Now()
	}
	x.rec.mu.Unlock()
	if err != nil {
		x.gone()
	}
}

// start writes the head of an answer. length is that of the body, -1 for a stream.
func (x *exchange) start(status int, kind string, length int) {
	h := x.w.Header()
	h.Set("Content-Type", kind)
	if length >= 0 {
		h.Set("Content-Length", strconv.Itoa(length))
	}
	x.rec.update(func(e *Entry) { e.Status = status })
	x.w.WriteHeader(status)
}

// first notes that a token is about to be written, if it is the first.
func (x *exchange) first() {
	x.rec.update(func(e *Entry) {
		if e.First.IsZero() {
			e.First = time.Now()
		}
	})
}

// body answers with a whole body that is no answer to what was asked.
func (x *exchange) body(status int, kind string, b []byte) {
	x.start(status, kind, len(b))
	x.first()
	x.last(b, false)
}

// answer answers what was asked in one piece, tokens long, or as the mode has it.
// whole tells that the value is what was asked for.
func (x *exchange) answer(value any, tokens int, whole bool) {
	const kind = "application/json"
	b := append(encode(value), '\n')
	half := len(b) / 2
	if x.mode.Name == SlowFirstToken {
		x.wait(x.mode.Delay.Std())
	}
	switch x.mode.Name {
	case TruncatedJSON:
		x.body(http.StatusOK, kind, b[:half])
		return
	case Stall, Cut:
		x.start(http.StatusOK, kind, len(b))
		x.first()
		x.send(b[:half])
		if x.mode.Name == Cut {
			panic(http.ErrAbortHandler)
		}
		x.pause()
		b = b[half:]
	default:
		x.start(http.StatusOK, kind, len(b))
		x.first()
	}
	x.rec.update(func(e *Entry) { e.Tokens = tokens })
	x.last(b, whole)
}

// pause is the silence of a stall.
func (x *exchange) pause() {
	if x.mode.Delay == 0 {
		x.hold()
	}
	x.wait(x.mode.Delay.Std())
}

// named is the model that the answer names.
func (x *exchange) named() string {
	if x.mode.Name == WrongModel {
		return "another-" + x.model
	}
	return x.model
}

// models answers with the list of models, or with one of them.
func (x *exchange) models() {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		Owner   string `json:"owned_by"`
	}
	list := []model{}
	for _, id := range x.v.cfg.Models {
		if x.mode.Name != ModelGone || len(x.mode.Models) > 0 && !slices.Contains(x.mode.Models, id) {
			list = append(list, model{ID: id, Object: "model", Created: released, Owner: x.v.cfg.Name})
		}
	}
	id, one := strings.CutPrefix(x.r.URL.Path, "/v1/models/")
	if !one {
		x.answer(map[string]any{"object": "list", "data": list}, 0, true)
		return
	}
	for _, m := range list {
		if m.ID == id {
			x.answer(m, 0, true)
			return
		}
	}
	x.fail(*noModel(id))
}

// released is when every model came out, in seconds since 1970.
const released = 1_700_000_000
