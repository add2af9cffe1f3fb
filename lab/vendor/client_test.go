package vendor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"

	"firedrill/lab/vendor"
)

const (
	key    = "sk-test"
	canary = "Reply with exactly: canary 4711" // answered with the tokens "cana", "ry", " 4711"
)

// start starts a vendor with the models m and n, and ends it with the test.
func start(t testing.TB, change func(*vendor.Config)) *vendor.Vendor {
	t.Helper()
	cfg := vendor.Config{Name: "v1", Listen: "127.0.0.1:0", Key: key, Models: []string{"m", "n"}, Dimension: 8, Seed: 7}
	if change != nil {
		change(&cfg)
	}
	v, err := vendor.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

// socket is a path that is short enough for a Unix socket.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fd-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "v.sock")
}

// client is the official one, without retries, with connections of its own.
func client(t testing.TB, v *vendor.Vendor, more ...option.RequestOption) openai.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(transport.CloseIdleConnections)
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(v.URL() + "/v1"), option.WithAPIKey(key), option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{Transport: transport}),
	}, more...)...)
}

func question(id, prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: "m", User: openai.String(id), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
}

// heard is what the client heard of an answer.
type heard struct {
	text, finish, model string
	choices             int
	vector              []float64
	err                 error
}

func (h heard) String() string {
	said := fmt.Sprintf("%q", h.text)
	switch {
	case h.vector != nil:
		said = fmt.Sprint(len(h.vector), " numbers")
	case h.choices == 0:
		said = "nothing"
	}
	if h.finish != "" {
		said += " " + h.finish
	}
	if h.model != "" && h.model != "m" {
		said += " by " + h.model
	}
	if h.err != nil {
		said += ": " + why(h.err)
	}
	return said
}

// why names an error of the client.
func why(err error) string {
	var api *openai.Error
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &api):
		return strings.TrimSpace(fmt.Sprint(api.StatusCode, " ", api.Type, " ", api.Code))
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected EOF"
	case errors.As(err, &syntax):
		return "bad JSON"
	case errors.Is(err, io.EOF):
		return "EOF"
	case strings.Contains(err.Error(), "content-type 'text/html"):
		return "HTML"
	}
	return err.Error()
}

func chat(ctx context.Context, c openai.Client, id, prompt string) heard {
	a, err := c.Chat.Completions.New(ctx, question(id, prompt))
	if err != nil {
		return heard{err: err}
	}
	h := heard{model: a.Model, choices: len(a.Choices)}
	for _, c := range a.Choices {
		h.text, h.finish = c.Message.Content, c.FinishReason
	}
	return h
}

func stream(ctx context.Context, c openai.Client, id, prompt string) heard {
	s := c.Chat.Completions.NewStreaming(ctx, question(id, prompt))
	defer s.Close()
	var h heard
	for s.Next() {
		chunk := s.Current()
		h.model = chunk.Model
		for _, c := range chunk.Choices {
			h.choices++
			h.text += c.Delta.Content
			h.finish += c.FinishReason
		}
	}
	h.err = s.Err()
	return h
}

func embed(ctx context.Context, c openai.Client, id, input string) heard {
	a, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: "m", User: openai.String(id), Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String(input)},
	})
	if err != nil {
		return heard{err: err}
	}
	h := heard{model: a.Model}
	for _, d := range a.Data {
		h.vector = d.Embedding
	}
	return h
}

// entry returns the one entry with an id, once it has ended.
func entry(t *testing.T, v *vendor.Vendor, id string) vendor.Entry {
	t.Helper()
	var all []vendor.Entry
	require.Eventually(t, func() bool {
		all = v.ByID(id)
		return len(all) == 1 && !all[0].To.IsZero()
	}, 10*time.Second, time.Millisecond, "entries of %s", id)
	return all[0]
}
