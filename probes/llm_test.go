package probes_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/probes"
	"firedrill/probes/probetest"
)

// llmComponent is a component of kind llm with the members v1 and v2, whose answers
// have the fingerprints fp_v1 and fp_v2.
func llmComponent(with string) *topology.Component {
	base := `"models":{"chat":"m","embedding":"e","rerank":"r"},"identify":{"values":{"fp_v1":"v1","fp_v2":"v2"}}`
	c := &topology.Component{Spec: topology.ComponentSpec{Name: "models", Kind: "llm", With: json.RawMessage("{" + base + with + "}")}}
	for _, name := range []string{"v1", "v2"} {
		c.Members = append(c.Members, &topology.Member{Spec: topology.MemberSpec{Name: name, Address: "127.0.0.1:1"}, Component: "models"})
	}
	return c
}

func llmSubject(address string, client drills.Client) drills.Subject {
	return drills.Subject{
		Component: llmComponent(""), Address: address, Client: client, Lanes: 1, Clock: timeline.NewClock(), RunID: "run1",
	}
}

// asks opens a probe of an API that answers with h, and looks once.
func asks(t *testing.T, kind, with string, client drills.Client, h http.HandlerFunc) drills.Observation {
	t.Helper()
	p := open(t, build(t, kind, with), llmSubject(webSite(t, h), client))
	o, _ := probetest.Look(t, p, 20*time.Second)
	require.NotNil(t, o.Request)
	return o
}

// bothClients runs a test with fresh and with pooled connections.
func bothClients(t *testing.T, test func(t *testing.T, client drills.Client)) {
	for _, c := range []drills.Client{drills.Fresh, drills.Pooled} {
		t.Run(string(c), func(t *testing.T) { test(t, c) })
	}
}

// says answers with a body.
func says(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func jsonOf(body string) http.HandlerFunc { return says(200, "application/json", body) }

func eventsOf(lines ...string) http.HandlerFunc {
	return says(200, "text/event-stream", strings.Join(lines, "\n\n")+"\n\n")
}

// A stream's events: pieces of the text "one two three", what ends it, and the usage.
func delta(text string) string {
	return fmt.Sprintf(`data: {"model":"m","system_fingerprint":"fp_v2","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}`, text)
}

func finish(reason string) string {
	return fmt.Sprintf(`data: {"model":"m","system_fingerprint":"fp_v2","choices":[{"index":0,"delta":{},"finish_reason":%q}]}`, reason)
}

const (
	role   = `data: {"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`
	tokens = `data: {"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`
	done   = `data: [DONE]`
	ping   = `: keep-alive`
)

func answer(text, reason string) string {
	return fmt.Sprintf(`{"model":"m","system_fingerprint":"fp_v1","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":%q}],`+
		`"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}`, text, reason)
}

const pageOfHTML = "<!DOCTYPE html>\n<html><head><title>Welcome\nhome</title></head></html>"

// shape is a way of answering, and what is to be seen of it.
type shape struct {
	name    string
	answer  http.HandlerFunc
	outcome timeline.Outcome
	class   timeline.Class
	detail  string
}

func TestLLMChatStreamed(t *testing.T) {
	t.Parallel()
	whole := []string{role, delta("one"), delta(" two"), delta(" three")}
	with := func(more ...string) http.HandlerFunc { return eventsOf(append(whole[:4:4], more...)...) }
	for _, s := range []shape{
		{"whole", with(finish("stop"), tokens, done), timeline.Whole, timeline.OK, ""},
		{"without usage", with(finish("stop"), done), timeline.Whole, timeline.OK, ""},
		{"comments between", eventsOf(ping, role, delta("one two"), ping, delta(" three"), finish("stop"), done), timeline.Whole, timeline.OK, ""},
		{"without [DONE]", with(finish("stop")), timeline.Whole, timeline.OK, ""},
		{"length, and yet as expected", with(finish("length"), done), timeline.Whole, timeline.OK, ""},
		{"a field that clients pass over", with("x-trace: 1", finish("stop"), done), timeline.Whole, timeline.OK, ""},
		{"cut after one", eventsOf(role, delta("one")), timeline.Cut, timeline.Truncated, `after 1 pieces, without a finish_reason or [DONE]: "one"`},
		{"cut after all", with(), timeline.Cut, timeline.Truncated, "after 3 pieces"},
		{"cut by who adds [DONE]", eventsOf(role, delta("one"), done), timeline.Cut, timeline.Truncated, "without a finish_reason: "},
		{"cut at once", eventsOf(role), timeline.Cut, timeline.Truncated, "after 0 pieces"},
		{"nothing", eventsOf(), timeline.Cut, timeline.Truncated, "after 0 pieces"},
		{"an event not ended", says(200, "text/event-stream", role+"\n\n"+delta("one")+"\n\n"+finish("stop")), timeline.Cut, timeline.Truncated, "after 1 pieces"},
		{"a line that is no event", eventsOf(role, delta("one"), "data"+delta(" two")[6:], delta(" three"), finish("stop"), done), timeline.Cut, timeline.Truncated, "passed over a line"},
		{"broken JSON", eventsOf(role, delta("one"), `data: {"choices":[{"ind`), timeline.Failed, timeline.WrongAnswer, "after 1 pieces: invalid character"},
		{"an error amid", eventsOf(role, delta("one"), `data: {"error":{"message":"overloaded","code":503}}`), timeline.Failed, timeline.Error, "after 1 pieces: received error while streaming"},
		{"a limit amid", eventsOf(role, `data: {"error":{"message":"slow down","code":"rate_limit_exceeded"}}`), timeline.Failed, timeline.RateLimited, "slow down"},
		{"no choice", eventsOf(tokens, done), timeline.Wrong, timeline.WrongAnswer, "no text"},
		{"a refusal", eventsOf(role, finish("stop"), done), timeline.Wrong, timeline.WrongAnswer, `no text (finish_reason "stop")`},
		{"another text", eventsOf(role, delta("four"), finish("stop"), done), timeline.Wrong, timeline.WrongAnswer, `the answer is "four"`},
		{"length", eventsOf(role, delta("one"), finish("length"), done), timeline.Wrong, timeline.WrongAnswer, "cut at maxTokens 32"},
		{"filtered", with(finish("content_filter"), done), timeline.Wrong, timeline.WrongAnswer, "content_filter"},
		{"HTML", says(200, "text/html", pageOfHTML), timeline.Wrong, timeline.WrongAnswer, "no event stream, and the client takes it for an empty one: Welcome home"},
		{"no stream", jsonOf(`{"error":{"message":"no streams here"}}`), timeline.Wrong, timeline.WrongAnswer, "no streams here"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			bothClients(t, func(t *testing.T, client drills.Client) {
				o := asks(t, "llm-chat", `{"stream":true,"expect":"^one two three$"}`, client, s.answer)
				assert.Equal(t, s.outcome, o.Request.Outcome, o.Detail)
				assert.Equal(t, s.class, o.Class, o.Detail)
				assert.Contains(t, o.Detail, s.detail)
			})
		})
	}
}

