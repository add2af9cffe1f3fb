package faultpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"firedrill/drills/spec"
)

// Mode is one way in which a member fails.
type Mode string

// The modes. Those that need no knowledge of what is said come first.
const (
	Refused        Mode = "refused"
	Reset          Mode = "reset"
	BlackHole      Mode = "black-hole"
	TLS            Mode = "tls"
	DNS            Mode = "dns"
	Status         Mode = "status"
	Latency        Mode = "latency"
	Stall          Mode = "stall"
	Cut            Mode = "cut"
	Unauthorized   Mode = "unauthorized"
	Forbidden      Mode = "forbidden"
	ModelGone      Mode = "model-gone"
	RateLimited    Mode = "rate-limited"
	Quota          Mode = "quota"
	SlowFirstToken Mode = "slow-first-token"
	MalformedSSE   Mode = "malformed-sse"
	TruncatedJSON  Mode = "truncated-json"
	EmptyChoice    Mode = "empty-choice"
	WrongModel     Mode = "wrong-model"
)

// place is where in an exchange a mode acts.
type place int

const (
	onTheConnection place = iota + 1
	insteadOfTheMember
	beforeTheMember
	inTheAnswer
)

var places = map[Mode]place{
	Refused: onTheConnection, Reset: onTheConnection, BlackHole: onTheConnection, TLS: onTheConnection, DNS: onTheConnection,
	Status: insteadOfTheMember, Unauthorized: insteadOfTheMember, Forbidden: insteadOfTheMember,
	ModelGone: insteadOfTheMember, RateLimited: insteadOfTheMember, Quota: insteadOfTheMember,
	Latency: beforeTheMember,
	Stall:   inTheAnswer, Cut: inTheAnswer, SlowFirstToken: inTheAnswer, MalformedSSE: inTheAnswer,
	TruncatedJSON: inTheAnswer, EmptyChoice: inTheAnswer, WrongModel: inTheAnswer,
}

// What mode tls shows instead of the certificate: one that nobody signed, and whose
// time may be over, or an alert in the middle of the handshake.
const (
	Expired   = "expired"
	Untrusted = "untrusted"
	Handshake = "handshake"
)

// What mode dns says instead of the address.
const (
	NXDomain = "nxdomain"
	ServFail = "servfail"
	Timeout  = "timeout"
)

// Fault is what a fault point does to the requests that it fits.
type Fault struct {
	// ID is whoever sets the fault's own name for it.
	ID string `json:"id"`
	// Members are those whose requests are hit.
	Members []string `json:"members"`
	Mode    Mode     `json:"mode"`
	// Share is what share of the requests that fit is hit, above 0, at most 1.
	Share float64 `json:"share"`
	// Seed is that of the generator that chooses them.
	Seed uint32 `json:"seed,omitempty"`
	// Status (400 to 599) and Body are the answer of mode status; an empty Body is
	// an error in OpenAI's format.
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// RetryAfter is the header of that name in modes status and rate-limited, in
	// whole seconds; 0: none.
	RetryAfter spec.Duration `json:"retryAfter,omitempty"`
	// Delay is how long latency and slow-first-token wait.
	Delay spec.Duration `json:"delay,omitempty"`
	// After is how many events of a stream stall and cut let pass, and which one is
	// broken in malformed-sse and truncated-json (from 1).
	After int `json:"after,omitempty"`
	// Model is the one that answers name in mode wrong-model.
	Model string `json:"model,omitempty"`
	// TLS is what mode tls shows, and DNS what mode dns says.
	TLS string `json:"tls,omitempty"`
	DNS string `json:"dns,omitempty"`
	// Models, Paths (prefixes) and Keys (see HashKey) say which requests fit; empty:
	// all.
	Models []string `json:"models,omitempty"`
	Paths  []string `json:"paths,omitempty"`
	Keys   []string `json:"keys,omitempty"`
	// Expires is when the fault ends by itself, should nobody clear it.
	Expires time.Time `json:"expires"`
}

