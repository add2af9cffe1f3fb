package remedies_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/builtin"
	"firedrill/drills/topology/route"
	"firedrill/lab/vendor"
)

const (
	vendorKey = "sk-very-secret"
	// gatewayKey is what applications send to the gateway, and is nobody else's.
	gatewayKey = "sk-for-the-gateway"
)

var vendorNames = []string{"vendor-a", "vendor-b", "vendor-c"}

// models is an llm component of three simulated vendors.
type models struct {
	t       *testing.T
	vendors map[string]*vendor.Vendor
	spec    topology.ComponentSpec
}

func newModels(t *testing.T) *models {
	t.Helper()
	t.Setenv("FIREDRILL_TEST_VENDOR_KEY", vendorKey)
	t.Setenv("FIREDRILL_TEST_GATEWAY_KEY", gatewayKey)
	w := &models{t: t, vendors: map[string]*vendor.Vendor{}, spec: topology.ComponentSpec{Name: "models", Kind: "llm"}}
	values, keys := map[string]string{}, map[string]any{}
	for _, name := range vendorNames {
		keys[name] = map[string]string{"key": "env:FIREDRILL_TEST_VENDOR_KEY"}
		v, err := vendor.Start(vendor.Config{Name: name, Listen: "127.0.0.1:0", Key: vendorKey, Models: []string{"gpt-x"}})
		require.NoError(t, err)
		t.Cleanup(func() { v.Close() })
		w.vendors[name], values["fp_"+name] = v, name
		w.spec.Members = append(w.spec.Members, topology.MemberSpec{Name: name, Address: w.address(name)})
	}
	with, err := json.Marshal(map[string]any{
		"models": map[string]string{"chat": "gpt-x"}, "key": "env:FIREDRILL_TEST_GATEWAY_KEY", "vendors": keys,
		"identify": map[string]any{"by": "fingerprint", "values": values},
	})
	require.NoError(t, err)
	w.spec.With = with
	return w
}

func (w *models) address(name string) string {
	return strings.TrimPrefix(w.vendors[name].URL(), "http://")
}

func (w *models) mode(name string, m vendor.Mode) {
	w.t.Helper()
	require.NoError(w.t, w.vendors[name].SetMode(m))
}

// target opens the component behind routes.
func (w *models) target(routes ...topology.RouteSpec) drills.Target {
	w.t.Helper()
	for i := range routes {
		routes[i].Component = "models"
	}
	c, err := builtin.Kinds().OpenComponent(w.spec, routes)
	require.NoError(w.t, err)
	return drills.Target{Component: c, Members: c.Members}
}

// gateway starts a real HAProxy that leads to the vendors in order.
func (w *models) gateway() (front string, r topology.RouteSpec) {
	w.t.Helper()
	dir, front := shortDir(w.t), freeAddress(w.t)
	socket, servers := filepath.Join(dir, "admin"), map[string]string{}
	for _, name := range vendorNames {
		servers[name] = w.address(name)
	}
	startHAProxy(w.t, dir, freeAddress(w.t), proxied(socket, front, servers, vendorNames...), front)
	with, err := json.Marshal(route.HAProxySpec{Socket: socket, Backend: "models", Timeout: spec.Duration(soon)})
	require.NoError(w.t, err)
	return front, topology.RouteSpec{Name: "models-gateway", Kind: "haproxy", Address: front, With: with}
}

// who asks through the gateway and returns who answered, with the status.
func (w *models) who(front string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://"+front+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-x","messages":[{"role":"user","content":"hello"}]}`))
	require.NoError(w.t, err)
	req.Header.Set("Authorization", "Bearer "+vendorKey)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(w.t, err)
	return fmt.Sprintf("%s %d", resp.Header.Get("X-Vendor"), resp.StatusCode)
}

func (w *models) open(t drills.Target) []string {
	w.t.Helper()
	names, err := t.Component.Routes[0].Router.(route.Restorer).Open(w.t.Context())
	require.NoError(w.t, err)
	return names
}

