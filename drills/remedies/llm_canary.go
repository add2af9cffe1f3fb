package remedies

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
)

// canary asks one member the way the gateway does.
type canary struct {
	spec LLMFailoverSpec
	cfg  llm.Config
	c    *topology.Component
	m    *topology.Member
}

// tried is what came of it: took is how long the slowest answer took.
type tried struct {
	took time.Duration
	err  error
}

// ask sends all requests at once; each must be answered whole.
func (k canary) ask(ctx context.Context) tried {
	began := time.Now()
	errs := make([]error, k.spec.Tries)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = k.once(ctx, i%2 == 0) })
	}
	wg.Wait()
	out := tried{took: time.Since(began)}
	bad := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		if bad++; out.err == nil {
			out.err = err
		}
	}
	if bad > 0 && bad < len(errs) {
		out.err = fmt.Errorf("%d of %d answers were not whole: %w", bad, len(errs), out.err)
	}
	return out
}

// once returns nil if one request was answered whole in time.
func (k canary) once(ctx context.Context, stream bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, k.spec.Timeout.Std(), fmt.Errorf("no answer within %s", k.spec.Timeout))
	defer cancel()
	req, key, err := k.request(ctx, stream)
	if err != nil {
		return err
	}
	a, err := k.exchange(ctx, req, stream)
	if err == nil {
		err = k.judge(a)
	}
	if err != nil && key != "" { // vendors repeat keys in their errors
		err = errors.New(strings.ReplaceAll(err.Error(), key, "[key]"))
	}
	return err
}

// model is the model's name at the member.
func (k canary) model() string {
	if name := k.spec.Models[k.m.Name()]; name != "" {
		return name
	}
	return k.cfg.Models.Chat
}

func (k canary) request(ctx context.Context, stream bool) (*http.Request, string, error) {
	if k.model() == "" {
		return nil, "", fmt.Errorf("component %s: with.models.chat: name the model to ask for", k.c.Name())
	}
	// Not with.key: that is the gateway's, and nobody else is to have it.
	key, err := k.cfg.Vendors[k.m.Name()].Key.Resolve()
	if err != nil {
		return nil, "", err
	}
	body, err := json.Marshal(map[string]any{
		"model": k.model(), "max_tokens": k.spec.MaxTokens, "stream": stream, "user": "firedrill-canary-" + rand.Text(),
		"messages": []map[string]string{{"role": "user", "content": k.spec.Prompt}},
	})
	if err != nil {
		return nil, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.cfg.Base(k.c, k.m)+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "firedrill")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	return req, key, nil
}

// exchange returns an answer that came to its end.
func (k canary) exchange(ctx context.Context, req *http.Request, stream bool) (chatAnswer, error) {
	fail := func(err error) (chatAnswer, error) {
		return chatAnswer{}, fmt.Errorf("%s: %w", req.URL, why(ctx, err))
	}
	resp, err := llm.Client(k.c).Do(req)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK && stream {
		a, err := readStream(resp.Body)
		if ctx.Err() != nil {
			err = fmt.Errorf("the stream hung: not at its end within %s, after %d characters", k.spec.Timeout, len(a.text))
		}
		a.header = resp.Header
		return a, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if resp.StatusCode != http.StatusOK {
		return chatAnswer{}, errorOf(resp.StatusCode, body)
	}
	if err != nil {
		return fail(err)
	}
	a, err := readAnswer(body)
	a.header = resp.Header
	return a, err
}

// judge returns nil if an answer is what was asked for, from who was asked.
func (k canary) judge(a chatAnswer) error {
	if a.finish != "stop" && a.finish != "length" {
		return fmt.Errorf("the answer ends with finish reason %q, want stop or length", a.finish)
	}
	if strings.TrimSpace(a.text) == "" {
		return errors.New("the answer is empty")
	}
	switch who := k.cfg.Who(k.c, a.fingerprint, a.model, a.header.Get); {
	case who == k.m.Name():
	case who != "":
		return fmt.Errorf("the answer is from member %s", who)
	case k.cfg.Identify.By == "model":
		return fmt.Errorf("the answer names model %q, which with.identify.values of component %s does not know", a.model, k.c.Name())
	}
	if k.cfg.Identify.By != "model" && !llm.SameModel(k.model(), a.model) {
		return fmt.Errorf("the answer is from model %q, asked was %q", a.model, k.model())
	}
	return nil
}
