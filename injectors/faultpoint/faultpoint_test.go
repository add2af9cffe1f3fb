package faultpoint_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/injectors/faultpoint"
)

func duration(s string) spec.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return spec.Duration(d)
}

func (s *stand) streamFast() { close(s.vendor.gate) }

func TestIdleStreamIsPassedOnEventByEvent(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	resp, err := s.post(http.DefaultClient, chat("id-1", true))
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	assert.Equal(t, []string{"chunked"}, resp.TransferEncoding)
	all := ""
	for i, ev := range streamEvents() {
		if i > 0 {
			s.vendor.gate <- struct{}{} // the one before has arrived: only now there is another
		}
		b := make([]byte, len(ev)+len("data: \n\n"))
		_, err := io.ReadFull(resp.Body, b)
		require.NoError(t, err)
		assert.Equal(t, "data: "+ev+"\n\n", string(b))
		all += string(b)
	}
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Empty(t, rest)
	x := s.exchange("id-1", nil)
	assert.False(t, x.From.After(x.To))
	x.From, x.To = time.Time{}, time.Time{}
	assert.Equal(t, timeline.Exchange{
		ID: "id-1", Member: "a", Path: "/v1/chat/completions", Model: "small", Status: 200, Billed: true, Delivered: true, In: 7, Out: 5,
	}, x)
}

// What is compared is the answer as it is on the wire, with and without a point in
// between, and the request as the member gets it.
func TestIdleLeavesMessagesAsTheyAre(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	direct := strings.TrimPrefix(s.vendor.URL, "http://")
	request := "POST /plain?a=1;b=%20&c HTTP/1.1\r\nHost: " + direct + "\r\nX-Forwarded-For: 192.0.2.1\r\nAccept-Encoding: br\r\n" +
		"X-Odd:  two  words \r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
	get := func(addr string) (string, *http.Request, []byte) {
		c, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, request)
		require.NoError(t, err)
		b, err := io.ReadAll(c)
		require.NoError(t, err)
		r, said := s.vendor.last()
		return string(b), r, said
	}
	want, r1, b1 := get(direct)
	got, r2, b2 := get(s.addr)
	sort := func(s string) []string { return strings.Split(s, "\r\n") }
	assert.ElementsMatch(t, sort(want), sort(got))
	assert.Contains(t, got, "X-Vendor: a\r\nX-Vendor: b\r\n")
	assert.Contains(t, got, "?a=1;b=%20&c")
	r1.Header.Del("Connection") // hop by hop
	assert.Equal(t, r1.Header, r2.Header)
	assert.Equal(t, r1.Host, r2.Host)
	assert.Equal(t, b1, b2)
}

func TestLargeBodiesPassBothWays(t *testing.T) {
	t.Parallel()
	up := newVendor(t)
	up.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	})
	addr, socket := freeAddress(t), socketPath(t)
	serve(t, faultpoint.Config{Socket: socket, Points: []faultpoint.Point{{Member: "a", Listen: addr, Upstream: up.URL}}})
	f := faultpoint.Fault{ID: "f", Members: []string{"a"}, Mode: faultpoint.Quota, Share: 1, Models: []string{"none"}, Expires: time.Now().Add(time.Hour)}
	body := `{"user":"big","pad":"` + strings.Repeat("x", 5<<20) + `"}`
	for range 2 { // without, and with a fault that has to look into requests
		resp, err := http.Post("http://"+addr+"/", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		if body != string(b) { // too long to be shown
			t.Errorf("%d bytes, want %d unchanged", len(b), len(body))
		}
		require.NoError(t, faultpoint.NewClient(socket).Set(t.Context(), f))
	}
}