// A gateway whose health check stays green does not fail over on a quota that is
// used up. The runner does, and everything is as before afterwards.
func TestLLMFailoverOfARealGateway(t *testing.T) {
	w := newModels(t)
	front, rs := w.gateway()
	at := w.target(rs)
	require.Eventually(t, func() bool { return w.who(front) == "vendor-a 200" }, soon, tick)
	w.mode("vendor-a", vendor.Mode{Name: vendor.Quota})
	require.Equal(t, "vendor-a 429", w.who(front))

	var log book
	r := remedy(t, "llm-failover", "")
	require.NoError(t, r.Apply(t.Context(), at, &log))
	assert.Equal(t, []string{"try members", "switch route models-gateway"}, log.intents)
	require.Len(t, log.steps, 3)
	assert.Equal(t, topology.Step{
		Name: "try", Member: "vendor-a",
		Err: "429 insufficient_quota: You exceeded your current quota, please check your plan and billing details.",
	}, log.steps[0])
	assert.Equal(t, "vendor-b", log.steps[1].Member)
	assert.Regexp(t, `^answered whole in \d+ ms$`, log.steps[1].Detail)
	assert.Equal(t, "led to vendor-a, vendor-b, vendor-c before", log.steps[2].Detail)
	assert.Equal(t, "vendor-b 200", w.who(front))
	assert.Equal(t, []string{"vendor-b"}, w.open(at))

	// Once more, and nobody else answers: nothing is left to do, nor to undo.
	w.mode("vendor-c", vendor.Mode{Name: vendor.Quota})
	again := book{}
	require.NoError(t, r.Apply(t.Context(), at, &again))
	assert.Equal(t, "leads there already", again.step("switch route models-gateway").Detail)
	assert.Empty(t, again.undos)

	// vendor-a comes back, but the route is led away until the drill ends.
	w.mode("vendor-a", vendor.Mode{})
	assert.Equal(t, "vendor-b 200", w.who(front))
	require.Len(t, log.undos, 1)
	assert.NotContains(t, string(log.undos[0].Data), vendorKey)
	other := remedy(t, "llm-failover", "").(drills.Reverter) // as in another process
	for range 2 {
		require.NoError(t, other.Revert(t.Context(), log.undos[0]))
		assert.Equal(t, vendorNames, w.open(at), "all servers are open again, not only the one that led")
		require.Eventually(t, func() bool { return w.who(front) == "vendor-a 200" }, soon, tick)
	}
}

// A server that the health check holds down when the route is switched must be
// open after the undo, or the gateway could never fail back to it.
func TestLLMFailoverRestoresAServerThatWasDown(t *testing.T) {
	w := newModels(t)
	front, rs := w.gateway()
	at := w.target(rs)
	w.mode("vendor-a", vendor.Mode{Name: vendor.Refused})
	w.mode("vendor-b", vendor.Mode{Name: vendor.RateLimited})
	require.Eventually(t, func() bool { return w.who(front) == "vendor-b 429" }, soon, tick)
	var log book
	require.NoError(t, remedy(t, "llm-failover", "").Apply(t.Context(), at, &log))
	assert.Equal(t, "vendor-c 200", w.who(front))
	assert.Contains(t, log.steps[0].Err, "connection refused")
	assert.Contains(t, log.steps[1].Err, "429 rate_limit_exceeded")

	require.NoError(t, remedy(t, "llm-failover", "").(drills.Reverter).Revert(t.Context(), log.undos[0]))
	assert.Equal(t, vendorNames, w.open(at))
	w.mode("vendor-a", vendor.Mode{})
	require.Eventually(t, func() bool { return w.who(front) == "vendor-a 200" }, soon, tick)
}

// Whatever becomes of Apply, the undos that were journaled until then put the
// route back.
func TestLLMFailoverInterrupted(t *testing.T) {
	w := newModels(t)
	front, rs := w.gateway()
	at := w.target(rs)
	w.mode("vendor-a", vendor.Mode{Name: vendor.Quota})
	for breakAt := 1; breakAt <= 2; breakAt++ {
		log := book{breakAt: breakAt}
		require.ErrorIs(t, remedy(t, "llm-failover", "").Apply(t.Context(), at, &log), errInterrupted)
		assert.Equal(t, vendorNames, w.open(at), "nothing is done before it is journaled")
		require.Len(t, log.undos, breakAt-1)
		// It carries on; then all of that is undone, newest first.
		next := book{}
		require.NoError(t, remedy(t, "llm-failover", "").Apply(t.Context(), at, &next))
		require.Equal(t, "vendor-b 200", w.who(front))
		undos := append(log.undos, next.undos...)
		for i := len(undos) - 1; i >= 0; i-- {
			require.NoError(t, remedy(t, "llm-failover", "").(drills.Reverter).Revert(t.Context(), undos[i]))
		}
		assert.Equal(t, vendorNames, w.open(at))
	}
}

