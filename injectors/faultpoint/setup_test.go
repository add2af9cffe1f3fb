package faultpoint_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
	"firedrill/injectors/faultpoint"
)

const (
	patience = 10 * time.Second
	tick     = 5 * time.Millisecond
)

// vendor is a server that answers like an OpenAI-compatible API, and knows what it
// was asked.
type vendor struct {
	*httptest.Server
	mu    sync.Mutex
	asked []*http.Request
	said  [][]byte
	// gate is received from before each event of a stream but the first; closed: it
	// streams as fast as it can.
	gate chan struct{}
	// canceled counts requests that were given up before their answer was whole.
	canceled int
}

// streamEvents are the events of every stream.
func streamEvents() []string {
	evs := []string{`{"id":"c-1","object":"chat.completion.chunk","model":"small","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`}
	for i := range 5 {
		evs = append(evs, fmt.Sprintf(`{"id":"c-1","object":"chat.completion.chunk","model":"small","choices":[{"index":0,"delta":{"content":"word%d "},"finish_reason":null}]}`, i))
	}
	return append(evs, `{"id":"c-1","object":"chat.completion.chunk","model":"small","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		`{"id":"c-1","object":"chat.completion.chunk","model":"small","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}`, "[DONE]")
}

const wholeAnswer = `{"id":"c-1","object":"chat.completion","model":"small","choices":[{"index":0,"message":{"role":"assistant","content":"a \"usage\": b"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}}`

func newVendor(t testing.TB) *vendor {
	t.Helper()
	v := &vendor{gate: make(chan struct{})}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.mu.Lock()
	v.asked, v.said = append(v.asked, r), append(v.said, body)
	v.mu.Unlock()
	var q struct{ Stream bool }
	_ = json.Unmarshal(body, &q)
	switch {
	case r.URL.Path == "/boom":
		panic(http.ErrAbortHandler)
	case q.Stream:
		v.stream(w, r)
	case r.URL.Path == "/plain":
		w.Header()["Date"], w.Header()["Content-Type"] = nil, nil
		w.Header().Set("X-Vendor", "a")
		w.Header().Add("X-Vendor", "b")
		fmt.Fprint(w, "<html>", r.Host, " ", r.RequestURI)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, wholeAnswer)
	}
}

func (v *vendor) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i, ev := range streamEvents() {
		if i > 0 {
			select {
			case <-v.gate:
			case <-r.Context().Done():
				v.mu.Lock()
				v.canceled++
				v.mu.Unlock()
				return
			}
		}
		fmt.Fprintf(w, "data: %s\n\n", ev)
		http.NewResponseController(w).Flush()
	}
}

func (v *vendor) requests() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.asked)
}

func (v *vendor) last() (*http.Request, []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[len(v.asked)-1], v.said[len(v.said)-1]
}

// freeAddress is an address that nobody listens at.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// stand is a fault point in front of a vendor.
type stand struct {
	*faultpoint.Client
	t      testing.TB
	vendor *vendor
	addr   string
	socket string
}

func newStand(t testing.TB) *stand {
	t.Helper()
	v := newVendor(t)
	s := &stand{t: t, vendor: v, addr: freeAddress(t), socket: socketPath(t)}
	s.Client = faultpoint.NewClient(s.socket)
	serve(t, faultpoint.Config{Socket: s.socket, Points: []faultpoint.Point{{Member: "a", Listen: s.addr, Upstream: v.URL}}})
	return s
}

func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fd-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// serve runs a fault point until the test ends.
func serve(t testing.TB, cfg faultpoint.Config) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- faultpoint.Serve(ctx, cfg, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the fault point does not end")
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
	}
}

// fault makes a fault of all requests, unless change says otherwise.
func (s *stand) fault(mode faultpoint.Mode, change func(*faultpoint.Fault)) faultpoint.Fault {
	f := faultpoint.Fault{
		ID: "f-" + string(mode), Members: []string{"a"}, Mode: mode, Share: 1, Status: 503, After: 3, Model: "other",
		Delay: duration("1h"), Expires: time.Now().Add(time.Hour),
	}
	if change != nil {
		change(&f)
	}
	require.NoError(s.t, s.Set(s.t.Context(), f))
	return f
}

func (s *stand) clear(f faultpoint.Fault) {
	s.t.Helper()
	require.NoError(s.t, s.Clear(s.t.Context(), f.ID))
}

// fresh is a client that reuses no connection.
func fresh() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// chat is the body of a request.
func chat(id string, stream bool) string {
	return fmt.Sprintf(`{"model":"small","stream":%t,"user":%q,"messages":[]}`, stream, id)
}

func (s *stand) post(c *http.Client, body string, header ...string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/v1/chat/completions", strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return c.Do(req)
}

// ask posts and reads the whole answer.
func (s *stand) ask(body string, header ...string) (int, string, error) {
	resp, err := s.post(fresh(), body, header...)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// exchange waits until the log has the exchange with that id.
func (s *stand) exchange(id string, ok func(timeline.Exchange) bool) timeline.Exchange {
	s.t.Helper()
	var found timeline.Exchange
	require.Eventually(s.t, func() bool {
		for _, x := range s.exchanges() {
			if x.ID == id {
				found = x
				return ok == nil || ok(x)
			}
		}
		return false
	}, patience, tick, "exchange %s: %+v", id, &found)
	return found
}

func (s *stand) exchanges() []timeline.Exchange {
	st, err := s.State(s.t.Context())
	require.NoError(s.t, err)
	var out []timeline.Exchange
	for x, err := range s.Exchanges(s.t.Context(), st.Instance, 0) {
		require.NoError(s.t, err)
		out = append(out, x)
	}
	return out
}

// raw is a connection that a test speaks HTTP on by hand.
type raw struct {
	net.Conn
	in *bufio.Reader
}

func (s *stand) dial() *raw {
	s.t.Helper()
	c, err := net.DialTimeout("tcp", s.addr, patience)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return &raw{Conn: c, in: bufio.NewReader(c)}
}

func (c *raw) send(body string) error {
	_, err := fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err
}

// answer reads a whole answer.
func (c *raw) answer() ([]byte, error) {
	body, err := c.head()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(body)
}

// head reads an answer's header, and returns its body.
func (c *raw) head() (io.Reader, error) {
	resp, err := http.ReadResponse(c.in, nil) //nolint:bodyclose // the connection is closed with the test
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// silent returns nil if nothing comes for a while.
func (c *raw) silent() error {
	c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	defer c.SetDeadline(time.Now().Add(patience))
	b, err := c.in.ReadByte()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("got %q, %w", b, err)
}

func events(body string) []string {
	var out []string
	for ev := range strings.SplitSeq(body, "\n\n") {
		if data, is := strings.CutPrefix(ev, "data: "); is {
			out = append(out, data)
		}
	}
	return out
}

func compact(b string) string {
	var out bytes.Buffer
	if json.Compact(&out, []byte(b)) != nil {
		return "not JSON: " + b
	}
	return out.String()
}