// A member that does not answer is not hidden behind an answer that it did not give.
func TestMembersOwnFailuresAreBrokenConnections(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	resp, err := fresh().Get("http://" + s.addr + "/boom")
	if err == nil {
		resp.Body.Close()
	}
	require.ErrorIs(t, err, io.EOF)
	s.vendor.Close()
	_, _, err = s.ask(chat("gone", false))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	x := s.exchange("gone", nil)
	assert.Zero(t, x.Status)
	assert.Empty(t, x.Fault)
	assert.False(t, x.Delivered)
	st, err := s.State(t.Context())
	require.NoError(t, err)
	assert.Contains(t, st.Points[0].Trouble, "connection refused")
}

func TestClientThatGoesAwayCancelsTheMembersWork(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/", strings.NewReader(chat("left", true)))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	cancel()
	require.Eventually(t, func() bool { s.vendor.mu.Lock(); defer s.vendor.mu.Unlock(); return s.vendor.canceled == 1 }, patience, tick)
	x := s.exchange("left", nil)
	assert.False(t, x.Billed)
	assert.False(t, x.Delivered)
}

func TestRefusedClosesTheListenerAndTheOpenConnections(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	idle, busy := s.dial(), s.dial()
	require.NoError(t, idle.send(chat("1", false)))
	_, err := idle.answer()
	require.NoError(t, err)
	require.NoError(t, busy.send(chat("2", true)))
	body, err := busy.head()
	require.NoError(t, err)

	f := s.fault(faultpoint.Refused, nil)
	_, err = idle.in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	_, err = io.ReadAll(body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = net.Dial("tcp", s.addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.Equal(t, "refused", s.exchange("2", nil).Fault)

	s.clear(f)
	s.passes()
}

// passes sees to it that a request gets its answer.
func (s *stand) passes() {
	s.t.Helper()
	status, body, err := s.ask(chat("after", false))
	require.NoError(s.t, err)
	assert.Equal(s.t, 200, status)
	assert.Equal(s.t, wholeAnswer, body)
}

func TestResetHitsOpenAndNewConnections(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	idle := s.dial()
	require.NoError(t, idle.send(chat("1", false)))
	_, err := idle.answer()
	require.NoError(t, err)
	f := s.fault(faultpoint.Reset, nil)
	_, err = idle.in.ReadByte()
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_, _, err = s.ask(chat("reset-1", false))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	x := s.exchange("reset-1", nil)
	assert.Equal(t, "reset", x.Fault)
	assert.Equal(t, "/v1/chat/completions", x.Path)
	assert.Equal(t, "small", x.Model)
	assert.Zero(t, x.Status)
	assert.Equal(t, 1, s.vendor.requests(), "the member is not asked")
	s.clear(f)
	s.passes()
}

func TestBlackHoleSilencesOpenAndNewConnections(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	idle, busy, fresh := s.dial(), s.dial(), (*raw)(nil)
	require.NoError(t, idle.send(chat("1", false)))
	_, err := idle.answer()
	require.NoError(t, err)
	require.NoError(t, busy.send(chat("2", true)))
	body, err := busy.head()
	require.NoError(t, err)
	first := make([]byte, len(streamEvents()[0])+len("data: \n\n"))
	_, err = io.ReadFull(body, first)
	require.NoError(t, err)

	f := s.fault(faultpoint.BlackHole, nil)
	fresh = s.dial()
	require.NoError(t, fresh.send(chat("hole-1", false)))
	require.NoError(t, idle.send(chat("hole-2", false)))
	s.streamFast()
	for _, c := range []*raw{fresh, idle, busy} {
		require.NoError(t, c.silent())
	}
	s.clear(f)
	for _, c := range []*raw{fresh, idle} {
		_, err := c.in.ReadByte()
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "what was held back is given up")
	}
	assert.Equal(t, "black-hole", s.exchange("hole-1", nil).Fault)
	x := s.exchange("2", nil)
	assert.Equal(t, "black-hole", x.Fault)
	assert.True(t, x.Billed)
	assert.False(t, x.Delivered)
	s.passes()
}

func TestErrorAnswersAreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for _, c := range []struct {
		mode       faultpoint.Mode
		change     func(*faultpoint.Fault)
		status     int
		typ, code  string
		retryAfter string
	}{
		{faultpoint.Unauthorized, nil, 401, "invalid_request_error", "invalid_api_key", ""},
		{faultpoint.Forbidden, nil, 403, "request_forbidden", "unsupported_country_region_territory", ""},
		{faultpoint.ModelGone, nil, 404, "invalid_request_error", "model_not_found", ""},
		{faultpoint.RateLimited, nil, 429, "requests", "rate_limit_exceeded", ""},
		{faultpoint.RateLimited, func(f *faultpoint.Fault) { f.RetryAfter = duration("1500ms") }, 429, "requests", "rate_limit_exceeded", "2"},
		{faultpoint.Quota, func(f *faultpoint.Fault) { f.RetryAfter = duration("2s") }, 429, "insufficient_quota", "insufficient_quota", ""},
		{faultpoint.Status, nil, 503, "server_error", "", ""},
		{faultpoint.Status, func(f *faultpoint.Fault) { f.Status = 529 }, 529, "overloaded_error", "", ""},
	} {
		f := s.fault(c.mode, c.change)
		id := fmt.Sprint(c.mode, c.status, c.retryAfter)
		resp, err := s.post(http.DefaultClient, chat(id, true))
		require.NoError(t, err)
		var body struct {
			Error struct {
				Message, Type string
				Param, Code   *string
			}
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&body))
		resp.Body.Close()
		assert.Equal(t, c.status, resp.StatusCode, id)
		assert.Equal(t, "application/json", resp.Header.Get("Content-Type"))
		assert.NotEmpty(t, resp.Header.Get("Date"))
		assert.Equal(t, c.retryAfter, resp.Header.Get("Retry-After"), id)
		assert.Equal(t, c.typ, body.Error.Type, id)
		assert.NotEmpty(t, body.Error.Message)
		if c.code == "" {
			assert.Nil(t, body.Error.Code)
		} else {
			assert.Equal(t, c.code, *body.Error.Code)
		}
		x := s.exchange(id, nil)
		assert.Equal(t, string(c.mode), x.Fault)
		assert.Zero(t, x.Status)
		assert.False(t, x.Billed || x.Delivered)
		s.clear(f)
	}
	assert.Zero(t, s.vendor.requests(), "the member is not asked")
	f := s.fault(faultpoint.Status, func(f *faultpoint.Fault) { f.Body = "<html>sorry</html>" })
	status, body, err := s.ask(chat("x", false))
	require.NoError(t, err)
	assert.Equal(t, 503, status)
	assert.Equal(t, "<html>sorry</html>", body)
	s.clear(f)
	s.passes()
}

