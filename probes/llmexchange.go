package probes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/respjson"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// exchange is one request to a model. It is the http.RoundTripper that the official
// client sends that request with, on a given connection, and it keeps what the client
// does not show: when the bytes came, how the body ended, what lines were passed over.
type exchange struct {
	conn    *http.ClientConn
	clock   timeline.Clock
	start   timeline.Offset
	secrets redactor
	// req is what is recorded.
	req timeline.Request
	// status and header are the answer's; err is why there is none.
	status string
	header http.Header
	err    error
	body   *tap
	// last is when the last piece came, of so many.
	last   timeline.Offset
	pieces int
	// fingerprint is the answer's system_fingerprint.
	fingerprint string
	// closing tells that the server will close the connection.
	closing bool
}

func newExchange(p *llmProbe) *exchange {
	return &exchange{
		clock: p.subject.Clock, start: p.subject.Clock.Now(), secrets: p.secrets, body: &tap{},
		req: timeline.Request{ID: p.nextID(), Op: p.kind.op},
	}
}

// RoundTrip sends the request on the exchange's connection.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	if host := r.Header.Get("Host"); host != "" {
		r = r.WithContext(r.Context()) // a copy: a RoundTripper changes no request
		r.Host = host
	}
	resp, err := roundTrip(x.conn, r)
	if err != nil {
		x.err = err
		return nil, err
	}
	x.status, x.header, x.req.Status, x.closing = resp.Status, resp.Header, resp.StatusCode, resp.Close
	x.body = &tap{from: resp.Body, clock: x.clock}
	resp.Body = x.body
	return resp, nil
}

// tail bounds what is read of a stream behind its [DONE], so that its connection can
// be used again.
const (
	tailTime  = 100 * time.Millisecond
	tailBytes = 64 << 10
)

// end is called when the answer was judged. It says whether the connection can be used
// again: that of an answer that broke off is not. cancel ends the request.
func (x *exchange) end(cancel func(), pooled bool) (keep bool) {
	if x.body.from == nil {
		return false
	}
	if pooled && x.body.done && x.body.err == nil {
		late := time.AfterFunc(tailTime, cancel)
		_, _ = io.CopyN(io.Discard, x.body, tailBytes)
		late.Stop()
	}
	_ = x.body.from.Close()
	return errors.Is(x.body.err, io.EOF) && !x.closing && x.req.Outcome != timeline.Cut
}

// piece notes a piece of the answer; content tells that it has some.
func (x *exchange) piece(content bool) {
	switch {
	case x.req.First == 0 && !content:
		return
	case x.req.First == 0:
		x.req.First = x.body.at
	default:
		x.req.Stall = max(x.req.Stall, x.body.at-x.last)
	}
	x.last = x.body.at
	if content {
		x.pieces++
	}
}

// names notes what the answer says of who gave it.
func (x *exchange) names(model string, fingerprint respjson.Field) {
	if model != "" {
		x.req.Model = model
	}
	var text string
	if json.Unmarshal([]byte(fingerprint.Raw()), &text) == nil && text != "" {
		x.fingerprint = text
	}
}

// whole is the observation of an answer that is as it should be.
func (x *exchange) whole() drills.Observation {
	x.req.Outcome = timeline.Whole
	return drills.Observation{Class: timeline.OK}
}

// wrong is that of an answer that looks like a success and is not the one wanted.
func (x *exchange) wrong(format string, args ...any) drills.Observation {
	x.req.Outcome = timeline.Wrong
	return drills.Observation{Class: timeline.WrongAnswer, Detail: firstLine(fmt.Sprintf(format, args...))}
}

// cut is that of an answer that looks like a success and is not whole.
func (x *exchange) cut(format string, args ...any) drills.Observation {
	x.req.Outcome = timeline.Cut
	return drills.Observation{Class: timeline.Truncated, Detail: firstLine(fmt.Sprintf(format, args...))}
}

// failed is that of a request for which the client returned err.
func (x *exchange) failed(ctx context.Context, err error) drills.Observation {
	x.req.Outcome = timeline.Failed
	var streamed *ssestream.StreamError
	switch {
	case ctx.Err() != nil:
		x.req.Outcome = timeline.Unanswered
		return drills.Observation{Class: classOf(ctx, err, timeline.Timeout), Detail: x.overdue(err)}
	case x.err != nil:
		if x.conn == nil {
			return failed(ctx, x.err, timeline.Error)
		}
		return failed(ctx, x.err, timeline.WrongAnswer) // what is no HTTP at all comes back as an error too
	case x.req.Status >= http.StatusMultipleChoices:
		return drills.Observation{Class: statusClass(x.req.Status), Detail: x.refusal(err)}
	case x.body.err != nil && !errors.Is(x.body.err, io.EOF):
		return failed(ctx, fmt.Errorf("the answer broke off after %d bytes: %w", x.body.size, x.body.err), timeline.Error)
	case errors.As(err, &streamed):
		return drills.Observation{Class: errorClass(streamed.Event.Data), Detail: firstLine(fmt.Sprintf("after %d pieces: %s", x.pieces, streamed.Message))}
	}
	return drills.Observation{Class: timeline.WrongAnswer, Detail: x.unreadable(err)}
}

