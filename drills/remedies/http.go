package remedies

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// HTTPSpec is a call of an admin API. In URLs, header values, bodies and
// expectBody {component} stands for the component's name, {members} for the names
// of the targets, separated by commas, {primary} for the primary's before the
// drill, and {next} for the member's that is next in order after the primary. All
// of them end up in records: not for secrets.
type HTTPSpec struct {
	// Method is the request's method.
	Method string `json:"method,omitempty"`
	// URL is what is called, over http or https, without a proxy. Redirects are not
	// followed.
	URL string `json:"url"`
	// Headers are sent with every request: the call, its check and its undo.
	Headers map[string]string `json:"headers,omitempty"`
	// SecretHeaders are sent with the value that the reference leads to.
	SecretHeaders map[string]spec.Secret `json:"secretHeaders,omitempty"`
	// Body is the request's body.
	Body string `json:"body,omitempty"`
	// ExpectStatus lists the status codes that count as done (default: 200 to 299).
	ExpectStatus []int `json:"expectStatus,omitempty"`
	// ExpectBody is a regular expression (RE2) that the first MiB of the answer must
	// contain.
	ExpectBody string `json:"expectBody,omitempty"`
	// Check tells whether what the call is for is so: if it is before the call, no
	// call is made, and after the call it is asked until it is.
	Check *HTTPCheck `json:"check,omitempty"`
	// Undo takes the call back when the drill ends; without, nothing needs to be
	// taken back.
	Undo *HTTPUndo `json:"undo,omitempty"`
	// CAFile holds the certificates (PEM) to trust instead of the system's.
	CAFile string `json:"caFile,omitempty"`
	// Timeout is how long the call with its check may take, and the undo with its own.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

// HTTPCheck is a GET request that tells whether something is so.
type HTTPCheck struct {
	// URL is what is asked.
	URL string `json:"url"`
	// ExpectStatus lists the status codes that say so (default: 200 to 299).
	ExpectStatus []int `json:"expectStatus,omitempty"`
	// ExpectBody is a regular expression (RE2) that the answer must contain.
	ExpectBody string `json:"expectBody,omitempty"`
}

// HTTPUndo is the call that takes a call back. It must be safe to make when that
// one was not made or failed, and to make twice.
type HTTPUndo struct {
	// Method is the request's method (default: that of the call).
	Method string `json:"method,omitempty"`
	// URL is what is called (default: that of the call).
	URL string `json:"url,omitempty"`
	// Headers are sent beside those of the call.
	Headers map[string]string `json:"headers,omitempty"`
	// Body is the request's body.
	Body string `json:"body,omitempty"`
	// ExpectStatus lists the status codes that count as done (default: 200 to 299).
	ExpectStatus []int `json:"expectStatus,omitempty"`
	// Check tells whether it is undone: as with the call.
	Check *HTTPCheck `json:"check,omitempty"`
}

var httpDefaults = HTTPSpec{Method: "POST", Timeout: spec.Duration(10 * time.Second)}

type httpRemedy struct{ call, undo *httpCall }

func newHTTP(s HTTPSpec) (drills.Remedy, error) {
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	r := httpRemedy{call: &httpCall{
		Method: s.Method, URL: s.URL, Headers: s.Headers, SecretHeaders: s.SecretHeaders, Body: s.Body,
		ExpectStatus: s.ExpectStatus, ExpectBody: s.ExpectBody, Check: s.Check, CAFile: s.CAFile, Timeout: s.Timeout,
	}}
	if err := r.call.valid("with"); err != nil || s.Undo == nil {
		return r, err
	}
	u := *r.call
	u.Body, u.ExpectStatus, u.ExpectBody, u.Check = s.Undo.Body, s.Undo.ExpectStatus, "", s.Undo.Check
	u.Headers = map[string]string{}
	for _, from := range []map[string]string{s.Headers, s.Undo.Headers} {
		for name, value := range from {
			u.Headers[name] = value
		}
	}
	if s.Undo.Method != "" {
		u.Method = s.Undo.Method
	}
	if s.Undo.URL != "" {
		u.URL = s.Undo.URL
	}
	r.undo = &u
	return r, u.valid("with.undo")
}

// Apply makes the call unless its check says that it is done already; its undo is
// journaled before.
func (r httpRemedy) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	call, err := r.call.at(t)
	if err != nil {
		return err
	}
	ctx, cancel := call.limit(ctx)
	defer cancel()
	step := topology.Step{Name: call.name()}
	if call.Check != nil && call.holds(ctx) == nil {
		step.Detail = "done already"
		log.Step(step)
		return nil
	}
	scope := scopeOf(log)
	call.Key = keyOf(scope, call)
	if err := call.ready(ctx); err != nil {
		return err
	}
	undo, err := r.planUndo(ctx, t, scope)
	if err != nil {
		return fmt.Errorf("with.undo: %w", err)
	}
	return deed(log, step, undo, func() (string, error) { return call.carryOut(ctx) })
}

// planUndo returns nil if there is nothing to undo.
func (r httpRemedy) planUndo(ctx context.Context, t drills.Target, scope string) (*drills.Undo, error) {
	if r.undo == nil {
		return nil, nil
	}
	u, err := r.undo.at(t)
	if err != nil {
		return nil, err
	}
	u.Key = keyOf(scope+" undo", u)
	if err := u.ready(ctx); err != nil {
		return nil, err
	}
	return undoWith(u.name(), u)
}

// Revert implements drills.Reverter.
func (httpRemedy) Revert(ctx context.Context, u drills.Undo) error {
	var call httpCall
	if err := readUndo(u, &call); err != nil {
		return err
	}
	ctx, cancel := call.limit(ctx)
	defer cancel()
	if call.Check != nil && call.holds(ctx) == nil {
		return nil
	}
	_, err := call.carryOut(ctx)
	return err
}

// scoped is a log that knows which run and which of its remedies it belongs to.
type scoped interface {
	// Scope is the same when the remedy is applied again after an interruption, and
	// another one for every other run and remedy.
	Scope() string
}

// scopeOf is the log's scope, or a fresh one.
func scopeOf(log drills.RemedyLog) string {
	if s, ok := log.(scoped); ok {
		return s.Scope()
	}
	return rand.Text()
}

// keyOf makes an idempotency key for a call within a scope.
func keyOf(scope string, c *httpCall) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{scope, c.Method, c.URL, c.Body}, "\x00")))
	return "firedrill-" + hex.EncodeToString(sum[:16])
}