func TestSpoiltStreams(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.streamFast()
	whole := streamEvents()
	for _, c := range []struct {
		mode  faultpoint.Mode
		after int
		check func(t *testing.T, evs []string)
	}{
		{faultpoint.Cut, 3, func(t *testing.T, evs []string) { assert.Equal(t, whole[:3], evs) }},
		{faultpoint.Cut, 0, func(t *testing.T, evs []string) { assert.Empty(t, evs) }},
		{faultpoint.MalformedSSE, 2, func(t *testing.T, evs []string) {
			require.Len(t, evs, len(whole))
			assert.Equal(t, whole[:1], evs[:1])
			assert.False(t, json.Valid([]byte(evs[1])))
			assert.Equal(t, whole[2:], evs[2:])
		}},
		{faultpoint.TruncatedJSON, 2, func(t *testing.T, evs []string) {
			require.Len(t, evs, 2)
			assert.Equal(t, whole[:1], evs[:1])
			assert.False(t, json.Valid([]byte(evs[1])))
		}},
		{faultpoint.EmptyChoice, 0, func(t *testing.T, evs []string) {
			require.Len(t, evs, len(whole))
			for _, ev := range evs[:len(evs)-1] {
				assert.Contains(t, ev, `"choices":[]`)
			}
			assert.Equal(t, "[DONE]", evs[len(evs)-1])
		}},
		{faultpoint.WrongModel, 0, func(t *testing.T, evs []string) {
			require.Len(t, evs, len(whole))
			for i, ev := range evs[:len(evs)-1] {
				assert.JSONEq(t, strings.Replace(whole[i], `"model":"small"`, `"model":"other"`, 1), ev)
			}
		}},
	} {
		id := fmt.Sprint(c.mode, c.after)
		f := s.fault(c.mode, func(f *faultpoint.Fault) { f.After = c.after })
		status, body, err := s.ask(chat(id, true))
		require.NoError(t, err, "%s: the answer ends in good order", id)
		assert.Equal(t, 200, status)
		c.check(t, events(body))
		x := s.exchange(id, func(x timeline.Exchange) bool { return x.Billed })
		assert.Equal(t, string(c.mode), x.Fault, id)
		assert.False(t, x.Delivered, id)
		assert.Equal(t, int64(5), x.Out, id)
		s.clear(f)
	}
	s.passes()
}