func TestLLMChatAtOnce(t *testing.T) {
	t.Parallel()
	good := answer("one two three", "stop")
	for _, s := range []shape{
		{"whole", jsonOf(good), timeline.Whole, timeline.OK, ""},
		{"dated", jsonOf(strings.Replace(good, `"m"`, `"m-2026-01-31"`, 1)), timeline.Whole, timeline.OK, ""},
		{"nameless", jsonOf(strings.Replace(good, `"model":"m",`, "", 1)), timeline.Whole, timeline.OK, ""},
		{"another model", jsonOf(strings.Replace(good, `"m"`, `"m-mini"`, 1)), timeline.Wrong, timeline.WrongAnswer, `model "m-mini" answered, want m`},
		{"another text", jsonOf(answer("four", "stop")), timeline.Wrong, timeline.WrongAnswer, `"four"`},
		{"no reason", jsonOf(strings.Replace(good, `"stop"`, "null", 1)), timeline.Cut, timeline.Truncated, "no finish_reason"},
		{"no choices", jsonOf(`{"model":"m","choices":[]}`), timeline.Wrong, timeline.WrongAnswer, "no text"},
		{"null", jsonOf(`null`), timeline.Wrong, timeline.WrongAnswer, "no text"},
		{"an error that claims success", jsonOf(`{"error":{"message":"overloaded"}}`), timeline.Wrong, timeline.WrongAnswer, "overloaded"},
		{"half of it", jsonOf(good[:len(good)/2]), timeline.Failed, timeline.WrongAnswer, "the JSON breaks off after"},
		{"nothing", jsonOf(""), timeline.Failed, timeline.WrongAnswer, "the answer is empty"},
		{"HTML", says(200, "text/html", pageOfHTML), timeline.Failed, timeline.WrongAnswer, "the answer is HTML, not JSON: Welcome home"},
		{"HTML that claims to be JSON", jsonOf(pageOfHTML), timeline.Failed, timeline.WrongAnswer, "the answer is HTML, not JSON: Welcome home"},
		{"text", says(200, "text/plain", "hello"), timeline.Failed, timeline.WrongAnswer, "hello"},
		{"401", says(401, "application/json", `{"error":{"message":"who are you?","code":"invalid_api_key"}}`), timeline.Failed, timeline.Auth, "status 401 Unauthorized: invalid_api_key: who are you?"},
		{"403", says(403, "text/plain", "no"), timeline.Failed, timeline.Auth, "status 403 Forbidden: no"},
		{"404", says(404, "application/json", `{"error":{"message":"no such model","type":"invalid_request_error"}}`), timeline.Failed, timeline.Error, "invalid_request_error: no such model"},
		{"429", says(429, "application/json", `{"error":{"message":"later","code":"insufficient_quota"}}`), timeline.Failed, timeline.RateLimited, "insufficient_quota"},
		{"502", says(502, "text/html", pageOfHTML), timeline.Failed, timeline.Error, "status 502 Bad Gateway: Welcome home"},
		{"529", says(529, "application/json", `{"type":"error"}`), timeline.Failed, timeline.Error, "status 529"},
		{"elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, timeline.Failed, timeline.Error, "/login"},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			bothClients(t, func(t *testing.T, client drills.Client) {
				o := asks(t, "llm-chat", `{"expect":"^one two three$"}`, client, s.answer)
				assert.Equal(t, s.outcome, o.Request.Outcome, o.Detail)
				assert.Equal(t, s.class, o.Class, o.Detail)
				assert.Contains(t, o.Detail, s.detail)
			})
		})
	}
}