// Everything that vendors do wrong is noticed, and said in the words of the wire.
func TestLLMFailoverKnowsEveryFailure(t *testing.T) {
	w := newModels(t)
	file := filepath.Join(t.TempDir(), "leads-to")
	at := w.target(execRoute(t, file))
	for _, c := range []struct {
		mode vendor.Mode
		want string
	}{
		{vendor.Mode{Name: vendor.Refused}, "connection refused: nothing listens there"},
		{vendor.Mode{Name: vendor.Reset}, "connection reset"},
		{vendor.Mode{Name: vendor.BlackHole}, "no answer within 1s"},
		{vendor.Mode{Name: vendor.Unauthorized}, "401 invalid_api_key: Incorrect API key"},
		{vendor.Mode{Name: vendor.Forbidden}, "403 unsupported_country_region_territory: "},
		{vendor.Mode{Name: vendor.ModelGone}, "404 model_not_found: "},
		{vendor.Mode{Name: vendor.RateLimited}, "429 rate_limit_exceeded: Rate limit reached"},
		{vendor.Mode{Name: vendor.Quota}, "429 insufficient_quota: You exceeded"},
		{vendor.Mode{Name: vendor.Status, Status: 502}, "502 Bad Gateway: "},
		{vendor.Mode{Name: vendor.Status, Status: 503}, "503 "},
		{vendor.Mode{Name: vendor.Stall, After: 3}, "the stream hung: not at its end within 1s, after"},
		{vendor.Mode{Name: vendor.SlowFirstToken, Delay: spec.Duration(soon)}, "the stream hung: not at its end within 1s, after 0 characters"},
		{vendor.Mode{Name: vendor.Cut, After: 3}, "without a finish reason or [DONE]"},
		{vendor.Mode{Name: vendor.MalformedSSE, After: 3}, "1 of 2 answers were not whole: 200, but the stream has an event that is not JSON"},
		{vendor.Mode{Name: vendor.GarbledSSE, After: 3}, "1 of 2 answers were not whole: 200, but the stream has a line that is none of an event"},
		{vendor.Mode{Name: vendor.TruncatedJSON, After: 3}, "200, but the stream has an event that is not JSON"},
		{vendor.Mode{Name: vendor.EmptyChoice}, `finish reason ""`},
		{vendor.Mode{Name: vendor.WrongModel}, `the answer is from model "another-gpt-x", asked was "gpt-x"`},
		{vendor.Mode{Name: vendor.HTML}, "200, but the stream"},
	} {
		t.Run(c.mode.Name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(file, []byte("vendor-a"), 0o600))
			w.mode("vendor-a", c.mode)
			var log book
			timeout := "10s"
			if strings.Contains(c.want, "within 1s") {
				timeout = "1s"
			}
			require.NoError(t, remedy(t, "llm-failover", `{"timeout":"`+timeout+`"}`).Apply(t.Context(), at, &log), "%+v", log.steps)
			assert.Contains(t, log.steps[0].Err, c.want)
			assert.Equal(t, "vendor-b", log.steps[1].Member)
			assert.NotContains(t, fmt.Sprint(log.steps), vendorKey)
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, "vendor-b", string(b))
			require.NoError(t, remedy(t, "llm-failover", "").(drills.Reverter).Revert(t.Context(), log.undos[0]))
			b, err = os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, "vendor-a", string(b))
		})
	}
}

// execRoute leads to the member that a file names.
func execRoute(t *testing.T, file string) topology.RouteSpec {
	t.Helper()
	with, err := json.Marshal(route.ExecSpec{
		Switch:  []string{"sh", "-c", `printf %s "$1" >"$0"`, file, "{member}"},
		Current: []string{"cat", file}, Timeout: spec.Duration(soon),
	})
	require.NoError(t, err)
	return topology.RouteSpec{Name: "models-gateway", Kind: "exec", Address: "127.0.0.1:1", With: with}
}