func TestSpoiltAnswersInOnePiece(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for mode, check := range map[faultpoint.Mode]func(body string){
		faultpoint.Cut:           func(body string) { assert.Equal(t, wholeAnswer[:len(wholeAnswer)/2], body) },
		faultpoint.TruncatedJSON: func(body string) { assert.Equal(t, wholeAnswer[:len(wholeAnswer)/2], body) },
		faultpoint.EmptyChoice:   func(body string) { assert.Contains(t, compact(body), `"choices":[]`) },
		faultpoint.WrongModel: func(body string) {
			assert.JSONEq(t, strings.Replace(wholeAnswer, `"model":"small"`, `"model":"other"`, 1), body)
		},
	} {
		f := s.fault(mode, nil)
		status, body, err := s.ask(chat(string(mode), false), "Accept-Encoding", "gzip")
		require.NoError(t, err, "%s: the answer ends in good order", mode)
		assert.Equal(t, 200, status)
		check(body)
		x := s.exchange(string(mode), func(x timeline.Exchange) bool { return x.Billed })
		assert.Equal(t, string(mode), x.Fault)
		assert.False(t, x.Delivered)
		s.clear(f)
	}
	f := s.fault(faultpoint.MalformedSSE, nil)
	_, body, err := s.ask(chat("no stream", false))
	require.NoError(t, err)
	assert.Equal(t, wholeAnswer, body, "there is no event to break")
	x := s.exchange("no stream", nil)
	assert.Empty(t, x.Fault)
	assert.True(t, x.Delivered)
	s.clear(f)
}

func TestStallLeavesTheConnectionOpen(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.streamFast()
	f := s.fault(faultpoint.Stall, nil)
	for _, stream := range []bool{true, false} {
		id := fmt.Sprint("stall-", stream)
		c := s.dial()
		require.NoError(t, c.send(chat(id, stream)))
		body, err := c.head()
		require.NoError(t, err)
		want := wholeAnswer[:len(wholeAnswer)/2]
		if stream {
			want = "data: " + strings.Join(streamEvents()[:3], "\n\ndata: ") + "\n\n"
		}
		b := make([]byte, len(want))
		_, err = io.ReadFull(body, b)
		require.NoError(t, err)
		assert.Equal(t, want, string(b))
		require.NoError(t, c.silent())
		c.Close()
		x := s.exchange(id, func(x timeline.Exchange) bool { return x.Billed })
		assert.Equal(t, "stall", x.Fault)
		assert.False(t, x.Delivered)
	}
	held := s.dial()
	require.NoError(t, held.send(chat("held", true)))
	_, err := held.head()
	require.NoError(t, err)
	s.clear(f)
	_, err = io.ReadAll(held.in)
	require.NoError(t, err, "the connection is closed when the fault is cleared")
	s.passes()
}

