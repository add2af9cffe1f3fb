package vendor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/stretchr/testify/require"

	"firedrill/lab/vendor"
)

func TestChat(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	api := client(t, v)
	var head *http.Response
	a, err := api.Chat.Completions.New(t.Context(), question("1", canary), option.WithResponseInto(&head))
	require.NoError(t, err)
	require.Equal(t, "canary 4711", a.Choices[0].Message.Content)
	require.Equal(t, "stop", a.Choices[0].FinishReason)
	require.Equal(t, "fp_v1", a.SystemFingerprint) //nolint:staticcheck // it is what vendors are told apart by
	require.Equal(t, "v1", head.Header.Get("X-Vendor"))
	require.Regexp(t, `^chatcmpl-[0-9a-f]{29}$`, a.ID)
	require.Equal(t, []int64{3, a.Usage.PromptTokens + 3}, []int64{a.Usage.CompletionTokens, a.Usage.TotalTokens})

	e := entry(t, v, "1")
	require.Equal(t, int64(e.In), a.Usage.PromptTokens)
	require.Equal(t, 3, e.Tokens)
	require.True(t, e.Key)
	require.False(t, e.First.Before(e.From) || e.To.Before(e.First), "%+v", e)

	require.Equal(t, vendor.Lorem, chat(t.Context(), api, "2", "hello").text)
	require.Equal(t, vendor.Lorem, stream(t.Context(), api, "3", "hello").text)

	parts := question("4", "")
	parts.MaxCompletionTokens = openai.Int(2)
	parts.Messages = []openai.ChatCompletionMessageParamUnion{
		openai.SystemMessage("Reply with exactly: no"),
		openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart("Reply with "), openai.TextContentPart("exactly: canary 4711"),
		}),
	}
	a, err = api.Chat.Completions.New(t.Context(), parts)
	require.NoError(t, err)
	require.Equal(t, []string{"canary", "length"}, []string{a.Choices[0].Message.Content, a.Choices[0].FinishReason})
}

// post asks without any client library.
func post(t *testing.T, v *vendor.Vendor, path, body string) (status int, head http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.URL()+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(b)
}

func TestStreamOnTheWire(t *testing.T) {
	t.Parallel()
	_, head, body := post(t, start(t, nil), "/v1/chat/completions",
		`{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Reply with exactly: one"}]}`)
	require.Equal(t, "text/event-stream; charset=utf-8", head.Get("Content-Type"))
	require.Empty(t, head.Get("Content-Length"))
	var got []string
	for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
		data, ok := strings.CutPrefix(s.Text(), "data: ")
		if !ok || data == "[DONE]" {
			got = append(got, s.Text())
			continue
		}
		var chunk map[string]any
		require.NoError(t, json.Unmarshal([]byte(data), &chunk))
		require.Equal(t, "chat.completion.chunk", chunk["object"])
		b, err := json.Marshal([]any{chunk["choices"], chunk["usage"]})
		require.NoError(t, err)
		got = append(got, string(b))
	}
	require.Equal(t, []string{
		`[[{"delta":{"content":"","refusal":null,"role":"assistant"},"finish_reason":null,"index":0,"logprobs":null}],null]`, "",
		`[[{"delta":{"content":"one"},"finish_reason":null,"index":0,"logprobs":null}],null]`, "",
		`[[{"delta":{},"finish_reason":"stop","index":0,"logprobs":null}],null]`, "",
		`[[],{"completion_tokens":1,"prompt_tokens":13,"total_tokens":14}]`, "",
		"data: [DONE]", "",
	}, got)
}

