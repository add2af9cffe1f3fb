package faultpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"firedrill/drills/timeline"
)

// drainWithin is how long a member may go on answering after who asked has got all
// that a fault lets him have. A proxy that stopped reading would cancel the
// request at the member, and nobody would know what it would have asked money for.
const drainWithin = 10 * time.Second

// flight is one request on its way through a point.
type flight struct {
	point *point
	conn  *conn
	x     timeline.Exchange
	// said is the beginning of the request's body: kept by, while it is passed on,
	// or read before, where a fault may depend on it.
	said   []byte
	by     *capture
	header http.Header

	fault *active
	// applied is what was done: a fault that chose the request may not fit its answer.
	applied Mode
	watch   *observer

	// ctx ends when who asked has gone.
	ctx context.Context
	// detach lets the request to the member outlive ctx, cancel ends it.
	detach, cancel func()
	draining       bool
	// seq is filled in once the flight is in the log.
	seq    uint64
	logged chan struct{}
}

type flightKey struct{}

func flightOf(ctx context.Context) *flight {
	fl, _ := ctx.Value(flightKey{}).(*flight)
	return fl
}

// ServeHTTP passes a request on, or does to it what a fault says.
func (p *point) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.count.Add(1)
	fl := &flight{
		point: p, ctx: r.Context(), header: r.Header, logged: make(chan struct{}),
		x: timeline.Exchange{Member: p.Member, Path: r.URL.Path, From: time.Now()},
	}
	fl.conn, _ = r.Context().Value(connKey{}).(*conn)
	// What the member does not send, the server is not to add.
	w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
	// A member may begin to answer while it is still being asked.
	_ = http.NewResponseController(w).EnableFullDuplex()
	if faults := p.faults.Load(); faults != nil {
		q := fl.read(r)
		fl.fault = choose(*faults, p.Member, q)
	} else if r.Body != nil && r.Body != http.NoBody {
		fl.by = &capture{ReadCloser: r.Body}
		r.Body = fl.by
	}
	whole := false
	defer func() { fl.land(whole) }()
	whole = fl.fly(w, r)
}

// read reads what a fault may depend on, as far as it can be kept.
func (fl *flight) read(r *http.Request) asked {
	q := asked{path: r.URL.Path}
	q.bearer, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.Body == nil || r.Body == http.NoBody {
		return q
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, parseLimit))
	fl.said = b
	q.model = readQuestion(b).Model
	rest := r.Body
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(b), rest), rest}
	if err != nil { // the member is to see that it broke off
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(b), broken{err}), rest}
	}
	return q
}

type broken struct{ error }

func (b broken) Read([]byte) (int, error) { return 0, b.error }

// fly does what the fault says, and tells whether the answer was passed on in full.
func (fl *flight) fly(w http.ResponseWriter, r *http.Request) (whole bool) {
	f := fl.fault
	if f == nil {
		fl.pass(w, r)
		return true
	}
	switch at := places[f.Mode]; {
	case at == insteadOfTheMember:
		fl.applied = f.Mode
		_, _ = io.Copy(io.Discard, r.Body) // answering before all is said is another failure
		_ = f.answer(w, readQuestion(fl.said).Model)
		return false
	case f.Mode == Reset:
		fl.applied = f.Mode
		reset(w)
		return false
	case f.Mode == BlackHole:
		fl.applied = f.Mode
		_, _ = io.Copy(io.Discard, r.Body) // only then a client that goes away is noticed
		fl.pause(0)
		panic(http.ErrAbortHandler)
	case at == beforeTheMember:
		fl.applied = f.Mode
		if !fl.wait(f.Delay.Std()) {
			panic(http.ErrAbortHandler)
		}
		fl.pass(w, r)
		return true
	}
	fl.passSpoilt(w, r)
	return fl.applied == "" || fl.applied == SlowFirstToken
}

func (fl *flight) pass(w http.ResponseWriter, r *http.Request) {
	fl.point.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), flightKey{}, fl)))
}