// The client's own error of a connection that breaks has to be told from one of a
// stream that ends: the application sees the first.
func TestLLMChatConnectionBreaks(t *testing.T) {
	t.Parallel()
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	for name, c := range map[string]struct {
		sends string
		end   func(net.Conn)
		want  timeline.Outcome
		class timeline.Class
	}{
		"reset":             {head + "\r\n" + role + "\n\n" + delta("one") + "\n\n", probetest.Reset, timeline.Failed, timeline.Reset},
		"closed in a chunk": {head + "Transfer-Encoding: chunked\r\n\r\n800\r\n" + role + "\n\n", func(net.Conn) {}, timeline.Failed, timeline.Reset},
		// Whoever closes the connection to end a body ends it in good order.
		"closed": {head + "\r\n" + role + "\n\n" + delta("one") + "\n\n", func(net.Conn) {}, timeline.Cut, timeline.Truncated},
	} {
		t.Run(name, func(t *testing.T) {
			bothClients(t, func(t *testing.T, client drills.Client) {
				sent := make(chan bool)
				address := probetest.Serve(t, func(conn net.Conn) {
					if readRequest(bufio.NewReader(conn)) != nil {
						return
					}
					fmt.Fprint(conn, c.sends)
					<-sent
					c.end(conn)
				})
				p := open(t, build(t, "llm-chat", `{"stream":true}`), llmSubject(address, client))
				// A reset throws away what the other side has not read yet.
				time.AfterFunc(100*time.Millisecond, func() { close(sent) })
				o, _ := probetest.Look(t, p, 5*time.Second)
				assert.Equal(t, c.want, o.Request.Outcome, o.Detail)
				assert.Equal(t, c.class, o.Class, o.Detail)
			})
		})
	}
}

// readRequest reads a request to its end: a connection that is closed with something
// unread is reset.
func readRequest(in *bufio.Reader) error {
	r, err := http.ReadRequest(in)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	return err
}

// trickle streams an answer whose second piece comes late; 0 is never.
func trickle(late time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, role+"\n\n"+delta("one")+"\n\n")
		_ = http.NewResponseController(w).Flush()
		if late == 0 {
			<-r.Context().Done()
			return
		}
		<-time.After(late)
		fmt.Fprint(w, strings.Join([]string{delta(" two three"), finish("stop"), tokens, done}, "\n\n")+"\n\n")
	}
}

func TestLLMChatTakesTime(t *testing.T) {
	t.Parallel()
	const late = 600 * time.Millisecond // on a busy machine the first piece is seen late, too
	bothClients(t, func(t *testing.T, client drills.Client) {
		o := asks(t, "llm-chat", `{"stream":true,"expect":"^one two three$","stall":"10s","firstToken":"10s"}`, client, trickle(late))
		assert.Equal(t, timeline.OK, o.Class, o.Detail)
		assert.GreaterOrEqual(t, time.Duration(o.Request.Stall), 50*time.Millisecond)

		o = asks(t, "llm-chat", `{"stream":true,"expect":"","stall":"50ms"}`, client, trickle(late))
		assert.Equal(t, timeline.Lagging, o.Class)
		assert.Equal(t, timeline.Whole, o.Request.Outcome)
		assert.Contains(t, o.Detail, "from one piece to the next, allowed 50ms")

		o = asks(t, "llm-chat", `{"stream":true,"expect":"","firstToken":"1ns"}`, client, trickle(time.Millisecond))
		assert.Equal(t, timeline.Lagging, o.Class)
		assert.Contains(t, o.Detail, "first token after")

		s := llmSubject(webSite(t, trickle(0)), client)
		p, from := open(t, build(t, "llm-chat", `{"stream":true}`), s), s.Clock.Now()
		o, _ = probetest.Look(t, p, 2*time.Second)
		assert.Equal(t, timeline.Timeout, o.Class)
		assert.Equal(t, timeline.Unanswered, o.Request.Outcome)
		assert.Contains(t, o.Detail, "stalled after 1 pieces")
		assert.Positive(t, o.Request.First)
		assert.GreaterOrEqual(t, o.Request.First+o.Request.Stall, from+timeline.Offset(2*time.Second), "it waited to the end")
		assert.Equal(t, "v2", o.By)
	})
}

