package vendor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"firedrill/drills/spec"
)

// The modes: how a vendor fails.
const (
	// Healthy answers everything as asked.
	Healthy = ""
	// Refused closes the listener and cuts every connection.
	Refused = "refused"
	// Reset answers a request with a TCP reset.
	Reset = "reset"
	// BlackHole reads and never answers, and lets answers that are under way stop.
	// What it swallowed stays swallowed when the mode ends.
	BlackHole = "black-hole"
	// Unauthorized answers 401, as to a key that was revoked.
	Unauthorized = "unauthorized"
	// Forbidden answers 403.
	Forbidden = "forbidden"
	// ModelGone answers 404 model_not_found, and leaves models out of the list.
	ModelGone = "model-gone"
	// RateLimited answers 429, with Retry-After if the mode says how long.
	RateLimited = "rate-limited"
	// Quota answers 429 insufficient_quota.
	Quota = "quota"
	// Status answers the mode's HTTP status.
	Status = "status"
	// Latency lets every answer begin late.
	Latency = "latency"
	// SlowFirstToken sends the head of a stream in time and its first token late.
	// Any other answer is late as a whole.
	SlowFirstToken = "slow-first-token"
	// Stall sends a part and then, for the mode's delay or for ever, nothing.
	Stall = "stall"
	// Cut ends a stream after some tokens without [DONE], in good order. Any other
	// body is cut by closing the connection before its end.
	Cut = "cut"
	// MalformedSSE sends an event of a stream with half of its JSON, and goes on.
	MalformedSSE = "malformed-sse"
	// GarbledSSE breaks a line of a stream so that it is no event: readers pass over
	// it, as they must over fields that they do not know, and a token is missing.
	GarbledSSE = "garbled-sse"
	// TruncatedJSON ends a body, or a stream within one of its events, in the middle
	// of its JSON and in good order.
	TruncatedJSON = "truncated-json"
	// EmptyChoice answers without a choice, an embedding or a result.
	EmptyChoice = "empty-choice"
	// WrongModel answers in the name of another model.
	WrongModel = "wrong-model"
	// HTML answers 200 with a page.
	HTML = "html"
	// WrongEmbedding answers with another dimension or from another vector space.
	WrongEmbedding = "wrong-embedding"
)

// Modes are the names of all modes but Healthy.
func Modes() []string {
	return []string{
		Refused, Reset, BlackHole, Unauthorized, Forbidden, ModelGone, RateLimited, Quota, Status, Latency,
		SlowFirstToken, Stall, Cut, MalformedSSE, GarbledSSE, TruncatedJSON, EmptyChoice, WrongModel, HTML, WrongEmbedding,
	}
}

// The operations.
const (
	OpModels    = "models"
	OpChat      = "chat"
	OpEmbedding = "embedding"
	OpRerank    = "rerank"
)

// Mode is how a vendor fails, and at which requests. The zero Mode is a healthy
// vendor.
type Mode struct {
	// Name is one of the modes.
	Name string `json:"mode"`
	// Share is the part of the requests that fail, above 0 and up to 1; 0 means all.
	Share float64 `json:"share,omitempty"`
	// Seed makes the same sequence of requests fail again.
	Seed uint64 `json:"seed,omitempty"`
	// Models are the models whose requests fail; empty means all.
	Models []string `json:"models,omitempty"`
	// Ops are the operations that fail: models, chat, embedding, rerank. Empty means
	// all, but for rate-limited and quota not models: such vendors still list them.
	Ops []string `json:"ops,omitempty"`
	// After is how many tokens a stream sends before it fails; malformed-sse,
	// garbled-sse and truncated-json break the one that follows, or the last one.
	After int `json:"after,omitempty"`
	// Delay is how late the answer is; for stall how long the silence lasts, 0 for
	// ever.
	Delay spec.Duration `json:"delay,omitempty"`
	// RetryAfter is what rate-limited asks for, in whole seconds; 0: it does not say.
	RetryAfter spec.Duration `json:"retryAfter,omitempty"`
	// Status is the HTTP status of the mode of that name, 400 to 599.
	Status int `json:"status,omitempty"`
	// Dimension is that of wrong embeddings; 0: the right one in a wrong space.
	Dimension int `json:"dimension,omitempty"`
}