func TestDelaysEndWithTheFault(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.streamFast()
	for _, mode := range []faultpoint.Mode{faultpoint.Latency, faultpoint.SlowFirstToken} {
		f := s.fault(mode, nil)
		c := s.dial()
		require.NoError(t, c.send(chat(string(mode), true)))
		if mode == faultpoint.SlowFirstToken {
			line, err := c.in.ReadString('\n')
			require.NoError(t, err, "the header comes at once")
			assert.Equal(t, "HTTP/1.1 200 OK\r\n", line)
			for line != "\r\n" {
				line, err = c.in.ReadString('\n')
				require.NoError(t, err)
			}
		}
		require.NoError(t, c.silent())
		s.clear(f)
		for line := ""; line != "data: "+streamEvents()[0]+"\n"; {
			var err error
			line, err = c.in.ReadString('\n')
			require.NoError(t, err)
		}
		x := s.exchange(string(mode), nil)
		assert.Equal(t, string(mode), x.Fault)
		assert.True(t, x.Delivered, "late, but in full")

		f = s.fault(mode, func(f *faultpoint.Fault) { f.Delay = duration("30ms") })
		begin := time.Now()
		_, body, err := s.ask(chat("short", true))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(begin), 30*time.Millisecond)
		assert.Equal(t, streamEvents(), events(body))
		s.clear(f)
	}
}

func TestPartOfTheRequestsOnTheirConnections(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	big := func(f *faultpoint.Fault) { f.Models = []string{"big"} }
	for _, mode := range []faultpoint.Mode{faultpoint.Reset, faultpoint.BlackHole} {
		f := s.fault(mode, big)
		c := s.dial()
		for range 2 {
			require.NoError(t, c.send(chat("small", false)))
			b, err := c.answer()
			require.NoError(t, err)
			assert.Equal(t, wholeAnswer, string(b))
		}
		id := string(mode) + "-part"
		require.NoError(t, c.send(strings.Replace(chat(id, false), "small", "big", 1)))
		if mode == faultpoint.BlackHole {
			require.NoError(t, c.silent())
			s.clear(f)
		}
		_, err := c.in.ReadByte()
		require.Error(t, err)
		if mode == faultpoint.Reset {
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}
		assert.Equal(t, string(mode), s.exchange(id, nil).Fault)
		s.clear(f)
	}
	assert.Equal(t, 4, s.vendor.requests())
}

func TestMatchers(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	f := s.fault(faultpoint.Quota, func(f *faultpoint.Fault) {
		f.Keys, f.Models, f.Paths = []string{faultpoint.HashKey("k-1")}, []string{"small"}, []string{"/v1/chat"}
	})
	for _, c := range []struct {
		key, body string
		want      int
	}{
		{"Bearer k-1", chat("1", false), 429},
		{"Bearer k-2", chat("1", false), 200},
		{"", chat("1", false), 200},
		{"Bearer k-1", strings.Replace(chat("1", false), "small", "large", 1), 200},
		{"Bearer k-1", "no JSON", 200},
	} {
		status, _, err := s.ask(c.body, "Authorization", c.key)
		require.NoError(t, err)
		assert.Equal(t, c.want, status, "%s %s", c.key, c.body)
	}
	st, err := s.State(t.Context())
	require.NoError(t, err)
	require.Len(t, st.Faults, 1)
	assert.Empty(t, st.Faults[0].Keys)
	assert.True(t, st.Faults[0].Keyed)
	assert.Equal(t, uint64(1), st.Faults[0].Hits)
	resp, err := http.Post("http://"+s.addr+"/v1/embeddings", "application/json", strings.NewReader(chat("1", false)))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 200, resp.StatusCode)
	s.clear(f)
}

// The same seed chooses the same requests, and about the share that was asked for.
func TestShareIsDrawnFromTheSeed(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	draw := func(seed uint32) (hit []int) {
		f := s.fault(faultpoint.Status, func(f *faultpoint.Fault) { f.Share, f.Seed = 0.3, seed })
		defer s.clear(f)
		for i := range 200 {
			status, _, err := s.ask(chat("x", false))
			require.NoError(t, err)
			if status == 503 {
				hit = append(hit, i)
			}
		}
		return hit
	}
	one, two := draw(1), draw(2)
	assert.Equal(t, one, draw(1))
	assert.NotEqual(t, one, two)
	assert.InDelta(t, 60, len(one), 30)
}