func TestLLMChatFillsTheRequest(t *testing.T) {
	t.Parallel()
	bothClients(t, func(t *testing.T, client drills.Client) {
		o := asks(t, "llm-chat", `{"stream":true,"expect":""}`, client, eventsOf(role, delta("one"), finish("stop"), tokens, done))
		assert.Equal(t, "v2", o.By)
		assert.Positive(t, o.Request.First)
		o.Request.ID, o.Request.First, o.Request.Stall = "", 0, 0
		assert.Equal(t, timeline.Request{Op: "chat", Outcome: timeline.Whole, Status: 200, Model: "m", Finish: "stop", In: 7, Out: 3}, *o.Request)

		o = asks(t, "llm-chat", `{"expect":""}`, client, jsonOf(answer("one", "stop")))
		assert.Equal(t, "v1", o.By)
		assert.Positive(t, o.Request.First)
		o.Request.ID, o.Request.First = "", 0
		assert.Equal(t, timeline.Request{Op: "chat", Outcome: timeline.Whole, Status: 200, Model: "m", Finish: "stop", In: 7, Out: 3}, *o.Request)

		o = asks(t, "llm-chat", `{}`, client, says(503, "application/json", `{"error":{"message":"down"}}`))
		assert.NotEmpty(t, o.Request.ID)
		o.Request.ID = ""
		assert.Equal(t, timeline.Request{Op: "chat", Outcome: timeline.Failed, Status: 503}, *o.Request, "no first piece of an answer came")
	})
}

// asked is what an API was asked.
type asked struct {
	header http.Header
	host   string
	path   string
	body   map[string]any
}