func (m Mode) check() error {
	switch {
	case m.Name != Healthy && !slices.Contains(Modes(), m.Name):
		return fmt.Errorf("mode %q: want one of %s, or \"\"", m.Name, strings.Join(Modes(), ", "))
	case m.Share < 0 || m.Share > 1:
		return fmt.Errorf("mode %s: share %v: want more than 0 and at most 1", m.Name, m.Share)
	case m.After < 0 || m.Dimension < 0 || m.Delay < 0 || m.RetryAfter < 0:
		return fmt.Errorf("mode %s: after, dimension, delay and retryAfter must not be negative", m.Name)
	case m.Name == Refused && (m.share() < 1 || len(m.Models)+len(m.Ops) > 0):
		return errors.New("mode refused: who listens not at all cannot choose: take reset for a share, models or ops")
	case m.Name == Status && (m.Status < 400 || m.Status > 599):
		return fmt.Errorf("mode status: status %d: want one from 400 to 599", m.Status)
	case (m.Name == Latency || m.Name == SlowFirstToken) && m.Delay == 0:
		return fmt.Errorf("mode %s: delay: want more than 0s", m.Name)
	}
	for _, op := range m.Ops {
		if !slices.Contains([]string{OpModels, OpChat, OpEmbedding, OpRerank}, op) {
			return fmt.Errorf("mode %s: ops: %q: want models, chat, embedding or rerank", m.Name, op)
		}
	}
	return nil
}

func (m Mode) share() float64 {
	if m.Share == 0 {
		return 1
	}
	return m.Share
}

// reaches tells whether the mode is meant for such a request, and can do anything
// to it.
func (m Mode) reaches(e Entry) bool {
	if e.Op == "" || !m.can(e) || !m.chosen(e.Op) {
		return false
	}
	// The list of models is of all of them: model-gone sorts it out itself.
	return len(m.Models) == 0 || slices.Contains(m.Models, e.Model) || m.Name == ModelGone && e.Op == OpModels
}

func (m Mode) can(e Entry) bool {
	switch m.Name {
	case MalformedSSE, GarbledSSE:
		return e.Stream
	case WrongEmbedding:
		return e.Op == OpEmbedding
	case SlowFirstToken, EmptyChoice, WrongModel:
		return e.Op != OpModels
	}
	return true
}

// chosen tells whether the mode is meant for an operation. A vendor without quota or
// capacity still lists its models, unless it is told otherwise: that is why health
// checks stay green.
func (m Mode) chosen(op string) bool {
	if len(m.Ops) > 0 {
		return slices.Contains(m.Ops, op)
	}
	return op != OpModels || m.Name != RateLimited && m.Name != Quota
}

// active is a mode that was set, with its chance.
type active struct {
	Mode
	chance *rand.Rand
}

// SetMode makes the vendor fail, or work again with the zero Mode. Requests that are
// under way go on as they began, unless they are cut (refused) or swallowed
// (black-hole). It returns once the mode is in force. An error leaves the vendor as
// it was, or refusing if its address is taken.
func (v *Vendor) SetMode(m Mode) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("vendor %s: %w", v.cfg.Name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return fmt.Errorf("vendor %s: %w", v.cfg.Name, http.ErrServerClosed)
	}
	if m.Name == Refused {
		v.mode = &active{Mode: m}
		v.refuse()
		return nil
	}
	if v.listener == nil {
		if err := v.listen(); err != nil {
			return fmt.Errorf("vendor %s: %w", v.cfg.Name, err)
		}
	}
	v.mode = &active{Mode: m, chance: rand.New(rand.NewPCG(m.Seed, 0))}
	return nil
}

// draw returns the mode that a request is to suffer, and which one was in force.
// Chance falls in order of arrival, only for requests that the mode reaches.
func (v *Vendor) draw(e Entry) (Mode, *active) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.mode
	if a.Name == Healthy || a.chance == nil || !a.reaches(e) || a.chance.Float64() >= a.share() {
		return Mode{}, a
	}
	return a.Mode, a
}
