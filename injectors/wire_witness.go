package injectors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
	"firedrill/injectors/faultpoint"
)

// reply is what came of a request of firedrill's own.
type reply struct {
	status int
	header http.Header
	body   []byte
	// first is when the first piece of the body was there, all when the answer ended
	// or was given up, both since the request began.
	first, all time.Duration
	// err is why there is no answer, or no end of it.
	err error
}

// replyLimit is how much of an answer is read.
const replyLimit = 1 << 20

// ask asks and reads the answer, for so long at most.
func (q question) ask(ctx context.Context, url, method string, body []byte, within time.Duration) (r reply) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	begin := time.Now()
	defer func() { r.all = time.Since(begin) }()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	key, err := q.Key.Resolve()
	if err != nil {
		return reply{err: err}
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	client := http.Client{
		Transport:     q.point.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	r.status, r.header = resp.StatusCode, resp.Header
	piece := make([]byte, 4<<10)
	for r.err == nil && len(r.body) < replyLimit {
		var n int
		n, r.err = resp.Body.Read(piece)
		if n > 0 && r.first == 0 {
			r.first = time.Since(begin)
		}
		r.body = append(r.body, piece[:n]...)
	}
	if errors.Is(r.err, io.EOF) {
		r.err = nil
	}
	return r
}

// witness sees a fault from where those who ask stand.
type witness struct {
	question
	fault faultpoint.Fault
	id    string
	// n counts its requests.
	n int
	// itself is what the member says without the fault, once it was asked.
	itself *reply
}

// through asks by way of the fault point, direct without it.
func (w *witness) through(ctx context.Context, within time.Duration) reply {
	return w.send(ctx, w.Base, within)
}

func (w *witness) direct(ctx context.Context) (reply, error) {
	if w.itself != nil {
		return *w.itself, nil
	}
	r := w.send(ctx, w.Direct, witnessWithin)
	if r.status == 0 || r.err != nil {
		return r, fmt.Errorf("the member itself does not answer a request of firedrill's own in full: %w", r.err)
	}
	w.itself = &r
	return r, nil
}

func (w *witness) send(ctx context.Context, base string, within time.Duration) reply {
	w.n++
	id := fmt.Sprintf("firedrill-witness-%s-%d", w.id, w.n)
	return w.ask(ctx, base+w.Path, w.Method, w.body(w.fault, id), within)
}

const (
	// witnessEvery is how often a witness asks until it is hit.
	witnessEvery = 50 * time.Millisecond
	// witnessWithin is how long an answer may take that nothing holds up.
	witnessWithin = 5 * time.Second
	// silenceFrom and silenceTo bound how long nothing must come to be a silence: ten
	// times as long as it takes without the fault, within these.
	silenceFrom = 300 * time.Millisecond
	silenceTo   = 3 * time.Second
)

// Confirm asks each member the way its users do, by way of the fault point, until
// the answer fails as it is to. Where it is to be late or not to come, the member
// itself is asked as well, to tell its own slowness from the fault's.
func (f *wireFault) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	u, err := readWire(undo)
	if err != nil {
		return "", err
	}
	var said []string
	for _, q := range u.Questions {
		w := &witness{question: q, fault: f.fault, id: u.ID}
		err := poll.Until(ctx, witnessEvery, func(ctx context.Context) error {
			what, err := w.look(ctx)
			if err == nil {
				said = append(said, fmt.Sprintf("member %s: own request through %s %s", q.Member, q.at(), what))
			}
			return err
		})
		if err != nil {
			return "", fmt.Errorf("member %s: %w", q.Member, err)
		}
	}
	return strings.Join(said, "; "), nil
}

// at is host:port of the fault point.
func (q question) at() string { return q.point.Listen[q.Member] }

// look asks once, and returns what was seen if that was the fault.
func (w *witness) look(ctx context.Context) (string, error) {
	switch w.fault.Mode {
	case faultpoint.TLS:
		return w.mistrusts(ctx)
	case faultpoint.DNS:
		return w.astray(ctx)
	case faultpoint.BlackHole, faultpoint.Latency, faultpoint.SlowFirstToken:
		return w.late(ctx)
	case faultpoint.Stall:
		return w.stalled(ctx)
	case faultpoint.Cut:
		if !w.streams(w.fault) {
			return w.short(ctx)
		}
	}
	r := w.through(ctx, witnessWithin)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	what, ok := seen(w.fault, r)
	if !ok {
		return "", fmt.Errorf("own request through %s got %s, and not what %s is", w.at(), r, w.fault.Mode)
	}
	return what, nil
}

func (r reply) String() string {
	switch {
	case r.status == 0:
		return fmt.Sprintf("no answer (%v)", r.err)
	case r.err != nil:
		return fmt.Sprintf("%d and then %v", r.status, r.err)
	}
	return fmt.Sprintf("%d with %d bytes", r.status, len(r.body))
}

// statuses are those that modes answer with.
var statuses = map[faultpoint.Mode]int{
	faultpoint.Unauthorized: http.StatusUnauthorized, faultpoint.Forbidden: http.StatusForbidden,
	faultpoint.ModelGone: http.StatusNotFound, faultpoint.RateLimited: http.StatusTooManyRequests, faultpoint.Quota: http.StatusTooManyRequests,
}