// listener is an API that notes what it is asked and refuses it.
func listener(t *testing.T) (address string, questions func() []asked) {
	var mu sync.Mutex
	var all []asked
	address = webSite(t, func(w http.ResponseWriter, r *http.Request) {
		q := asked{header: r.Header, host: r.Host, path: r.URL.Path}
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &q.body)
		mu.Lock()
		all = append(all, q)
		mu.Unlock()
		says(500, "text/plain", "you said "+r.Header.Get("Authorization")+" and "+r.Header.Get("X-Secret"))(w, r)
	})
	return address, func() []asked {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestLLMAsks(t *testing.T) {
	t.Setenv("PROBE_KEY", "s3cr3t-key")
	t.Setenv("PROBE_HEADER", "s3cr3t-header")
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
	t.Setenv("OPENAI_API_KEY", "not-this-one")
	t.Setenv("OPENAI_CUSTOM_HEADERS", "X-Foreign: yes")
	address, questions := listener(t)
	for _, c := range []struct {
		kind, with, path string
		body             map[string]any
	}{
		{
			"llm-chat", `{"prompt":"hi","maxTokens":5}`, "/api/v2/chat/completions",
			map[string]any{"model": "m", "max_tokens": 5.0, "temperature": 0.0, "messages": []any{map[string]any{"role": "user", "content": "hi"}}},
		},
		{
			"llm-chat", `{"prompt":"hi","stream":true,"model":"n","maxTokens":0,"parameters":{"temperature":null,"top_p":0.5}}`, "/api/v2/chat/completions",
			map[string]any{
				"model": "n", "top_p": 0.5, "stream": true, "stream_options": map[string]any{"include_usage": true},
				"messages": []any{map[string]any{"role": "user", "content": "hi"}},
			},
		},
		{
			"llm-embedding", `{"input":"x","parameters":{"dimensions":512}}`, "/api/v2/embeddings",
			map[string]any{"model": "e", "input": "x", "dimensions": 512.0},
		},
		{
			"llm-rerank", `{"query":"q","documents":["a","b"],"expect":0,"parameters":{"top_n":1}}`, "/api/v2/rerank",
			map[string]any{"model": "r", "query": "q", "documents": []any{"a", "b"}, "top_n": 1.0},
		},
	} {
		t.Run(c.kind, func(t *testing.T) {
			bothClients(t, func(t *testing.T, client drills.Client) {
				s := llmSubject(address, client)
				s.Component = llmComponent(`,"basePath":"/api/v2","key":"env:PROBE_KEY","headers":{"X-Config":"{}","Host":"api.example"},"secretHeaders":{"X-Secret":"env:PROBE_HEADER"}`)
				before := len(questions())
				o, _ := probetest.Look(t, open(t, build(t, c.kind, c.with), s), 10*time.Second)
				require.Len(t, questions(), before+1, "nothing is asked twice")
				q := questions()[before]
				assert.Equal(t, o.Request.ID, q.body["user"])
				assert.Equal(t, o.Request.ID, q.header.Get("X-Request-Id"))
				delete(q.body, "user")
				assert.Equal(t, c.body, q.body)
				assert.Equal(t, c.path, q.path)
				assert.Equal(t, "Bearer s3cr3t-key", q.header.Get("Authorization"))
				assert.Equal(t, []string{"{}", "api.example", ""}, []string{q.header.Get("X-Config"), q.host, q.header.Get("X-Foreign")})
				assert.Contains(t, o.Detail, "you said Bearer *** and ***")
				assert.Equal(t, c.kind, "llm-"+o.Request.Op)
			})
		})
	}
}

// A secret that the service says back must not get into the record, not even the
// part of it that is left where a detail is cut.
func TestLLMHidesSecrets(t *testing.T) {
	t.Setenv("PROBE_KEY", "s3cr3t-"+strings.Repeat("k", 150))
	for before := 0; before < 160; before += 9 {
		said := strings.Repeat("x", before) + "s3cr3t-" + strings.Repeat("k", 150)
		for _, h := range []http.HandlerFunc{
			says(500, "text/plain", said),
			says(500, "application/json", `{"error":{"message":"`+said+`","code":"c"}}`),
			jsonOf(said),
			jsonOf(answer(said, said)),
			jsonOf(strings.Replace(answer("all systems nominal", "stop"), `"m"`, `"`+said+`"`, 1)),
			eventsOf(role, delta("one"), said, finish("stop"), done),
			eventsOf(role, delta(said)),
			eventsOf(role, `data: {"error":{"message":"`+said+`"}}`),
		} {
			s := llmSubject(webSite(t, h), drills.Fresh)
			s.Component = llmComponent(`,"key":"env:PROBE_KEY"`)
			for _, with := range []string{`{}`, `{"stream":true}`} {
				p := open(t, build(t, "llm-chat", with), s)
				o, _ := probetest.Look(t, p, time.Second)
				record, err := json.Marshal(o)
				require.NoError(t, err)
				require.NotContains(t, string(record), "cr3t-")
				require.NotContains(t, string(record), "kkk")
			}
		}
	}
}

// A probe of one member asks it the way the gateway does.
func TestLLMAsksAMember(t *testing.T) {
	t.Setenv("PROBE_KEY", "route-key")
	t.Setenv("PROBE_V2", "member-key")
	address, questions := listener(t)
	s := llmSubject("127.0.0.1:1", drills.Fresh)
	s.Component = llmComponent(`,"key":"env:PROBE_KEY","headers":{"X-Config":"{}"},"vendors":{"v2":{"url":"http://` + address + `/deep","key":"env:PROBE_V2"}}`)
	s.Member = s.Component.Members[1]
	o, _ := probetest.Look(t, open(t, build(t, "llm-chat", `{}`), s), 10*time.Second)
	require.Len(t, questions(), 1, o.Detail)
	q := questions()[0]
	assert.Equal(t, []string{"/deep/v1/chat/completions", "Bearer member-key", ""}, []string{q.path, q.header.Get("Authorization"), q.header.Get("X-Config")})
}

func TestLLMIDsAreUnique(t *testing.T) {
	t.Parallel()
	address := webSite(t, says(500, "text/plain", "no"))
	seen := map[string]bool{}
	for range 2 {
		for _, client := range []drills.Client{drills.Fresh, drills.Pooled} {
			p := open(t, build(t, "llm-chat", `{}`), llmSubject(address, client))
			for range 3 {
				o, _ := probetest.Look(t, p, 10*time.Second)
				assert.Regexp(t, `^run1-chat\d+-\d+$`, o.Request.ID)
				seen[o.Request.ID] = true
			}
		}
	}
	assert.Len(t, seen, 12)
}

func TestLLMAcceptsModels(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		component, with, model string
		want                   timeline.Outcome
	}{
		{``, `{}`, "m", timeline.Whole},
		{``, `{}`, "m-20260131", timeline.Whole},
		{``, `{}`, "m@0131", timeline.Whole},
		{``, `{}`, "m-4.1", timeline.Wrong},
		{``, `{}`, "another", timeline.Wrong},
		{``, `{"model":"another"}`, "another", timeline.Whole},
		{``, `{"acceptModels":["x","y"]}`, "y", timeline.Whole},
		{``, `{"acceptModels":["x","y"]}`, "m", timeline.Wrong},
		// Where the model tells who answered, every vendor has a model of its own.
		{`,"identify":{"by":"model","values":{"qwen":"v2"}}`, `{}`, "qwen", timeline.Whole},
		{`,"identify":{"by":"model","values":{"qwen":"v2"}}`, `{}`, "llama", timeline.Wrong},
	} {
		s := llmSubject(webSite(t, jsonOf(strings.Replace(answer("all systems nominal", "stop"), `"m"`, `"`+c.model+`"`, 1))), drills.Fresh)
		s.Component = llmComponent(c.component)
		o, _ := probetest.Look(t, open(t, build(t, "llm-chat", c.with), s), 10*time.Second)
		assert.Equal(t, c.want, o.Request.Outcome, "%+v: %s", c, o.Detail)
		assert.Equal(t, c.model, o.Request.Model)
	}
}