func TestProblems(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	for _, c := range []struct{ path, body, want string }{
		{"/v1/chat/completions", `{"model":`, `400 invalid_request_error`},
		{"/v1/chat/completions", `{}`, `400 invalid_request_error model`},
		{"/v1/chat/completions", `{"model":"m"}`, `400 invalid_request_error messages missing_required_parameter`},
		{"/v1/chat/completions", `{"model":"m","messages":7}`, `400 invalid_request_error messages invalid_type`},
		{"/v1/chat/completions", `{"model":"x","messages":[{"role":"user","content":"a"}]}`, `404 invalid_request_error model_not_found`},
		{"/v1/chat/completions", `{"model":"m","n":2,"messages":[{"role":"user","content":"a"}]}`, `400 invalid_request_error n`},
		{"/v1/embeddings", `{"model":"m"}`, `400 invalid_request_error input missing_required_parameter`},
		{"/v1/embeddings", `{"model":"m","input":[]}`, `400 invalid_request_error input`},
		{"/v1/embeddings", `{"model":"m","input":"a","dimensions":9}`, `400 invalid_request_error dimensions`},
		{"/v1/embeddings", `{"model":"m","input":"a","encoding_format":"hex"}`, `400 invalid_request_error encoding_format`},
		{"/v1/rerank", `{"model":"m","query":"a"}`, `400 invalid_request_error documents missing_required_parameter`},
		{"/v1/models", ``, `405 invalid_request_error method_not_supported`},
		{"/chat/completions", `{}`, `404 invalid_request_error`},
	} {
		status, _, body := post(t, v, c.path, c.body)
		var got struct {
			Error map[string]*string `json:"error"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		require.Len(t, got.Error, 4, body)
		said := strconv.Itoa(status)
		for _, field := range []string{"type", "param", "code"} {
			if s := got.Error[field]; s != nil {
				said += " " + *s
			}
		}
		require.Equal(t, c.want, said, "POST %s %s", c.path, c.body)
		require.NotEmpty(t, got.Error["message"])
	}
	for _, c := range []struct{ key, want string }{
		{"sk-other", "401 invalid_request_error invalid_api_key"},
		{"", "401 invalid_request_error"},
	} {
		h := chat(t.Context(), client(t, v, option.WithHeaderDel("Authorization"), option.WithAPIKey(c.key)), "key"+c.key, canary)
		require.ErrorContains(t, h.err, "401")
		require.Equal(t, c.want, why(h.err))
		require.False(t, entry(t, v, "key"+c.key).Key)
	}
}

func TestModels(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	api := client(t, v)
	list := func() string {
		all, err := api.Models.List(t.Context())
		require.NoError(t, err)
		names := []string{}
		for _, m := range all.Data {
			names = append(names, m.ID)
		}
		return strings.Join(names, " ")
	}
	require.Equal(t, "m n", list())
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.ModelGone, Models: []string{"m"}}))
	require.Equal(t, "n", list())
	_, err := api.Models.Get(t.Context(), "m")
	require.Equal(t, "404 invalid_request_error model_not_found", why(err))
	one, err := api.Models.Get(t.Context(), "n")
	require.NoError(t, err)
	require.Equal(t, "n", one.ID)

	// Who may not ask for answers may still ask what there is, unless told otherwise.
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Quota}))
	require.Equal(t, "m n", list())
	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.Quota, Ops: []string{vendor.OpModels}}))
	_, err = api.Models.List(t.Context())
	require.Equal(t, "429 insufficient_quota insufficient_quota", why(err))
}

func TestEmbeddings(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	api := client(t, v)
	ask := func(p openai.EmbeddingNewParams) [][]float64 {
		p.Model = "m"
		a, err := api.Embeddings.New(t.Context(), p)
		require.NoError(t, err)
		require.Positive(t, a.Usage.PromptTokens)
		var all [][]float64
		for i, d := range a.Data {
			require.Equal(t, int64(i), d.Index)
			all = append(all, d.Embedding)
		}
		return all
	}
	texts := openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a b", "c"}}
	plain := ask(openai.EmbeddingNewParams{Input: texts})
	packed := ask(openai.EmbeddingNewParams{Input: texts, EncodingFormat: openai.EmbeddingNewParamsEncodingFormatBase64})
	for i, text := range texts.OfArrayOfStrings {
		require.InDeltaSlice(t, plain[i], packed[i], 1e-6)
		require.InDelta(t, 1, cosine(plain[i], wide(vendor.Vector(text, 8, 7, 0))), 1e-6)
		require.InDelta(t, 1, math.Sqrt(dot(plain[i], plain[i])), 1e-6, "a unit vector")
	}
	require.Less(t, cosine(plain[0], plain[1]), 0.99)
	require.Less(t, cosine(plain[0], wide(vendor.Vector("a b", 8, 8, 0))), 0.99, "another seed is another space")

	short := ask(openai.EmbeddingNewParams{Input: texts, Dimensions: openai.Int(3)})
	require.Len(t, short[0], 3)
	require.InDelta(t, 1, cosine(short[0], plain[0][:3]), 1e-6)
	numbers := ask(openai.EmbeddingNewParams{Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfTokenArrays: [][]int64{{1, 2}, {3}}}})
	require.Len(t, numbers, 2)

	require.NoError(t, v.SetMode(vendor.Mode{Name: vendor.WrongEmbedding}))
	other := ask(openai.EmbeddingNewParams{Input: texts})
	require.Len(t, other[0], 8)
	require.Less(t, cosine(plain[0], other[0]), 0.99)
}

func wide(v []float32) []float64 {
	var out []float64
	for _, f := range v {
		out = append(out, float64(f))
	}
	return out
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func cosine(a, b []float64) float64 { return dot(a, b) / math.Sqrt(dot(a, a)*dot(b, b)) }

func TestRerank(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	api := client(t, v)
	type results struct {
		Model   string
		Results []struct {
			Index    int
			Score    float64 `json:"relevance_score"`
			Document *struct{ Text string }
		}
	}
	ask := func(more string) (r results) {
		var out results
		err := api.Post(context.Background(), "rerank", json.RawMessage(
			`{"model":"m","user":"r","query":"red fire engine","documents":["a boat",{"text":"The Fire engine"},"fire"]`+more+`}`), &out)
		require.NoError(t, err)
		return out
	}
	all := ask("")
	require.Equal(t, "m", all.Model)
	var order []int
	for _, r := range all.Results {
		order = append(order, r.Index)
	}
	require.Equal(t, []int{1, 2, 0}, order)
	require.InDelta(t, 2.0/3, all.Results[0].Score, 1e-9)
	require.Zero(t, all.Results[2].Score)
	require.Nil(t, all.Results[0].Document)
	first := ask(`,"top_n":1,"return_documents":true`)
	require.Len(t, first.Results, 1)
	require.Equal(t, "The Fire engine", first.Results[0].Document.Text)
}

// TestBrokenEventsOnTheWire shows where an event breaks, and what comes after it.
func TestBrokenEventsOnTheWire(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	for mode, want := range map[string]string{
		vendor.MalformedSSE:  `^(data: {.*}\n\n){2}data: {[^\n]*[^}]\n\n(data: {.*}\n\n){2}data: \[DONE\]\n\n$`,
		vendor.GarbledSSE:    `^(data: {.*}\n\n){2}data{[^\n]*}\n\n(data: {.*}\n\n){2}data: \[DONE\]\n\n$`,
		vendor.TruncatedJSON: `^(data: {.*}\n\n){2}data: {[^\n]*[^}]$`,
	} {
		require.NoError(t, v.SetMode(vendor.Mode{Name: mode, After: 1}))
		_, _, body := post(t, v, "/v1/chat/completions",
			`{"model":"m","stream":true,"messages":[{"role":"user","content":"Reply with exactly: one two more"}]}`)
		require.Regexp(t, want, body, mode)
	}
}