// seen tells whether a reply is what a mode makes of it, and says so.
func seen(f faultpoint.Fault, r reply) (string, bool) {
	good := r.err == nil && r.status/100 == 2
	switch f.Mode {
	case faultpoint.Refused:
		return "was refused", errors.Is(r.err, syscall.ECONNREFUSED)
	case faultpoint.Reset:
		return "was reset", errors.Is(r.err, syscall.ECONNRESET) || errors.Is(r.err, syscall.EPIPE)
	case faultpoint.Cut:
		return "got an answer that ended in good order without [DONE]", good && !bytes.Contains(r.body, []byte("[DONE]"))
	case faultpoint.MalformedSSE:
		return "got an event that is no JSON", good && brokenEvent(r.body)
	case faultpoint.TruncatedJSON:
		return "got an answer that ended in good order within its JSON", good && !json.Valid(r.body)
	case faultpoint.EmptyChoice:
		return "got an answer without a choice", good && empty(r.body)
	case faultpoint.WrongModel:
		var m struct{ Model string }
		return fmt.Sprintf("got an answer of model %q", f.Model), good && json.Unmarshal(r.body, &m) == nil && m.Model == f.Model
	}
	want := f.Status
	if s := statuses[f.Mode]; s != 0 {
		want = s
	}
	ok := r.err == nil && r.status == want && (f.Mode == faultpoint.Quota) == bytes.Contains(r.body, []byte(`"insufficient_quota"`))
	return fmt.Sprintf("got %d", want), ok
}

func brokenEvent(body []byte) bool {
	for line := range bytes.Lines(body) {
		data, is := bytes.CutPrefix(line, []byte("data:"))
		if data = bytes.TrimSpace(data); is && !bytes.Equal(data, []byte("[DONE]")) && !json.Valid(data) {
			return true
		}
	}
	return false
}

func empty(body []byte) bool {
	var m struct{ Choices, Data, Results *[]json.RawMessage }
	if json.Unmarshal(body, &m) != nil {
		return false
	}
	for _, list := range []*[]json.RawMessage{m.Choices, m.Data, m.Results} {
		if list != nil && len(*list) == 0 {
			return true
		}
	}
	return false
}

// silence is how long nothing must come, where it took so long without the fault.
func silence(usual time.Duration) time.Duration {
	return min(max(10*usual, silenceFrom), silenceTo)
}

// late sees that an answer, or its first piece, does not come when it should.
func (w *witness) late(ctx context.Context) (string, error) {
	direct, err := w.direct(ctx)
	if err != nil {
		return "", err
	}
	wait := silence(direct.first)
	if d := w.fault.Delay.Std(); w.fault.Mode != faultpoint.BlackHole && d < wait {
		wait = d
	}
	if direct.first >= wait {
		return "", fmt.Errorf("the member itself takes %s: a delay of %s cannot be told from that", direct.first, wait)
	}
	begin := time.Now()
	r := w.through(ctx, wait)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case len(r.body) > 0 || !errors.Is(r.err, context.DeadlineExceeded):
		return "", fmt.Errorf("own request got %s", r)
	case w.fault.Mode == faultpoint.SlowFirstToken && r.status == 0:
		return "", fmt.Errorf("own request got %s, want a header", r)
	case w.fault.Mode == faultpoint.BlackHole && r.status != 0:
		return "", fmt.Errorf("own request got a header: %s", r)
	}
	if err := waited(begin, wait); err != nil {
		return "", err
	}
	what := "had no answer"
	if w.fault.Mode == faultpoint.SlowFirstToken {
		what = "had no more than a header"
	}
	return fmt.Sprintf("%s after %s, one to the member itself after %s", what, wait, direct.first.Round(10*time.Microsecond)), nil
}

// stalled sees that the beginning of an answer comes and the rest does not.
func (w *witness) stalled(ctx context.Context) (string, error) {
	direct, err := w.direct(ctx)
	if err != nil {
		return "", err
	}
	wait := silence(direct.all)
	begin := time.Now()
	r := w.through(ctx, wait)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case r.status == 0 || !errors.Is(r.err, context.DeadlineExceeded) || len(r.body) >= len(direct.body):
		return "", fmt.Errorf("own request got %s", r)
	}
	if err := waited(begin, wait); err != nil {
		return "", err
	}
	return fmt.Sprintf("got %d bytes of an answer and no more within %s, one to the member itself had all %d after %s",
		len(r.body), wait, len(direct.body), direct.all.Round(10*time.Microsecond)), nil
}

// short sees that an answer in one piece is shorter than the member's own.
func (w *witness) short(ctx context.Context) (string, error) {
	direct, err := w.direct(ctx)
	if err != nil {
		return "", err
	}
	if len(direct.body) < 2 {
		return "", poll.Stop(fmt.Errorf("the member's answer to %s %s has no body that could be cut: let the first of paths be one that has", w.Method, w.Path))
	}
	r := w.through(ctx, witnessWithin)
	if r.err != nil || r.status != direct.status || len(r.body) >= len(direct.body) || !bytes.HasPrefix(direct.body, r.body) && w.Op == "" {
		return "", fmt.Errorf("own request got %s, the member itself says %s", r, direct)
	}
	return fmt.Sprintf("got %d bytes that ended in good order, one to the member itself %d", len(r.body), len(direct.body)), nil
}
