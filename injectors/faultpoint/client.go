package faultpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

// ErrDown says that no fault point answers on a socket.
var ErrDown = errors.New("the fault point does not answer")

// Client talks to a fault point through its socket.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient makes a client. It contacts nothing.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// do asks; the caller closes the body of what it gets.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "faultpoint", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the URL says nothing: the socket does
		}
		return nil, fmt.Errorf("socket %s: %w: %w", c.socket, ErrDown, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return nil, fmt.Errorf("fault point at %s: %s", c.socket, strings.TrimSpace(string(said)))
	}
	return resp, nil
}

// State asks how the fault point is. An error is ErrDown if nobody answers.
func (c *Client) State(ctx context.Context) (State, error) {
	var st State
	resp, err := c.do(ctx, http.MethodGet, "/status", nil, nil)
	if err != nil {
		return st, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		return st, fmt.Errorf("socket %s: %w: %w", c.socket, ErrDown, err)
	}
	return st, nil
}

// now is when a request is sent: the fault point may get two of them in the wrong
// order, the first from a process that was killed meanwhile.
func now() (url.Values, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return nil, fmt.Errorf("read clock: %w", err)
	}
	return url.Values{"issued": {strconv.FormatInt(ts.Nano(), 10)}}, nil
}

// Set puts a fault into force; doing so again changes nothing.
func (c *Client) Set(ctx context.Context, f Fault) error {
	at, err := now()
	if err != nil {
		return err
	}
	body, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("write fault: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPut, "/faults/"+f.ID, at, body)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Clear ends a fault, whether or not it is there.
func (c *Client) Clear(ctx context.Context, id string) error {
	at, err := now()
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodDelete, "/faults/"+id, at, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Exchanges yields every exchange from a number on that ended up to now. An
// instance other than the one that the number is of, or a log that no longer
// reaches back so far, is an error, which comes last, after what there is.
func (c *Client) Exchanges(ctx context.Context, instance string, since uint64) iter.Seq2[timeline.Exchange, error] {
	return func(yield func(timeline.Exchange, error) bool) {
		st, err := c.State(ctx)
		if err != nil {
			yield(timeline.Exchange{}, err)
			return
		}
		if st.Instance != instance {
			since = 0
		}
		head, whole, err := c.read(ctx, since, func(x timeline.Exchange) bool { return yield(x, nil) })
		switch {
		case !whole && err == nil: // whoever ranges has seen enough
			return
		case err != nil:
		case head.Instance != instance:
			err = fmt.Errorf("the fault point at %s was started again at %s: what it saw before is not known",
				c.socket, st.Since.UTC().Format(time.RFC3339))
		case head.Dropped > 0:
			err = fmt.Errorf("the fault point at %s keeps %d exchanges: %d before them are not known", c.socket, logSize, head.Dropped)
		}
		if err != nil {
			yield(timeline.Exchange{}, err)
		}
	}
}

// read reads the log until its end, or until each returns false.
func (c *Client) read(ctx context.Context, since uint64, each func(timeline.Exchange) bool) (head logHead, whole bool, err error) {
	resp, err := c.do(ctx, http.MethodGet, "/exchanges", url.Values{"since": {strconv.FormatUint(since, 10)}}, nil)
	if err != nil {
		return head, false, err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	if err := d.Decode(&head); err != nil {
		return head, false, fmt.Errorf("read exchanges: %w", err)
	}
	for {
		var x Logged
		switch err := d.Decode(&x); {
		case errors.Is(err, io.EOF):
			return head, true, nil
		case err != nil:
			return head, false, fmt.Errorf("read exchanges: %w", err)
		case !each(x.Exchange):
			return head, false, nil
		}
	}
}

// answerWithin is how long a fault point may take to say how it is, and comesUp how
// long it may take to do so when it was started.
const (
	answerWithin = 2 * time.Second
	comesUp      = 10 * time.Second
)

// Ask asks the fault point of a topology how it is, within bounds.
func Ask(ctx context.Context, spec topology.FaultPointSpec) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return NewClient(spec.Socket).State(ctx)
}

// Ensure starts a fault point by its control unless it answers, and returns once it
// does.
func Ensure(ctx context.Context, fp *topology.FaultPoint) (State, error) {
	st, err := Ask(ctx, fp.Spec)
	if err == nil || !errors.Is(err, ErrDown) || ctx.Err() != nil {
		return st, err
	}
	if fp.Control == nil {
		return st, fmt.Errorf("%w: start it (firedrill faultpoint serve), or give faultPoint a control in the topology file", err)
	}
	ctx, cancel := context.WithTimeout(ctx, comesUp)
	defer cancel()
	attempts := 0
	var failed error // of the last start that did: one that ends a moment later may pass for good
	err = poll.Until(ctx, 5*time.Millisecond, func(ctx context.Context) error {
		if err := fp.Control.Start(ctx); err != nil {
			failed = err
			// What is left of the old process may be in the way of a first start.
			if attempts++; attempts >= 3 {
				err = poll.Stop(err)
			}
			return err
		}
		var err error
		st, err = Ask(ctx, fp.Spec)
		return err
	})
	if err != nil && failed != nil && !errors.Is(err, failed) {
		err = fmt.Errorf("%w: %w", err, failed)
	}
	return st, err
}