// Order decides, not speed: the first member is waited for although a later one
// answered long ago; one that hangs is not waited for once a better one is whole.
func TestLLMFailoverKeepsTheOrder(t *testing.T) {
	w := newModels(t)
	file := filepath.Join(t.TempDir(), "leads-to")
	require.NoError(t, os.WriteFile(file, []byte("vendor-b"), 0o600))
	at := w.target(execRoute(t, file))
	w.mode("vendor-a", vendor.Mode{Name: vendor.Latency, Delay: spec.Duration(200e6)})
	w.mode("vendor-c", vendor.Mode{Name: vendor.BlackHole})
	// If it waited for vendor-c, this would take an hour.
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	var log book
	require.NoError(t, remedy(t, "llm-failover", `{"timeout":"1h"}`).Apply(ctx, at, &log))
	require.Len(t, log.steps, 2)
	assert.Equal(t, "vendor-a", log.steps[0].Member)
	assert.Equal(t, "vendor-a", log.steps[1].Member)

	// Every vendor was really asked, at once, with a request that can be told apart.
	for name, v := range w.vendors {
		entries := v.Log()
		require.Len(t, entries, 2, name)
		assert.True(t, strings.HasPrefix(entries[0].ID, "firedrill-canary-"), entries[0].ID)
		assert.NotEqual(t, entries[0].ID, entries[1].ID)
		assert.NotEqual(t, entries[0].Stream, entries[1].Stream, "one as a stream, one not")
		assert.True(t, entries[0].Key)
	}
}

// Of a vendor that fails some of its requests two tries may well pass. Requests fail
// while the route leads to it alone: it gets the route again only if nobody else answers.
func TestLLMFailoverDoubtsWhoFails(t *testing.T) {
	w := newModels(t)
	file := filepath.Join(t.TempDir(), "leads-to")
	require.NoError(t, os.WriteFile(file, []byte("vendor-a"), 0o600))
	at := w.target(execRoute(t, file))
	w.mode("vendor-b", vendor.Mode{Name: vendor.Quota})
	var log book
	require.NoError(t, remedy(t, "llm-failover", "").Apply(t.Context(), at, &log))
	require.Len(t, log.steps, 4)
	assert.Equal(t, "vendor-a", log.steps[0].Member)
	assert.Regexp(t, `^answered whole in \d+ ms; requests fail although a route leads there alone, so another is looked for$`, log.steps[0].Detail)
	assert.NotEmpty(t, log.steps[1].Err)
	assert.Equal(t, topology.Step{Name: "switch route models-gateway", Member: "vendor-c", Detail: "led to vendor-a before"}, log.steps[3])
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "vendor-c", string(b))
}

// asks has one try of vendor-a, an API that answers streams with them.
func asks(t *testing.T, with map[string]any, stream ...string) (*book, http.Header, error) {
	t.Helper()
	seen := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		fmt.Fprint(rw, strings.Join(stream, "\n\n")+"\n\n")
	}))
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "leads-to")
	require.NoError(t, os.WriteFile(file, []byte("vendor-a"), 0o600))
	w := &models{t: t, spec: topology.ComponentSpec{Name: "models", Kind: "llm"}}
	w.spec.Members = []topology.MemberSpec{{Name: "vendor-a", Address: strings.TrimPrefix(s.URL, "http://")}}
	with["models"] = map[string]string{"chat": "gpt-4o"}
	var err error
	w.spec.With, err = json.Marshal(with)
	require.NoError(t, err)
	var log book
	err = remedy(t, "llm-failover", `{"tries":1,"timeout":"10s"}`).Apply(t.Context(), w.target(execRoute(t, file)), &log)
	return &log, <-seen, err
}

// The key of with.key is the gateway's.
func TestVendorWithoutAKeyGetsNone(t *testing.T) {
	t.Setenv("FIREDRILL_TEST_GATEWAY_KEY", gatewayKey)
	t.Setenv("FIREDRILL_TEST_VENDOR_KEY", vendorKey)
	whole := []string{`data: {"model":"gpt-4o","choices":[{"delta":{"content":"1 2"},"finish_reason":"stop"}]}`, "data: [DONE]"}
	_, header, err := asks(t, map[string]any{"key": "env:FIREDRILL_TEST_GATEWAY_KEY"}, whole...)
	require.NoError(t, err)
	assert.NotContains(t, header, "Authorization")
	assert.NotContains(t, fmt.Sprint(header), gatewayKey)
	_, header, err = asks(t, map[string]any{
		"key": "env:FIREDRILL_TEST_GATEWAY_KEY", "vendors": map[string]any{"vendor-a": map[string]string{"key": "env:FIREDRILL_TEST_VENDOR_KEY"}},
	}, whole...)
	require.NoError(t, err)
	assert.Equal(t, "Bearer "+vendorKey, header.Get("Authorization"))
}

