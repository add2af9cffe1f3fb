package injectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
	"firedrill/injectors/faultpoint"
)

// LLMFaultSpec makes members of an llm component fail the way vendors of models
// do, at the fault point that stands in front of them. Parameters that a mode has
// no use for are left alone.
type LLMFaultSpec struct {
	// Mode is how: the connection is refused, reset, or a black-hole that swallows
	// everything; its TLS handshake fails (tls) or the name does not resolve (dns); the
	// answer is unauthorized (401), forbidden (403), model-gone (404), rate-limited
	// (429), quota (429 insufficient_quota) or another status; it comes late (latency)
	// or late after its header (slow-first-token); it stalls, is cut in good order, has
	// an event that is no JSON (malformed-sse), ends within its JSON (truncated-json),
	// has no choice (empty-choice), or names another model (wrong-model). In tls and
	// dns, connections that are open end with the request that is on them; who does not
	// verify certificates gets through tls, and who goes on with an address beyond its
	// time to live through dns.
	Mode string `json:"mode" jsonschema:"enum=refused,enum=reset,enum=black-hole,enum=tls,enum=dns,enum=unauthorized,enum=forbidden,enum=model-gone,enum=rate-limited,enum=quota,enum=status,enum=latency,enum=slow-first-token,enum=stall,enum=cut,enum=malformed-sse,enum=truncated-json,enum=empty-choice,enum=wrong-model"`
	// Share is the share of the requests that this happens to, above 0.
	Share float64 `json:"share,omitempty" jsonschema:"minimum=0,maximum=1"`
	// Seed is that of the generator that chooses them; 0: a new one for each drill,
	// which the record has.
	Seed uint32 `json:"seed,omitempty"`
	// Status is the answer of mode status.
	Status int `json:"status,omitempty" jsonschema:"minimum=400,maximum=599"`
	// RetryAfter is what rate-limited and status tell the client to wait, in whole
	// seconds; 0s: they do not say.
	RetryAfter spec.Duration `json:"retryAfter,omitempty"`
	// Delay is how late latency and slow-first-token are.
	Delay spec.Duration `json:"delay,omitempty"`
	// After is how many events of a stream stall and cut let pass (most vendors send
	// a first one without text, and then one for each token), and which one
	// malformed-sse and truncated-json break. Of an answer in one piece, half passes.
	After int `json:"after,omitempty" jsonschema:"minimum=0"`
	// Model is the one that answers name in mode wrong-model.
	Model string `json:"model,omitempty"`
	// TLS is what mode tls shows to those who connect: an expired certificate, one
	// that is untrusted only, neither signed by anybody, or an alert in the middle of
	// the handshake.
	TLS string `json:"tls,omitempty" jsonschema:"enum=expired,enum=untrusted,enum=handshake"`
	// DNS is what mode dns says: nxdomain, servfail, or nothing (timeout).
	DNS string `json:"dns,omitempty" jsonschema:"enum=nxdomain,enum=servfail,enum=timeout"`
	// Models are those whose requests are hit; default: all.
	Models []string `json:"models,omitempty"`
	// Paths are what the paths of requests that are hit begin with
	// ("/v1/embeddings"); default: all.
	Paths []string `json:"paths,omitempty"`
	// Keys are references (env:NAME or file:PATH) to the keys whose requests are
	// hit; default: all.
	Keys []spec.Secret `json:"keys,omitempty"`
	// Expires is after what time the fault point ends the fault by itself, should runner
	// and watchdog both be gone: at the latest a minute and a half after the drill's
	// longest time, or the fault's own.
	Expires spec.Duration `json:"expires,omitempty"`
}

var llmFaultDefaults = LLMFaultSpec{
	Share: 1, Status: http.StatusServiceUnavailable, Delay: spec.Duration(30 * time.Second), After: 3,
	Model: "another-model", TLS: faultpoint.Expired, DNS: faultpoint.NXDomain, Expires: spec.Duration(2 * time.Hour),
}