// passSpoilt passes a request on whose answer will be changed. The request to the
// member may go on after the client has got all that it will get. A client may well go
// away between the last of that and the draining, so that its going ends nothing at once.
func (fl *flight) passSpoilt(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), func() { time.AfterFunc(drainWithin, cancel) })
	fl.cancel, fl.detach = cancel, func() { stop() }
	defer func() {
		if !fl.draining {
			cancel()
		}
	}()
	fl.point.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, flightKey{}, fl)))
}

// reset ends the connection that a request came on with a TCP reset.
func reset(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	plain(c).reset()
}

// wait waits for so long, or until the fault is cleared. It returns false if who
// asked has gone.
func (fl *flight) wait(d time.Duration) bool { return fl.pause(d) || fl.ctx.Err() == nil }

// pause waits for so long (0: for ever), until the fault is cleared or who asked
// has gone. It returns true if the time has passed.
func (fl *flight) pause(d time.Duration) bool {
	var up <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		up = t.C
	}
	select {
	case <-up:
		return true
	case <-fl.fault.gone:
	case <-fl.ctx.Done():
	}
	return false
}

// hold lets nothing more come until the fault is cleared.
func (fl *flight) hold() error {
	fl.drain()
	fl.pause(0)
	return errHeld
}

// drain reads the rest of the member's answer, for a while, without anybody to
// pass it on to.
func (fl *flight) drain() {
	if fl.draining {
		return
	}
	fl.draining = true
	fl.detach()
	go func() {
		late := time.AfterFunc(drainWithin, fl.cancel)
		defer late.Stop()
		_, _ = io.Copy(io.Discard, fl.watch) // a member that breaks off has not answered in full
		fl.watch.Close()
		fl.cancel()
		<-fl.logged
		fl.point.log.amend(fl.seq, fl.account)
	}()
}

// closeUp closes the member's answer, unless it is still being drained.
func (fl *flight) closeUp(o *observer) error {
	if fl.draining {
		return nil
	}
	return o.Close()
}

// account writes down what the member will ask money for.
func (fl *flight) account(x *timeline.Exchange) {
	if fl.watch == nil {
		return
	}
	x.Billed = fl.watch.billed()
	x.In, x.Out = fl.watch.usage.tokens()
}

// asideFrom is the length of a request that is looked into beside the way: it may
// take longer than who asked is to be kept waiting.
const asideFrom = 64 << 10

// land writes the flight into the log.
func (fl *flight) land(whole bool) {
	x := &fl.x
	x.To, x.Fault = time.Now(), string(fl.applied)
	if fl.conn != nil && fl.conn.taken() != "" {
		x.Fault, whole = string(fl.conn.taken()), false
	}
	x.Delivered = whole && x.Status != 0
	if !fl.draining {
		fl.account(x)
	}
	if fl.by != nil {
		fl.said = fl.by.said.bytes()
	}
	tell := func() {
		q := readQuestion(fl.said)
		x.ID, x.Model = q.id(fl.header), q.Model
		fl.seq = fl.point.log.put(*x)
		close(fl.logged)
	}
	if len(fl.said) > asideFrom {
		go tell()
		return
	}
	tell()
}

// modify is called with every answer of the member.
func modify(r *http.Response) error {
	fl := flightOf(r.Request.Context())
	fl.x.Status = r.StatusCode
	if r.StatusCode == http.StatusSwitchingProtocols {
		return nil // its body is a connection
	}
	fl.watch = newObserver(r)
	if f := fl.fault; f != nil && places[f.Mode] == inTheAnswer {
		r.Body = fl.watch
		fl.spoil(r)
		return nil
	}
	r.Body = fl.watch
	return nil
}

// failed is called when the member does not answer. Who asked finds the connection
// broken, as it would be without a point in between: an error status would be an
// answer that no member gave.
func (p *point) failed(w http.ResponseWriter, r *http.Request, err error) {
	if fl := flightOf(r.Context()); fl.by != nil {
		fl.by.rest(w)
	}
	if r.Context().Err() == nil {
		p.trouble(err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	reset(w)
}