// What the probe takes for whole is whole here, and the other way round.
func TestLLMFailoverTakesWhatTheProbeTakes(t *testing.T) {
	piece := `data: {"model":%q,"choices":[{"delta":{"content":"1 2"},"finish_reason":%s}]}`
	for name, c := range map[string]struct {
		model, finish, end, want string
	}{
		"whole":            {"gpt-4o", `"stop"`, "data: [DONE]", ""},
		"a dated version":  {"gpt-4o-2024-08-06", `"stop"`, "data: [DONE]", ""},
		"without [DONE]":   {"gpt-4o", `"stop"`, "", ""},
		"no finish reason": {"gpt-4o", `null`, "", "the stream ended after 3 characters without a finish reason or [DONE]"},
		"a smaller model":  {"gpt-4o-mini", `"stop"`, "data: [DONE]", `the answer is from model "gpt-4o-mini", asked was "gpt-4o"`},
	} {
		t.Run(name, func(t *testing.T) {
			log, _, err := asks(t, map[string]any{}, fmt.Sprintf(piece, c.model, c.finish), c.end)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			assert.Contains(t, log.steps[0].Err, c.want)
		})
	}
}

func TestLLMFailoverThatCannotHelp(t *testing.T) {
	w := newModels(t)
	file := filepath.Join(t.TempDir(), "leads-to")
	require.NoError(t, os.WriteFile(file, []byte("vendor-a"), 0o600))
	apply := func(with string, routes ...topology.RouteSpec) (*book, error) {
		var log book
		return &log, remedy(t, "llm-failover", with).Apply(t.Context(), w.target(routes...), &log)
	}
	fixed := topology.RouteSpec{Name: "models-gateway", Kind: "fixed", Address: "127.0.0.1:1"}
	log, err := apply("", fixed)
	assert.ErrorContains(t, err, "route models-gateway is fixed: it cannot be switched")
	assert.Empty(t, log.steps)
	assert.Empty(t, w.vendors["vendor-a"].Log(), "nobody is asked in vain")
	_, err = apply(`{"route":"nix"}`, fixed)
	assert.ErrorContains(t, err, `component models has no route "nix" to switch`)
	_, err = apply(`{"models":{"vendor-d":"x"}}`, fixed)
	assert.ErrorContains(t, err, `no member "vendor-d"`)

	// A fixed route beside one that can be switched is passed over.
	gateway := execRoute(t, file)
	gateway.Name = "second"
	for _, name := range vendorNames[1:] {
		w.mode(name, vendor.Mode{Name: vendor.Quota})
	}
	log, err = apply("", fixed, gateway)
	require.NoError(t, err)
	assert.Equal(t, "leads there already", log.step("switch route second").Detail)

	// A route that leads to several members and cannot be led back to all of them.
	require.NoError(t, os.WriteFile(file, []byte("vendor-a vendor-b"), 0o600))
	log, err = apply("", gateway)
	assert.ErrorContains(t, err, "route second: it leads to vendor-a, vendor-b, and a route of kind exec can be led back to one member only")
	assert.Empty(t, log.undos)

	w.mode("vendor-a", vendor.Mode{Name: vendor.Status, Status: 503})
	w.mode("vendor-b", vendor.Mode{Name: vendor.Quota})
	w.mode("vendor-c", vendor.Mode{Name: vendor.Refused})
	require.NoError(t, os.WriteFile(file, []byte("vendor-a"), 0o600))
	log, err = apply("", gateway)
	require.Error(t, err)
	for _, want := range []string{"no member of models answers: vendor-a: 503 ", "; vendor-b: 429 insufficient_quota: ", "; vendor-c: http://"} {
		assert.ErrorContains(t, err, want)
	}
	assert.Len(t, log.steps, 3)
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, "vendor-a", string(bytes.TrimSpace(b)), "it leads where it led")

	t.Setenv("FIREDRILL_TEST_VENDOR_KEY", "sk-expired-key")
	w.mode("vendor-a", vendor.Mode{})
	_, err = apply("", gateway)
	assert.ErrorContains(t, err, "vendor-a: 401 invalid_api_key")
	assert.NotContains(t, err.Error(), "sk-expired-key")
}