// series answers the n-th request with the n-th body, the last one again and again.
func series(bodies ...string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		jsonOf(bodies[min(int(n.Add(1)), len(bodies))-1])(w, r)
	}
}

func vector(model, values string) string {
	return `{"object":"list","model":"` + model + `","data":[{"object":"embedding","index":0,"embedding":` + values + `}],"usage":{"prompt_tokens":4,"total_tokens":4}}`
}

func TestLLMEmbedding(t *testing.T) {
	t.Parallel()
	good := vector("e", "[1,0,0]")
	for _, c := range []struct {
		name, with string
		bodies     []string
		want       timeline.Outcome // of the last
		detail     string
		dimension  int
		distance   float64
	}{
		{"the same", `{}`, []string{good, good}, timeline.Whole, "", 3, 0},
		{"another length", `{}`, []string{good, vector("e", "[2,0,0]")}, timeline.Whole, "", 3, 0},
		{"base64", `{}`, []string{good, vector("e", `"AACAPwAAAAAAAAAA"`)}, timeline.Whole, "", 3, 0},
		{"near", `{}`, []string{good, vector("e", "[1,0.1,0]")}, timeline.Whole, "", 3, 0.005},
		{"too far for who is strict", `{"maxDistance":0.001}`, []string{good, vector("e", "[1,0.1,0]")}, timeline.Wrong, "cosine distance 0.005 to the reference, allowed 0.001", 3, 0.005},
		{"elsewhere", `{}`, []string{good, vector("e", "[0,1,0]")}, timeline.Wrong, "cosine distance 1 to the reference, allowed 0.05", 3, 1},
		{"opposite", `{}`, []string{good, vector("e", "[-1,0,0]")}, timeline.Wrong, "cosine distance 2", 3, 2},
		{"another dimension", `{}`, []string{good, vector("e", "[1,0]")}, timeline.Wrong, "dimension 2, want 3", 2, 0},
		{"another dimension, of another model", `{}`, []string{good, vector("f", "[1,0]")}, timeline.Wrong, "dimension 2, want 3", 2, 0},
		{"not the one that is configured", `{"dimension":4}`, []string{good}, timeline.Wrong, "dimension 3, want 4", 3, 0},
		{"another model", `{}`, []string{good, vector("f", "[0,1,0]")}, timeline.Wrong, `model "f" answered, want e`, 3, 1},
		{"another model first: not the reference", `{}`, []string{vector("f", "[0,1]"), good, good}, timeline.Whole, "", 3, 0},
		{"none", `{}`, []string{good, vector("e", "[]")}, timeline.Wrong, "no embedding", 0, 0},
		{"no data", `{}`, []string{`{"data":[]}`}, timeline.Wrong, "no embedding", 0, 0},
		{"null", `{}`, []string{`null`}, timeline.Wrong, "no embedding: null", 0, 0},
		{"zeros", `{}`, []string{vector("e", "[0,0,0]")}, timeline.Wrong, "points nowhere", 3, 0},
		{"broken", `{}`, []string{good[:50]}, timeline.Failed, "the JSON breaks off after 50 bytes", 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			bothClients(t, func(t *testing.T, client drills.Client) {
				p := open(t, build(t, "llm-embedding", c.with), llmSubject(webSite(t, series(c.bodies...)), client))
				var o drills.Observation
				for range c.bodies {
					o, _ = probetest.Look(t, p, 10*time.Second)
				}
				assert.Equal(t, c.want, o.Request.Outcome, o.Detail)
				assert.Equal(t, c.want == timeline.Whole, o.Class.Good())
				assert.Contains(t, o.Detail, c.detail)
				assert.Equal(t, c.dimension, o.Request.Dimension)
				assert.InDelta(t, c.distance, o.Request.Distance, 1e-4)
				if c.want == timeline.Whole {
					assert.EqualValues(t, 4, o.Request.In)
					assert.Positive(t, o.Request.First)
				} else if c.want == timeline.Wrong {
					assert.Equal(t, timeline.WrongAnswer, o.Class)
				}
			})
		})
	}
}