// overdue says how far a request got that did not end by its deadline.
func (x *exchange) overdue(err error) string {
	switch {
	case x.req.First > 0:
		wait := x.clock.Now() - x.last
		x.req.Stall = max(x.req.Stall, wait)
		return fmt.Sprintf("stalled after %d pieces: nothing for %s", x.pieces, time.Duration(wait).Round(time.Millisecond))
	case x.header != nil:
		return firstLine(fmt.Sprintf("status %s, and no answer in time after %d bytes", x.status, x.body.size))
	}
	return firstLine(err.Error())
}

// statusClass is the class of an answer with that status.
func statusClass(status int) timeline.Class {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return timeline.Auth
	case http.StatusTooManyRequests:
		return timeline.RateLimited
	}
	return timeline.Error
}

// errorClass is the class of an error that comes amid a stream.
func errorClass(data []byte) timeline.Class {
	var e struct {
		Error struct {
			Code json.RawMessage `json:"code"`
			Type string          `json:"type"`
		} `json:"error"`
	}
	_ = json.Unmarshal(data, &e)
	for _, word := range []string{strings.Trim(string(e.Error.Code), `"`), e.Error.Type} {
		switch word {
		case "429", "rate_limit_exceeded", "rate_limit_error", "insufficient_quota":
			return timeline.RateLimited
		case "401", "403", "invalid_api_key", "authentication_error", "permission_error":
			return timeline.Auth
		}
	}
	return timeline.Error
}

// refusal says what an answer with another status than 2xx says.
func (x *exchange) refusal(err error) string {
	said := x.excerpt()
	var api *openai.Error
	if errors.As(err, &api) && api.Message != "" {
		said = orElse(api.Code, api.Type) + ": " + api.Message
	}
	if to := x.header.Get("Location"); to != "" {
		said = "no redirect is followed, to " + to
	}
	return firstLine(fmt.Sprintf("status %s: %s", x.status, x.cutTo(150, strings.TrimPrefix(said, ": "))))
}

// unreadable says what an answer is that the client could make nothing of.
func (x *exchange) unreadable(err error) string {
	switch {
	case x.body.html():
		return "the answer is HTML, not JSON: " + x.excerpt()
	case len(x.body.head) == 0:
		return "the answer is empty"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Sprintf("the JSON breaks off after %d bytes", x.body.size)
	case x.pieces > 0:
		return firstLine(fmt.Sprintf("after %d pieces: %v", x.pieces, err))
	}
	return firstLine(fmt.Sprintf("%v: %s", err, x.excerpt()))
}

// cutTo is the beginning of what the service said, on one line and without secrets,
// which are taken out before it is cut.
func (x *exchange) cutTo(most int, said string) string {
	return fmt.Sprintf("%.*s", most, x.secrets.clean(strings.Join(strings.Fields(said), " ")))
}

// excerpt is how the answer begins; of a page, what it is called.
func (x *exchange) excerpt() string {
	said := string(x.body.head)
	if x.body.html() {
		if _, rest, ok := strings.Cut(said, "<title>"); ok {
			said, _, _ = strings.Cut(rest, "<")
		}
	}
	return x.cutTo(120, said)
}

// tap is an answer's body as the client reads it.
type tap struct {
	from  io.ReadCloser
	clock timeline.Clock
	// head is how it begins, size how long it is so far, at when the last of it came.
	head []byte
	size int64
	at   timeline.Offset
	// err is how reading ended: io.EOF if in good order, nil if it did not.
	err error
	eventLines
}

// How much of a body is kept for details, and how long one may be.
const (
	headBytes = 2 << 10
	bodyMost  = 64 << 20
)

// Read reads on, and notes when something came.
func (t *tap) Read(b []byte) (int, error) {
	n, err := t.from.Read(b)
	if n > 0 {
		t.at = t.clock.Now()
		t.size += int64(n)
		t.head = append(t.head, b[:min(n, headBytes-len(t.head))]...)
		t.take(b[:n])
	}
	if err == nil && t.size > bodyMost {
		err = fmt.Errorf("it is longer than %d MiB", bodyMost>>20)
	}
	if err != nil {
		t.err = err
		t.look() // at a last line that nothing ends
	}
	return n, err
}

// Close leaves the body open: what is left of it is read when the answer was judged.
func (t *tap) Close() error { return nil }

// html tells whether it is a page for browsers.
func (t *tap) html() bool { return bytes.HasPrefix(bytes.TrimSpace(t.head), []byte("<")) }

// eventLines watches the lines of a stream of server-sent events.
type eventLines struct {
	line []byte
	// data tells that there was an event, done that one was [DONE].
	data, done bool
	// odd is the first line that is none of an event: clients pass over it.
	odd string
}

// lineBytes is how much of a line is looked at.
const lineBytes = 2 << 10

func (l *eventLines) take(b []byte) {
	for {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		l.line = append(l.line, line[:min(len(line), lineBytes-len(l.line))]...)
		if !ended {
			return
		}
		l.look()
		l.line, b = l.line[:0], rest
	}
}

// look judges a line.
func (l *eventLines) look() {
	line := bytes.TrimSuffix(l.line, []byte("\r"))
	name, value, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case "", "event", "id", "retry": // a comment, or the end of an event, among them
	case "data":
		l.data = true
		l.done = l.done || bytes.HasPrefix(bytes.TrimPrefix(value, []byte(" ")), []byte("[DONE]"))
	default:
		if l.odd == "" {
			l.odd = string(line)
		}
	}
}
