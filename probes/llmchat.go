package probes

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/openai/openai-go/v3"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// llmChat asks for an answer to a prompt.
type llmChat struct {
	spec   LLMChatSpec
	expect *regexp.Regexp
}

func (c *llmChat) ask(ctx context.Context, p *llmProbe, x *exchange) drills.Observation {
	params := openai.ChatCompletionNewParams{
		Model:       p.model,
		Messages:    []openai.ChatCompletionMessageParamUnion{openai.UserMessage(c.spec.Prompt)},
		Temperature: openai.Float(0),
		User:        openai.String(x.req.ID),
	}
	if c.spec.MaxTokens > 0 {
		params.MaxTokens = openai.Int(c.spec.MaxTokens)
	}
	ask := c.atOnce
	if c.spec.Stream {
		ask = c.streamed
	}
	text, err := ask(ctx, p, x, params)
	if err != nil {
		return x.failed(ctx, err)
	}
	o := c.judge(p, x, text)
	if o.Class == timeline.OK {
		c.limits(x, &o)
	}
	return o
}

// streamed reads an answer in pieces, as far as the client shows them.
func (c *llmChat) streamed(ctx context.Context, p *llmProbe, x *exchange, params openai.ChatCompletionNewParams) (string, error) {
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	s := p.client.Chat.Completions.NewStreaming(ctx, params, p.perRequest(x)...)
	defer s.Close()
	var text strings.Builder
	for s.Next() {
		chunk := s.Current()
		x.names(chunk.Model, chunk.JSON.SystemFingerprint)
		if chunk.JSON.Usage.Valid() {
			x.req.In, x.req.Out = chunk.Usage.PromptTokens, chunk.Usage.CompletionTokens
		}
		content := ""
		for _, choice := range chunk.Choices {
			if choice.Index == 0 {
				content += choice.Delta.Content
				x.req.Finish = orElse(choice.FinishReason, x.req.Finish)
			}
		}
		x.piece(content != "")
		text.WriteString(content)
	}
	return text.String(), s.Err()
}

// atOnce reads an answer that comes in one piece.
func (c *llmChat) atOnce(ctx context.Context, p *llmProbe, x *exchange, params openai.ChatCompletionNewParams) (string, error) {
	res, err := p.client.Chat.Completions.New(ctx, params, p.perRequest(x)...)
	if err != nil || res == nil {
		return "", err
	}
	x.names(res.Model, res.JSON.SystemFingerprint)
	x.req.In, x.req.Out = res.Usage.PromptTokens, res.Usage.CompletionTokens
	if len(res.Choices) == 0 {
		return "", nil
	}
	x.req.Finish = res.Choices[0].FinishReason
	text := res.Choices[0].Message.Content
	x.piece(text != "")
	return text, nil
}

// judge compares what the client took for a success with what was wanted.
func (c *llmChat) judge(p *llmProbe, x *exchange, text string) drills.Observation {
	matches := c.expect != nil && c.expect.MatchString(text)
	finish := x.req.Finish
	switch {
	case c.spec.Stream && !x.body.data && x.body.html():
		return x.wrong("the answer is HTML, no event stream, and the client takes it for an empty one: %s", x.excerpt())
	case c.spec.Stream && !x.body.data && x.body.odd != "":
		return x.wrong("the answer is no event stream, and the client takes it for an empty one: %s", x.excerpt())
	case finish == "" && c.spec.Stream && (text != "" || !x.body.done):
		return x.cut("the stream ended in good order after %d pieces, without a finish_reason%s: %q", x.pieces, x.undone(), x.cutTo(40, text))
	case finish == "" && text != "":
		return x.cut("the answer has no finish_reason: %q", x.cutTo(60, text))
	case text == "":
		return x.wrong("the answer has no text (finish_reason %q): %s", x.cutTo(20, finish), x.excerpt())
	case c.spec.Stream && x.body.odd != "" && !matches:
		return x.cut("the client passed over a line that is no server-sent event: %q; text: %q", x.cutTo(60, x.body.odd), x.cutTo(40, text))
	case finish == "content_filter" || finish == "error":
		return x.wrong("finish_reason %q after %q", finish, x.cutTo(60, text))
	case !p.accepts(x):
		return x.wrong("%s", p.another(x))
	case c.expect != nil && !matches && finish == "length":
		return x.wrong("the answer was cut at maxTokens %d and is %q, want a match of %q", c.spec.MaxTokens, x.cutTo(60, text), c.expect)
	case c.expect != nil && !matches:
		return x.wrong("the answer is %q, want a match of %q", x.cutTo(80, text), c.expect)
	}
	return x.whole()
}

func (x *exchange) undone() string {
	if x.body.done {
		return ""
	}
	return " or [DONE]"
}

// limits marks a whole answer as lagging that kept the application waiting too long.
func (c *llmChat) limits(x *exchange, o *drills.Observation) {
	first, stall := time.Duration(x.req.First-x.start), time.Duration(x.req.Stall)
	switch {
	case c.spec.FirstToken > 0 && first > c.spec.FirstToken.Std():
		o.Detail = fmt.Sprintf("first token after %s, allowed %s", first.Round(time.Millisecond), c.spec.FirstToken)
	case c.spec.Stall > 0 && stall > c.spec.Stall.Std():
		o.Detail = fmt.Sprintf("%s from one piece to the next, allowed %s", stall.Round(time.Millisecond), c.spec.Stall)
	default:
		return
	}
	o.Class = timeline.Lagging
}