func newLLMFault(k topology.Kinds) func(LLMFaultSpec) (drills.Injector, error) {
	return func(s LLMFaultSpec) (drills.Injector, error) {
		return newWireFault(k, faultpoint.Fault{
			Mode: faultpoint.Mode(s.Mode), Share: s.Share, Seed: s.Seed, Status: s.Status, RetryAfter: s.RetryAfter,
			Delay: s.Delay, After: s.After, Model: s.Model, TLS: s.TLS, DNS: s.DNS, Models: s.Models, Paths: s.Paths,
		}, s.Keys, s.Expires, llmQuestion)
	}
}

// operations are what models are asked for, with the rest of their paths.
var operations = []struct{ op, path string }{
	{"chat", "/chat/completions"}, {"embedding", "/embeddings"}, {"rerank", "/rerank"},
}

// llmQuestion finds a request of ours that a fault fits: of the first operation
// whose path and model are among those that are hit.
func llmQuestion(c *topology.Component, m *topology.Member, f faultpoint.Fault) (question, error) {
	cfg, err := llm.ConfigOf(c)
	if err != nil {
		return question{}, err
	}
	q := question{Method: http.MethodPost, Base: cfg.Base(c, m), Key: cfg.Vendors[m.Name()].Key, Alive: cfg.BasePath + "/models"}
	models := map[string]string{"chat": cfg.Models.Chat, "embedding": cfg.Models.Embedding, "rerank": cfg.Models.Rerank}
	for _, o := range operations {
		q.Path, q.Op, q.Model = cfg.BasePath+o.path, o.op, models[o.op]
		if o.op == "chat" && len(f.Models) > 0 && !slices.Contains([]string{cfg.Models.Embedding, cfg.Models.Rerank}, f.Models[0]) {
			q.Model = f.Models[0]
		}
		if q.Model == "" || !fits(q.Path, f.Paths) || len(f.Models) > 0 && !slices.Contains(f.Models, q.Model) {
			continue
		}
		if f.Mode == faultpoint.MalformedSSE && o.op != "chat" {
			return q, fmt.Errorf("mode: malformed-sse needs answers that are streamed: %s has none", q.Path)
		}
		if f.Mode == faultpoint.WrongModel && f.Model == q.Model {
			return q, fmt.Errorf("model: %q is the one that is asked for: name another", f.Model)
		}
		q.Base = strings.TrimSuffix(q.Base, cfg.BasePath)
		return q, nil
	}
	return q, errors.New("no request of firedrill's own would be hit, so that nobody could confirm the fault: " +
		"let paths have one of /chat/completions, /embeddings and /rerank below the base path, and models one of with.models")
}

func fits(path string, prefixes []string) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(path, p) })
}

// body is the cheapest request that shows what a mode does: a stream only where it
// takes one, and no more tokens than that.
func (q question) body(f faultpoint.Fault, id string) []byte {
	m := map[string]any{"model": q.Model, "user": id}
	switch q.Op {
	case "embedding":
		m["input"] = "ping"
	case "rerank":
		m["query"], m["documents"] = "ping", []string{"ping", "pong"}
	case "chat":
		words := 1
		if q.streams(f) {
			m["stream"] = true
			words = f.After + 6
		}
		var text []string
		for i := range words {
			text = append(text, strconv.Itoa(i+1))
		}
		m["messages"] = []map[string]string{{"role": "user", "content": "Reply with exactly: " + strings.Join(text, " ")}}
		m["max_tokens"] = 2*words + 4
	default:
		return nil
	}
	b, _ := json.Marshal(m) // of strings and numbers: cannot fail
	return b
}

// streams tells whether a mode is looked for in a stream.
func (q question) streams(f faultpoint.Fault) bool {
	return q.Op == "chat" && slices.Contains([]faultpoint.Mode{
		faultpoint.SlowFirstToken, faultpoint.Stall, faultpoint.Cut, faultpoint.MalformedSSE,
	}, f.Mode)
}
