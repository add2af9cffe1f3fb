package vendor

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// chatRequest is what the vendor looks at of a request for chat; it ignores what it
// does not know.
type chatRequest struct {
	Messages      []message `json:"messages"`
	MaxTokens     int       `json:"max_tokens"`
	MaxCompletion int       `json:"max_completion_tokens"`
	N             *int      `json:"n"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type message struct {
	Role    string `json:"role"`
	Content text   `json:"content"`
}

// text is a content: a string, or parts of which those with text count.
type text string

// UnmarshalJSON reads a string, a list of parts, or null.
func (t *text) UnmarshalJSON(b []byte) error {
	var parts []struct {
		Text string `json:"text"`
	}
	if len(b) == 0 || b[0] != '[' {
		return json.Unmarshal(b, (*string)(t))
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	for _, p := range parts {
		*t += text(p.Text)
	}
	return nil
}

// Exactly begins a prompt whose rest is the answer. Any other prompt is answered
// with Lorem.
const Exactly = "Reply with exactly: "

// Lorem is the answer to prompts that do not ask for anything exactly.
const Lorem = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor " +
	"incididunt ut labore et dolore magna aliqua."

// reply is the answer to a conversation.
func reply(messages []message) string {
	_, exact, _ := strings.Cut(string(messages[len(messages)-1].Content), Exactly)
	if exact = strings.TrimSpace(exact); exact != "" {
		return exact
	}
	return Lorem
}

// piece is a token: as in real tokenizers about four letters, with the white space
// before them.
var piece = regexp.MustCompile(`\s*\S{1,4}|\s+$`)

func tokens(s string) []string { return piece.FindAllString(s, -1) }

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// completion is an answer, or a chunk of one.
type completion struct {
	ID          string          `json:"id"`
	Object      string          `json:"object"`
	Created     int64           `json:"created"`
	Model       string          `json:"model"`
	Choices     []choice        `json:"choices"`
	Usage       json.RawMessage `json:"usage,omitempty"`
	Tier        string          `json:"service_tier"`
	Fingerprint string          `json:"system_fingerprint"`
}

type choice struct {
	Index    int     `json:"index"`
	Message  *said   `json:"message,omitempty"`
	Delta    *said   `json:"delta,omitempty"`
	Logprobs *string `json:"logprobs"`
	Finish   *string `json:"finish_reason"`
}

type said struct {
	Role    string          `json:"role,omitempty"`
	Content *string         `json:"content,omitempty"`
	Refusal json.RawMessage `json:"refusal,omitempty"`
}

var null = json.RawMessage("null")

// chat answers /chat/completions.
func (x *exchange) chat() {
	var q chatRequest
	if p := x.decode(&q); p != nil {
		x.fail(*p)
		return
	}
	switch {
	case len(q.Messages) == 0:
		x.fail(*missing("messages"))
		return
	case q.N != nil && *q.N != 1:
		x.fail(*invalid("n", "Unsupported value: 'n' does not support %d with this model. Only 1 is supported.", *q.N))
		return
	}
	said, finish := tokens(reply(q.Messages)), "stop"
	if limit := max(q.MaxTokens, q.MaxCompletion); limit > 0 && limit < len(said) {
		said, finish = said[:limit], "length"
	}
	u := usage{Prompt: 3, Completion: len(said)}
	for _, m := range q.Messages {
		u.Prompt += 3 + len(tokens(m.Role)) + len(tokens(string(m.Content)))
	}
	u.Total = u.Prompt + u.Completion
	x.rec.update(func(e *Entry) { e.In = u.Prompt })
	c := completion{
		ID: "chatcmpl-" + x.v.token(), Created: time.Now().Unix(), Model: x.named(), Tier: "default",
		Fingerprint: "fp_" + x.v.cfg.Name,
	}
	if x.rec.entry().Stream {
		x.stream(c, said, finish, u, q.StreamOptions.IncludeUsage)
		return
	}
	x.completion(c, said, finish, u)
}

// completion answers in one piece, once all tokens are there.
func (x *exchange) completion(c completion, tokens []string, finish string, u usage) {
	text := strings.Join(tokens, "")
	c.Object, c.Usage = "chat.completion", encode(u)
	c.Choices = []choice{{Message: &said{Role: "assistant", Content: &text, Refusal: null}, Finish: &finish}}
	if x.mode.Name == EmptyChoice {
		c.Choices, tokens = []choice{}, nil
	}
	x.wait(x.v.cfg.TokenDelay * time.Duration(u.Completion))
	x.answer(c, len(tokens), x.mode.Name != EmptyChoice)
}

// stream answers with server-sent events: the role, each token, the reason of the
// end, the usage if that was asked for, and [DONE].
func (x *exchange) stream(c completion, tokens []string, finish string, u usage, counted bool) {
	c.Object = "chat.completion.chunk"
	if counted {
		c.Usage = null
	}
	x.start(http.StatusOK, "text/event-stream; charset=utf-8", -1)
	if x.mode.Name == EmptyChoice {
		x.send(event(c.with()))
		x.last(done, false)
		return
	}
	nothing := ""
	x.send(event(c.with(choice{Delta: &said{Role: "assistant", Content: &nothing, Refusal: null}})))
	if !x.deltas(c, tokens) {
		return
	}
	x.send(event(c.with(choice{Delta: &said{}, Finish: &finish})))
	if counted {
		c.Usage = encode(u)
		x.send(event(c.with()))
	}
	x.last(done, x.mode.Name != MalformedSSE && x.mode.Name != GarbledSSE)
}

// deltas sends the tokens. It returns false if the stream is to end after them.
func (x *exchange) deltas(c completion, tokens []string) bool {
	broken := min(x.mode.After, len(tokens)-1) // the token whose event is not whole
	for i, t := range tokens {
		if i == x.mode.After && !x.goesOn() {
			return false
		}
		x.wait(x.v.cfg.TokenDelay)
		if i == 0 && x.mode.Name == SlowFirstToken {
			x.wait(x.mode.Delay.Std())
		}
		b := event(c.with(choice{Delta: &said{Content: &t}}))
		if i == broken && x.spoils() {
			if b = x.spoilt(b); x.mode.Name == TruncatedJSON {
				x.last(b, false)
				return false
			}
			x.send(b)
			continue
		}
		x.first()
		x.send(b)
		x.rec.update(func(e *Entry) { e.Tokens++ })
	}
	return x.mode.After < len(tokens) || x.goesOn()
}

// spoils tells whether the mode breaks an event of a stream.
func (x *exchange) spoils() bool {
	return slices.Contains([]string{MalformedSSE, GarbledSSE, TruncatedJSON}, x.mode.Name)
}

// spoilt is an event as such a mode sends it.
func (x *exchange) spoilt(event []byte) []byte {
	const field = "data: "
	value := strings.TrimSpace(strings.TrimPrefix(string(event), field))
	switch half := value[:len(value)/2]; x.mode.Name {
	case MalformedSSE:
		return []byte(field + half + "\n\n")
	case GarbledSSE:
		return []byte("data" + value + "\n\n")
	default:
		return []byte(field + half)
	}
}

// goesOn is called when as many tokens are sent as the mode says. It returns false
// if the stream is to end there.
func (x *exchange) goesOn() bool {
	if x.mode.Name == Stall {
		x.pause()
	}
	return x.mode.Name != Cut
}

// with returns the completion with these choices.
func (c completion) with(all ...choice) completion {
	c.Choices = append([]choice{}, all...)
	return c
}

// event is a server-sent event with a value.
func event(value any) []byte { return append(append([]byte("data: "), encode(value)...), "\n\n"...) }

// done is the event after the last one.
var done = []byte("data: [DONE]\n\n")