// HashKey is how a fault names a key that requests carry as bearer token.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Check refuses what cannot be done. Members and Expires are not looked at.
func (f Fault) Check() error {
	switch p := places[f.Mode]; {
	case p == 0:
		return fmt.Errorf("mode: %q: see firedrill kinds for those that there are", f.Mode)
	case f.Share <= 0 || f.Share > 1:
		return fmt.Errorf("share: %v: want more than 0 and at most 1", f.Share)
	case (f.Mode == Refused || f.Mode == TLS || f.Mode == DNS) && !f.whole():
		return fmt.Errorf("mode: %s: happens before a request is read: leave out share, models, paths and keys, or take reset", f.Mode)
	case f.Mode == TLS && f.TLS != Expired && f.TLS != Untrusted && f.TLS != Handshake:
		return fmt.Errorf("tls: %q: want %s, %s or %s", f.TLS, Expired, Untrusted, Handshake)
	case f.Mode == DNS && f.DNS != NXDomain && f.DNS != ServFail && f.DNS != Timeout:
		return fmt.Errorf("dns: %q: want %s, %s or %s", f.DNS, NXDomain, ServFail, Timeout)
	case f.Mode == Status && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status: %d: want 400 to 599", f.Status)
	case (f.Mode == Latency || f.Mode == SlowFirstToken) && f.Delay <= 0:
		return errors.New("delay: must be longer than 0s")
	case f.After < 0:
		return fmt.Errorf("after: %d: must not be negative", f.After)
	case f.Mode == WrongModel && f.Model == "":
		return errors.New("model: name the model that answers are to name")
	}
	for _, path := range f.Paths {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("paths: %q: want a path that begins with /", path)
		}
	}
	return nil
}

// whole tells whether every request is hit.
func (f Fault) whole() bool {
	return f.Share == 1 && len(f.Models) == 0 && len(f.Paths) == 0 && len(f.Keys) == 0
}

// onConnections tells whether the fault hits connections, before any request on
// them is read. The same modes for a part of the requests act on those.
func (f Fault) onConnections() bool { return places[f.Mode] == onTheConnection && f.whole() }

// how is the way in which a mode is made that there are several of.
func (f Fault) how() string {
	switch f.Mode {
	case TLS:
		return f.TLS
	case DNS:
		return f.DNS
	}
	return ""
}

func (f Fault) equal(g Fault) bool {
	return f.ID == g.ID && f.Mode == g.Mode && f.Share == g.Share && f.Seed == g.Seed && f.Status == g.Status &&
		f.Body == g.Body && f.RetryAfter == g.RetryAfter && f.Delay == g.Delay && f.After == g.After && f.Model == g.Model && f.TLS == g.TLS && f.DNS == g.DNS &&
		slices.Equal(f.Members, g.Members) && slices.Equal(f.Models, g.Models) && slices.Equal(f.Paths, g.Paths) &&
		slices.Equal(f.Keys, g.Keys) && f.Expires.Equal(g.Expires)
}

// active is a fault in force.
type active struct {
	Fault
	// gone is closed when the fault is cleared: what it holds back is let go.
	gone chan struct{}
	end  *time.Timer
	hits atomic.Uint64

	mu sync.Mutex
	// dice hold a generator for each member, so that what one is asked does not
	// change who is hit at another.
	dice map[string]*rand.Rand
}

func newActive(f Fault) *active {
	a := &active{Fault: f, gone: make(chan struct{}), dice: map[string]*rand.Rand{}}
	for _, m := range f.Members {
		name := fnv.New64a()
		name.Write([]byte(m))
		a.dice[m] = rand.New(rand.NewPCG(uint64(f.Seed), name.Sum64()))
	}
	return a
}

// asked is what is known of a request before it is passed on.
type asked struct{ path, model, bearer string }

func (a *active) fits(q asked) bool {
	return (len(a.Models) == 0 || slices.Contains(a.Models, q.model)) &&
		(len(a.Keys) == 0 || slices.Contains(a.Keys, HashKey(q.bearer))) &&
		(len(a.Paths) == 0 || slices.ContainsFunc(a.Paths, func(p string) bool { return strings.HasPrefix(q.path, p) }))
}

// draw decides about one request that fits.
func (a *active) draw(member string) bool {
	if a.Share == 1 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dice[member].Float64() < a.Share
}

// choose returns the first of the faults that hits the request, or nil.
func choose(faults []*active, member string, q asked) *active {
	for _, a := range faults {
		if a.fits(q) && a.draw(member) {
			a.hits.Add(1)
			return a
		}
	}
	return nil
}
