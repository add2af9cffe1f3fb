package llm_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
)

// open opens a component whose members are a, b, … at the addresses.
func open(t *testing.T, with string, addresses ...string) (*topology.Component, error) {
	t.Helper()
	cs := topology.ComponentSpec{Name: "models", Kind: "llm", With: json.RawMessage(with)}
	for i, a := range addresses {
		cs.Members = append(cs.Members, topology.MemberSpec{Name: string(rune('a' + i)), Address: a})
	}
	return topology.Kinds{Components: kind.Of("component", llm.Kind())}.OpenComponent(cs, nil)
}

// api is a server that lists models for those who have the key.
func api(t *testing.T, key string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/models":
			http.NotFound(w, r)
		case key != "" && r.Header.Get("Authorization") != "Bearer "+key:
			http.Error(w, `{"error":{"message":"Incorrect API key provided"}}`, http.StatusUnauthorized)
		default:
			_, _ = w.Write([]byte(`{"object":"list","data":[]}`))
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// nobody is an address at which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestTheFirstThatAnswersIsPrimary(t *testing.T) {
	t.Setenv("A_KEY", "secret-a")
	dead := nobody(t)
	c, err := open(t, `{"models":{"chat":"m"},"vendors":{"b":{"key":"env:A_KEY"}}}`, dead, api(t, "secret-a"), api(t, ""))
	require.NoError(t, err)
	st, err := c.Adapter.Discover(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, st.With(topology.Primary))
	assert.Equal(t, []string{"c"}, st.With(topology.Replica))
	assert.Equal(t, []string{"a"}, st.With(topology.Down))
	assert.Equal(t, "http://"+dead+"/v1/models: connection refused: nothing listens there", st.Members[0].Problem)

	c, err = open(t, `{"strategy":"balance","models":{"chat":"m"}}`, api(t, ""), api(t, ""))
	require.NoError(t, err)
	st, err = c.Adapter.Discover(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b"}, st.With(topology.Instance))
}

func TestProblemsSayWhatToDo(t *testing.T) {
	t.Setenv("WRONG_KEY", "guessed")
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>\n<body>hi")) }))
	defer html.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for with, c := range map[string]struct{ address, want string }{
		`{"models":{"chat":"m"},"vendors":{"a":{"key":"env:WRONG_KEY"}}}`: {api(t, "right"), "401 Unauthorized: the key is not accepted: see with.vendors.a.key"},
		`{"models":{"chat":"m"},"vendors":{"a":{"key":"env:NO_SUCH"}}}`:   {api(t, "right"), "secret env:NO_SUCH: the environment variable NO_SUCH is not set"},
		`{"models":{"chat":"m"},"basePath":"/api"}`:                       {api(t, ""), "/api/models: 404 Not Found: 404 page not found"},
		`{"models":{"chat":"m"}}`:                                         {strings.TrimPrefix(html.URL, "http://"), "is this an OpenAI-compatible API, and the base path /v1 right?"},
		`{"models":{"chat":"m"},"timeout":"50ms"}`:                        {silent.Addr().String(), "no answer within 50ms"},
	} {
		c1, err := open(t, with, c.address)
		require.NoError(t, err)
		st, err := c1.Adapter.Discover(t.Context())
		require.NoError(t, err)
		assert.Equal(t, topology.Down, st.Members[0].Role)
		assert.Contains(t, st.Members[0].Problem, c.want)
		assert.NotContains(t, st.Members[0].Problem, "guessed")
	}
}

func TestRestoreWaitsForThoseThatWereThere(t *testing.T) {
	dead := nobody(t)
	c, err := open(t, `{"models":{"chat":"m"},"settle":"100ms"}`, dead, api(t, ""))
	require.NoError(t, err)
	keep := topology.State{Members: []topology.MemberState{{Member: "a", Role: topology.Primary}, {Member: "b", Role: topology.Replica}}}
	_, err = c.Adapter.Restore(t.Context(), keep, nil)
	require.ErrorContains(t, err, "restore models: a: http://"+dead)
	require.ErrorContains(t, err, "not back after 100ms")

	keep.Members[0].Role = topology.Down
	res, err := c.Adapter.Restore(t.Context(), keep, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"b"}, res.State.With(topology.Primary))

	// The address is free: the member can come back there.
	back := make(chan *httptest.Server, 1)
	time.AfterFunc(50*time.Millisecond, func() {
		l, err := net.Listen("tcp", dead)
		if err != nil {
			close(back)
			return
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) })}}
		s.Start()
		back <- s
	})
	c, err = open(t, `{"models":{"chat":"m"},"settle":"10s"}`, dead)
	require.NoError(t, err)
	_, err = c.Adapter.Restore(t.Context(), topology.State{Members: []topology.MemberState{{Member: "a", Role: topology.Primary}}}, nil)
	require.NoError(t, err)
	s := <-back
	require.NotNil(t, s)
	s.Close()
}

func TestWhoAnswered(t *testing.T) {
	c, err := open(t, `{"models":{"chat":"m"}}`, nobody(t), nobody(t))
	require.NoError(t, err)
	header := func(string) string { return "b" }
	for with, want := range map[string]string{
		`{"models":{"chat":"m"}}`: "a",
		`{"models":{"chat":"m"},"identify":{"by":"model","values":{"gpt-x":"b"}}}`: "b",
		`{"models":{"chat":"m"},"identify":{"by":"header","header":"x-vendor"}}`:   "b",
		`{"models":{"chat":"m"},"identify":{"by":"model","values":{"other":"b"}}}`: "",
	} {
		c.Spec.With = json.RawMessage(with)
		cfg, err := llm.ConfigOf(c)
		require.NoError(t, err)
		assert.Equal(t, want, cfg.Who(c, "a", "gpt-x", header), with)
	}
}

func TestVersionsOfAModelAreTheModel(t *testing.T) {
	for answered, want := range map[string]bool{
		"gpt-4o": true, "gpt-4o-2024-08-06": true, "gpt-4o-20240806": true, "gpt-4o@2024": true, "gpt-4o-1106": true, "": true,
		"gpt-4o-mini": false, "gpt-4o-mini-2024-07-18": false, "gpt-4": false, "another-gpt-4o": false, "gpt-4o-2024-08-06-mini": false,
	} {
		assert.Equal(t, want, llm.SameModel("gpt-4o", answered), answered)
	}
}

func TestRefusedFiles(t *testing.T) {
	for with, want := range map[string]string{
		`{}`: "with.models: name at least one model",
		`{"models":{"chat":"m"},"basePath":"v1"}`:                              "want a path that begins with /",
		`{"models":{"chat":"m"},"identify":{"by":"header"}}`:                   "with.identify.header: name the header",
		`{"models":{"chat":"m"},"vendors":{"z":{}}}`:                           `with.vendors: component models has no member "z"`,
		`{"models":{"chat":"m"},"vendors":{"a":{"url":"api.x"}}}`:              "want http://HOST or https://HOST",
		`{"models":{"chat":"m"},"identify":{"by":"model","values":{"x":"z"}}}`: `component models has no member "z"`,
	} {
		_, err := open(t, with, "127.0.0.1:1")
		require.ErrorContains(t, err, want, with)
	}
}
