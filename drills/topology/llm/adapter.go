package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

type adapter struct {
	cfg    Config
	c      *topology.Component
	client *http.Client
}

func newAdapter(cfg Config, c *topology.Component) (topology.Adapter, error) {
	if err := cfg.checkMembers(c); err != nil {
		return nil, err
	}
	return &adapter{cfg: cfg, c: c, client: Client(c)}, nil
}

// Discover asks every member at once for its models. By priority, the first that
// answers is the primary and the others are replicas; balanced ones are instances.
func (a *adapter) Discover(ctx context.Context) (topology.State, error) {
	st := topology.State{Members: make([]topology.MemberState, len(a.c.Members))}
	var wg sync.WaitGroup
	for i, m := range a.c.Members {
		wg.Go(func() {
			st.Members[i] = topology.MemberState{Member: m.Name(), Role: topology.Instance}
			if err := a.models(ctx, m); err != nil {
				st.Members[i].Role, st.Members[i].Problem = topology.Down, err.Error()
			}
		})
	}
	wg.Wait()
	if a.cfg.Strategy != "priority" {
		return st, nil
	}
	role := topology.Primary
	for i := range st.Members {
		if st.Members[i].Role != topology.Down {
			st.Members[i].Role, role = role, topology.Replica
		}
	}
	return st, nil
}

// models returns nil if the member lists models.
func (a *adapter) models(ctx context.Context, m *topology.Member) error {
	key, err := a.cfg.Vendors[m.Name()].Key.Resolve()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout.Std())
	defer cancel()
	at := a.cfg.Base(a.c, m) + "/models"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return a.why(at, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return a.why(at, err)
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: %s: the key is not accepted: see with.vendors.%s.key", at, resp.Status, m.Name())
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %s: %s: is the base path %q right (with.basePath)?", at, resp.Status, said(body), a.cfg.BasePath)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s: %s", at, resp.Status, said(body))
	case !strings.HasPrefix(strings.TrimSpace(string(body)), "{"):
		return fmt.Errorf("%s: the answer is not JSON (%.60s): is this an OpenAI-compatible API, and the base path %s right?", at, firstLine(body), a.cfg.BasePath)
	}
	return nil
}

// said is an error's message, or how a body begins that is none.
func said(body []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &e) == nil && e.Error.Message != "" {
		return fmt.Sprintf("%.200s", firstLine([]byte(e.Error.Message)))
	}
	return fmt.Sprintf("%.100s", firstLine(body))
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// why says what a failed request came to, in one line.
func (a *adapter) why(at string, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%s: connection refused: nothing listens there", at)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: the connection was cut: is who stands behind it down?", at)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: no answer within %s", at, a.cfg.Timeout)
	}
	if inner := errors.Unwrap(err); inner != nil { // the URL is said already
		err = inner
	}
	return fmt.Errorf("%s: %w", at, err)
}

// settleEvery is how often members are asked while they come back.
const settleEvery = 20 * time.Millisecond

// Restore waits until every member that was there before the drill is back. What
// the gateway does is its own affair, or that of the remedy that changed it.
func (a *adapter) Restore(ctx context.Context, keep topology.State, _ func(topology.Step)) (topology.Restored, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.cfg.Settle.Std(), fmt.Errorf("not back after %s", a.cfg.Settle))
	defer cancel()
	was := map[string]bool{}
	for _, name := range keep.With(topology.Down) {
		was[name] = true
	}
	var out topology.Restored
	err := poll.Until(ctx, settleEvery, func(ctx context.Context) error {
		st, err := a.Discover(ctx)
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			return err // a look that was cut short tells nothing
		}
		out = topology.Restored{State: st, KeptOut: map[string]string{}}
		for _, m := range st.Members {
			if m.Role == topology.Down {
				out.KeptOut[m.Member] = m.Problem
				if !was[m.Member] {
					err = errors.Join(err, fmt.Errorf("%s: %s", m.Member, m.Problem))
				}
			}
		}
		return err
	})
	if err != nil {
		return out, fmt.Errorf("restore %s: %w", a.c.Name(), err)
	}
	return out, nil
}