func TestFaultsEndByThemselves(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	soon := func(f *faultpoint.Fault) { f.Expires = time.Now().Add(2 * time.Second) } // long enough to be told of it in time
	s.fault(faultpoint.Refused, soon)
	s.fault(faultpoint.Status, soon)
	require.Eventually(t, func() bool {
		status, _, err := s.ask(chat("x", false))
		return err == nil && status == 200
	}, patience, tick)
	st, err := s.State(t.Context())
	require.NoError(t, err)
	assert.Empty(t, st.Faults)
	assert.True(t, st.Points[0].Listening)
	err = s.Set(t.Context(), faultpoint.Fault{ID: "late", Members: []string{"a"}, Mode: faultpoint.Reset, Share: 1, Expires: time.Now().Add(-time.Second)})
	assert.ErrorContains(t, err, "is over")
}

func TestSettingAndClearingAreIdempotent(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	f := s.fault(faultpoint.Refused, nil)
	require.NoError(t, s.Set(t.Context(), f))
	s.clear(f)
	s.clear(f)
	s.passes()
	require.NoError(t, s.Set(t.Context(), f), "after it was cleared it can be set again")
	_, err := net.Dial("tcp", s.addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	s.clear(f)
}

// What a killed process sent before somebody else cleared the fault may arrive after it.
func TestWhatWasSentBeforeTheClearingComesTooLate(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	f := s.fault(faultpoint.Status, nil)
	s.clear(f)
	c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", s.socket)
	}}}
	b, err := json.Marshal(f)
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPut, "http://faultpoint/faults/"+f.ID+"?issued=1", strings.NewReader(string(b)))
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode)
	s.passes()
}

// A port that somebody took while connections to it were refused is taken back.
func TestPortThatWasTakenIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	f := s.fault(faultpoint.Refused, nil)
	thief, err := net.Listen("tcp", s.addr)
	require.NoError(t, err)
	err = s.Clear(t.Context(), f.ID)
	require.ErrorContains(t, err, "address already in use")
	require.ErrorContains(t, err, "point a")
	thief.Close()
	require.Eventually(t, func() bool { _, _, err := s.ask(chat("x", false)); return err == nil }, patience, tick)
	s.clear(f)
	s.passes()
}

func TestBadFaultsAreRefused(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	for want, change := range map[string]func(*faultpoint.Fault){
		"a listens without TLS":                 func(f *faultpoint.Fault) { f.Mode, f.TLS = faultpoint.TLS, faultpoint.Expired },
		"no name resolves to the point for":     func(f *faultpoint.Fault) { f.Mode, f.DNS = faultpoint.DNS, faultpoint.Timeout },
		"tls: \"old\": want expired":            func(f *faultpoint.Fault) { f.Mode, f.TLS = faultpoint.TLS, "old" },
		"dns: \"\": want nxdomain":              func(f *faultpoint.Fault) { f.Mode = faultpoint.DNS },
		"mode: \"ssl\"":                         func(f *faultpoint.Fault) { f.Mode = "ssl" },
		"share: 0":                              func(f *faultpoint.Fault) { f.Share = 0 },
		"share: 1.5":                            func(f *faultpoint.Fault) { f.Share = 1.5 },
		"before a request is read":              func(f *faultpoint.Fault) { f.Mode, f.Models = faultpoint.Refused, []string{"m"} },
		"status: 200":                           func(f *faultpoint.Fault) { f.Status = 200 },
		"delay: must be":                        func(f *faultpoint.Fault) { f.Mode, f.Delay = faultpoint.Latency, 0 },
		"after: -1":                             func(f *faultpoint.Fault) { f.After = -1 },
		"model: name":                           func(f *faultpoint.Fault) { f.Mode, f.Model = faultpoint.WrongModel, "" },
		"begins with /":                         func(f *faultpoint.Fault) { f.Paths = []string{"v1"} },
		"no point for member \"b\"":             func(f *faultpoint.Fault) { f.Members = []string{"a", "b"} },
		"a fault needs an id and members":       func(f *faultpoint.Fault) { f.Members = nil },
		"socket /nowhere: the fault point does": nil,
	} {
		f := faultpoint.Fault{ID: "f", Members: []string{"a"}, Mode: faultpoint.Status, Status: 503, Share: 1, Expires: time.Now().Add(time.Hour)}
		if change == nil {
			err := faultpoint.NewClient("/nowhere").Set(t.Context(), f)
			require.ErrorIs(t, err, faultpoint.ErrDown)
			assert.ErrorContains(t, err, want)
			continue
		}
		change(&f)
		assert.ErrorContains(t, s.Set(t.Context(), f), want)
	}
	s.passes()
}

func TestServeRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	ctx := t.Context()
	p := faultpoint.Point{Member: "b", Listen: freeAddress(t), Upstream: "http://127.0.0.1:1"}
	nothing := func() {}
	require.ErrorContains(t, faultpoint.Serve(ctx, faultpoint.Config{Socket: s.socket, Points: []faultpoint.Point{p}}, nothing), "another fault point listens there")
	require.ErrorContains(t, faultpoint.Serve(ctx, faultpoint.Config{Socket: socketPath(t), Points: []faultpoint.Point{p, p}}, nothing), "given twice")
	taken := p
	taken.Listen = s.addr
	socket := socketPath(t)
	require.ErrorContains(t, faultpoint.Serve(ctx, faultpoint.Config{Socket: socket, Points: []faultpoint.Point{taken}}, nothing), "point b: listen")
	_, err := os.Stat(socket)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, faultpoint.Serve(ctx, faultpoint.Config{Socket: socket}, nothing), "no point given")
	for arg, want := range map[string]string{
		"a":                                     "want MEMBER=HOST:PORT=URL",
		"a=127.0.0.1=http://x":                  "want HOST:PORT",
		"a=127.0.0.1:1=x":                       "want http://HOST",
		"a=127.0.0.1:1=http://u:p@x":            "leave the user name",
		"a=127.0.0.1:1=https://api.example.com": "",
	} {
		_, err := faultpoint.ParsePoint(arg)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "u:p")
	}
}

func TestSocketIsForItsUserAndIsLeftByNobody(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	info, err := os.Stat(s.socket)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	stale := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	l.Close() // as a process leaves it that was killed
	serve(t, faultpoint.Config{Socket: stale, Points: []faultpoint.Point{{Member: "a", Listen: freeAddress(t), Upstream: s.vendor.URL}}})
	_, err = faultpoint.NewClient(stale).State(t.Context())
	require.NoError(t, err)
}

func TestExchangesOfAnotherInstanceSaySo(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.passes()
	var ids []string
	var last error
	for x, err := range s.Exchanges(t.Context(), "another", 5) {
		if err != nil {
			last = err
			continue
		}
		ids = append(ids, x.ID)
	}
	assert.Equal(t, []string{"after"}, ids)
	assert.ErrorContains(t, last, "was started again")
}

func TestManyStreamsAtOnce(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	s.streamFast()
	const n = 500
	var wg sync.WaitGroup
	bad := make(chan string, n)
	want := "data: " + strings.Join(streamEvents(), "\n\ndata: ") + "\n\n"
	for i := range n {
		wg.Go(func() {
			if status, body, err := s.ask(chat(fmt.Sprint("s-", i), true)); err != nil || status != 200 || body != want {
				bad <- fmt.Sprint(status, err, body)
			}
		})
	}
	wg.Wait()
	close(bad)
	for b := range bad {
		t.Error(b)
	}
	seen := map[string]bool{}
	require.Eventually(t, func() bool {
		for _, x := range s.exchanges() {
			seen[x.ID] = x.Billed && x.Delivered && x.Out == 5
		}
		return len(seen) == n
	}, patience, 50*time.Millisecond)
	assert.NotContains(t, fmt.Sprint(seen), "false")
}