// A model that was exchanged before the run is seen by a reference from before.
func TestLLMEmbeddingOfAReferenceFile(t *testing.T) {
	t.Parallel()
	file := func(body string) string {
		path := filepath.Join(t.TempDir(), "reference.json")
		require.NoError(t, os.WriteFile(path, []byte(body), 0o600))
		return path
	}
	address := webSite(t, jsonOf(vector("e", "[0,1,0]")))
	for body, want := range map[string]string{
		"[0, 2, 0]":    "",
		"[1, 0, 0]":    "cosine distance 1 to the reference, allowed 0.05",
		"[0, 1, 0, 0]": "dimension 3, want 4",
	} {
		p := open(t, build(t, "llm-embedding", fmt.Sprintf(`{"reference":%q}`, file(body))), llmSubject(address, drills.Fresh))
		o, _ := probetest.Look(t, p, 10*time.Second)
		assert.Equal(t, want, o.Detail, body)
		assert.Equal(t, want == "", o.Request.Outcome == timeline.Whole, body)
	}
	for body, want := range map[string]string{
		`{"data":[]}`: "want a JSON array of numbers",
		"[]":          "points nowhere",
		"[0, 0]":      "points nowhere",
		"[1, 2]":      "has 2 numbers, and with.dimension says 3",
	} {
		path := file(body)
		_, err := build(t, "llm-embedding", fmt.Sprintf(`{"dimension":3,"reference":%q}`, path)).Open(t.Context(), llmSubject(address, drills.Fresh))
		assert.ErrorContains(t, err, "with.reference: "+path, body)
		assert.ErrorContains(t, err, want, body)
	}
	_, err := build(t, "llm-embedding", `{"reference":"no/such/file"}`).Open(t.Context(), llmSubject(address, drills.Fresh))
	assert.ErrorContains(t, err, "open llm-embedding probe: with.reference: open no/such/file: no such file")
}

func TestLLMRerank(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		body, detail string
		want         timeline.Outcome
		in           int64
	}{
		{`{"model":"r","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}],"usage":{"total_tokens":12}}`, "", timeline.Whole, 12},
		{`{"results":[{"index":0,"relevance_score":0.1},{"index":1,"relevance_score":0.9}],"meta":{"tokens":{"input_tokens":9}}}`, "", timeline.Whole, 9},
		{`{"results":[{"index":0,"relevance_score":0.9},{"index":1,"relevance_score":0.1}]}`, "document 0 is on top (0.9), want 1", timeline.Wrong, 0},
		{`{"model":"other","results":[{"index":1,"relevance_score":0.9}]}`, `model "other" answered, want r`, timeline.Wrong, 0},
		{`{"results":[{"index":3,"relevance_score":0.9}]}`, "document 3: there are 3", timeline.Wrong, 0},
		{`{"results":[]}`, "no results", timeline.Wrong, 0},
		{`{"results":[{"index":1`, "the JSON breaks off", timeline.Failed, 0},
		{`[{"index":1,"score":0.9}]`, "cannot unmarshal array", timeline.Failed, 0},
	} {
		bothClients(t, func(t *testing.T, client drills.Client) {
			o := asks(t, "llm-rerank", `{}`, client, jsonOf(c.body))
			assert.Equal(t, c.want, o.Request.Outcome, o.Detail)
			assert.Contains(t, o.Detail, c.detail)
			assert.Equal(t, c.in, o.Request.In)
			assert.Equal(t, strings.Contains(c.body, `"index":`) && c.want != timeline.Failed, o.Request.First > 0)
		})
	}
}

