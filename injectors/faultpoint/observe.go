package faultpoint

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// parseLimit is how much of a body is kept to be looked into.
const parseLimit = 1 << 20

// lockedBuffer keeps the beginning of what goes by.
type lockedBuffer struct {
	mu   sync.Mutex
	b    []byte
	over bool
}

func (l *lockedBuffer) keep(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if room := parseLimit - len(l.b); len(b) > room {
		b, l.over = b[:room], true
	}
	l.b = append(l.b, b...)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b
}

// capture keeps the beginning of a request's body as it is passed on.
type capture struct {
	io.ReadCloser
	said lockedBuffer
}

func (c *capture) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.said.keep(p[:n])
	return n, err
}

// Close leaves the body open: the server closes it, and see rest.
func (c *capture) Close() error { return nil }

// restWithin is how long a client may take to say the rest of its request.
const restWithin = time.Second

// rest reads what the member did not want to hear, to know what was asked.
func (c *capture) rest(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(restWithin))
	_, _ = io.CopyN(io.Discard, c, parseLimit) // a client that breaks off said no more
}

// question is what the body of a request says about it.
type question struct {
	User  string `json:"user"`
	Model string `json:"model"`
}

// readQuestion reads as much as there is: a body that is no JSON says nothing.
func readQuestion(body []byte) (q question) {
	if b := bytes.TrimLeft(body, " \t\r\n"); len(b) > 0 && b[0] == '{' {
		_ = json.Unmarshal(b, &q) // see above
	}
	return q
}

// id is the request's id: the body's field "user", or else the header X-Request-Id.
func (q question) id(h http.Header) string {
	if q.User != "" {
		return q.User
	}
	return h.Get("X-Request-Id")
}

// observer looks on while a member's answer is read.
type observer struct {
	io.ReadCloser
	good   bool // a status of 2xx
	stream bool // server-sent events
	plain  bool // neither compressed nor otherwise encoded

	// rest is the beginning of a line whose end has not come yet, or of a body.
	rest []byte
	skip bool
	// ended: the body came to its end. finished: so did the stream, by its own words.
	ended, finished bool
	usage           usage
}

func newObserver(r *http.Response) *observer {
	enc := r.Header.Get("Content-Encoding")
	return &observer{
		ReadCloser: r.Body, good: r.StatusCode/100 == 2, plain: enc == "" || enc == "identity",
		stream: strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream"),
	}
}

// usage are the tokens that an answer counts; some APIs call them input and output.
type usage struct {
	In     int64 `json:"prompt_tokens"`
	Out    int64 `json:"completion_tokens"`
	Input  int64 `json:"input_tokens"`
	Output int64 `json:"output_tokens"`
}

func (u usage) tokens() (in, out int64) { return u.In + u.Input, u.Out + u.Output }

// Read passes on what the member says, after a glance at it.
func (o *observer) Read(p []byte) (int, error) {
	n, err := o.ReadCloser.Read(p)
	if n > 0 && o.good && o.plain {
		o.see(p[:n])
	}
	if err == io.EOF && !o.ended {
		o.ended = true
		o.line(o.rest)
		o.rest = nil
	}
	return n, err
}

func (o *observer) see(b []byte) {
	if !o.stream {
		o.keep(b)
		return
	}
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			o.keep(b)
			return
		}
		if len(o.rest) == 0 && !o.skip {
			o.line(b[:i])
		} else if o.keep(b[:i]); !o.skip {
			o.line(o.rest)
		}
		o.rest, o.skip = o.rest[:0], false
		b = b[i+1:]
	}
}

// keep puts the beginning of something longer by, within bounds.
func (o *observer) keep(b []byte) {
	if len(o.rest)+len(b) > parseLimit {
		o.rest, o.skip = o.rest[:0], true
	}
	if !o.skip {
		o.rest = append(o.rest, b...)
	}
}

// line looks at one line of a stream, or at a whole body.
func (o *observer) line(b []byte) {
	if o.stream {
		data, is := bytes.CutPrefix(b, []byte("data:"))
		if !is {
			return
		}
		b = bytes.TrimSpace(data)
		if bytes.Equal(b, []byte("[DONE]")) || finishReason(b) || bytes.Contains(b, []byte(`"response.completed"`)) {
			o.finished = true
		}
	}
	// A text that is quoted has its own quotes escaped: this is a key, or nothing.
	i := bytes.LastIndex(b, []byte(`"usage"`))
	if i < 0 {
		return
	}
	rest := bytes.TrimLeft(b[i+len(`"usage"`):], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return
	}
	u := o.usage
	if json.NewDecoder(bytes.NewReader(rest[1:])).Decode(&u) == nil {
		o.usage = u
	}
}

// finishReason tells whether an event gives a reason why there is no more to come.
func finishReason(b []byte) bool {
	_, rest, found := bytes.Cut(b, []byte(`"finish_reason"`))
	rest = bytes.TrimLeft(rest, " :")
	return found && len(rest) > 0 && rest[0] == '"'
}

// billed tells whether the member answered in full, as far as can be seen.
func (o *observer) billed() bool {
	if o.stream && o.plain {
		return o.good && o.finished
	}
	return o.good && o.ended
}
