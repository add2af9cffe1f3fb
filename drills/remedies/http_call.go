package remedies

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"firedrill/drills/spec"
	"firedrill/drills/topology/control/poll"
)

// httpCall is a request with the answer that it wants. It is what the undo of an
// http remedy holds: references to secrets, never values.
type httpCall struct {
	Method        string                 `json:"method"`
	URL           string                 `json:"url"`
	Headers       map[string]string      `json:"headers,omitempty"`
	SecretHeaders map[string]spec.Secret `json:"secret_headers,omitempty"`
	Body          string                 `json:"body,omitempty"`
	ExpectStatus  []int                  `json:"expect_status,omitempty"`
	ExpectBody    string                 `json:"expect_body,omitempty"`
	Check         *HTTPCheck             `json:"check,omitempty"`
	CAFile        string                 `json:"ca_file,omitempty"`
	Timeout       spec.Duration          `json:"timeout"`
	// Key is sent as Idempotency-Key.
	Key string `json:"key,omitempty"`
}

const (
	// checkEvery is how often a check is asked, tryLimit how long one answer may take.
	checkEvery = 50 * time.Millisecond
	tryLimit   = 2 * time.Second
	// answerLimit is how much of an answer is read.
	answerLimit = 1 << 20
)

// name says what the call is, for steps and undos.
func (c *httpCall) name() string { return "call " + c.Method + " " + c.URL }

func (c *httpCall) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.Timeout.Std(), fmt.Errorf("not done after %s", c.Timeout))
}

// ready returns an error if the call cannot even be sent.
func (c *httpCall) ready(ctx context.Context) error {
	_, _, err := c.request(ctx, c.Method, c.URL, c.Body)
	if err == nil {
		_, err = c.trust()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name(), err)
	}
	return nil
}

// carryOut makes the call, and waits until its check, if it has one, says that it
// is done.
func (c *httpCall) carryOut(ctx context.Context) (string, error) {
	said, err := c.send(ctx, c.Method, c.URL, c.Body, c.ExpectStatus, c.ExpectBody)
	if err != nil || c.Check == nil {
		return said, err
	}
	if err := poll.Until(ctx, checkEvery, c.holds); err != nil {
		return said, fmt.Errorf("%s: answered %s, but its check does not hold: %w", c.name(), said, err)
	}
	return said, nil
}

// holds returns nil if the check does.
func (c *httpCall) holds(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, tryLimit, fmt.Errorf("no answer within %s", tryLimit))
	defer cancel()
	_, err := c.send(ctx, http.MethodGet, c.Check.URL, "", c.Check.ExpectStatus, c.Check.ExpectBody)
	return err
}