// A kept connection is used again after whole answers, and not after one that broke
// off, or that the server does not end; a broken one is not replaced within a look.
func TestLLMPooledConnections(t *testing.T) {
	t.Parallel()
	var accepted, requests atomic.Int64
	address := probetest.Serve(t, func(c net.Conn) {
		accepted.Add(1)
		for in := bufio.NewReader(c); readRequest(in) == nil; {
			body := strings.Join([]string{role, delta("one"), finish("stop"), done}, "\n\n") + "\n\n"
			ending := "0\r\n\r\n"
			switch requests.Add(1) {
			case 3:
				body = role + "\n\n"
			case 5:
				probetest.Reset(c)
				return
			case 6:
				ending = ""
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body)
			<-time.After(10 * time.Millisecond) // clients have read [DONE], and not the end
			fmt.Fprint(c, ending)
		}
	})
	p := open(t, build(t, "llm-chat", `{"stream":true,"expect":"one"}`), llmSubject(address, drills.Pooled))
	var got []timeline.Class
	var conns []int64
	for range 7 {
		o, _ := probetest.Look(t, p, 10*time.Second)
		got, conns = append(got, o.Class), append(conns, accepted.Load())
	}
	assert.Equal(t, []timeline.Class{timeline.OK, timeline.OK, timeline.Truncated, timeline.OK, timeline.Reset, timeline.OK, timeline.OK}, got)
	assert.Equal(t, []int64{1, 1, 1, 2, 2, 3, 4}, conns)
	assert.EqualValues(t, 7, requests.Load())
}

func TestLLMConforms(t *testing.T) {
	for kind, with := range map[string]string{
		"llm-chat": `{"stream":true,"expect":"^one$"}`, "llm-embedding": `{}`, "llm-rerank": `{}`,
	} {
		answers := map[string]http.HandlerFunc{
			"/v1/chat/completions": eventsOf(role, delta("one"), finish("stop"), tokens, done),
			"/v1/embeddings":       jsonOf(vector("e", "[1,0,0]")),
			"/v1/rerank":           jsonOf(`{"results":[{"index":1,"relevance_score":0.9}]}`),
		}
		t.Run(kind, func(t *testing.T) {
			probetest.Conform(t, probetest.Suite{
				Kind:    build(t, kind, with),
				Subject: func(_ *testing.T, address string) drills.Subject { return llmSubject(address, "") },
				Correct: webSite(t, func(w http.ResponseWriter, r *http.Request) { answers[r.URL.Path](w, r) }),
				Babble:  []byte("220 mail ready\r\n"),
				Refused: one(timeline.Refused), Hanging: one(timeline.Timeout), Cut: one(timeline.Reset), Garbage: one(timeline.WrongAnswer),
			})
		})
	}
}

func TestLLMRefusesNonsense(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"llm-chat", `{"prompt":""}`, "prompt"},
		{"llm-chat", `{"expect":"("}`, "expect"},
		{"llm-chat", `{"maxTokens":-1}`, "maxTokens"},
		{"llm-chat", `{"stall":"1s"}`, "stream: true"},
		{"llm-chat", `{"parameters":{"user":"me"}}`, "parameters: user"},
		{"llm-chat", `{"parameters":{"a.b":1}}`, `"a.b"`},
		{"llm-chat", `{"baseURL":"http://x"}`, "baseURL"},
		{"llm-embedding", `{"input":""}`, "input"},
		{"llm-embedding", `{"dimension":-1}`, "dimension"},
		{"llm-embedding", `{"maxDistance":3}`, "maxDistance: 3"},
		{"llm-rerank", `{"query":""}`, "query"},
		{"llm-rerank", `{"documents":["a"]}`, "documents: 1"},
		{"llm-rerank", `{"expect":3}`, "expect: 3"},
	} {
		_, err := probes.All().Build(c[0], []byte(c[1]))
		assert.ErrorContains(t, err, c[2], c[1])
	}
}

func TestLLMOpenSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*drills.Subject){
		"no component given: want one of kind llm": func(s *drills.Subject) { s.Component = nil },
		`component db is of kind "mysql"`: func(s *drills.Subject) {
			s.Component = &topology.Component{Spec: topology.ComponentSpec{Name: "db", Kind: "mysql"}}
		},
		"no address: give the probe a target":                             func(s *drills.Subject) { s.Address = "" },
		`address "here"`:                                                  func(s *drills.Subject) { s.Address = "here" },
		"with.models.chat is not set":                                     func(s *drills.Subject) { s.Component = llmComponent(`,"models":{"chat":""}`) },
		"with.key: secret env:NOT_SET: the environment":                   func(s *drills.Subject) { s.Component = llmComponent(`,"key":"env:NOT_SET"`) },
		"with.secretHeaders.X-A: secret env:NOT_SET: the environment":     func(s *drills.Subject) { s.Component = llmComponent(`,"secretHeaders":{"X-A":"env:NOT_SET"}`) },
		`open llm-chat probe: clients: "both": this probe has ["fresh" "`: func(s *drills.Subject) { s.Client = "both" },
	} {
		s := llmSubject("127.0.0.1:1", drills.Fresh)
		change(&s)
		_, err := build(t, "llm-chat", `{}`).Open(t.Context(), s)
		assert.ErrorContains(t, err, says)
	}
}
