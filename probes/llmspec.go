package probes

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"firedrill/drills"
	"firedrill/drills/spec"
)

// LLMChatSpec is what an llm-chat probe asks (POST /chat/completions, temperature 0)
// and the answer it wants. The probe looks at a component of kind llm and asks with
// the official client, which tries nothing twice. What becomes of a request:
//
//   - failed: the client reports an error. Status 401, 403 and 407 are auth, 429 is
//     rate-limited, other errors of the service are error; what is no such API (HTML,
//     broken JSON) is wrong-answer; a connection that breaks, also amid the answer,
//     has the network's class.
//   - truncated: the client reports a success, and the answer is not whole: no
//     finish_reason, or a line of the stream that the client passed over, and the
//     text does not match Expect. A stream that has its finish_reason and lacks only
//     [DONE] is whole.
//   - wrong (wrong-answer): whole, but no text, not the expected text, text that the
//     service filtered, or by another model.
//   - unanswered (timeout): no end by the probe's timeout.
//   - whole: ok, or lagging if it kept the application waiting for longer than
//     FirstToken or Stall.
type LLMChatSpec struct {
	// Stream asks for the answer in pieces (server-sent events).
	Stream bool `json:"stream,omitempty"`
	// Prompt is the user's message.
	Prompt string `json:"prompt,omitempty"`
	// Expect is a regular expression (RE2) that the whole answer's text must match;
	// empty: any text is good.
	Expect string `json:"expect,omitempty"`
	// MaxTokens bounds the answer (max_tokens); 0: the service does.
	MaxTokens int64 `json:"maxTokens,omitempty" jsonschema:"minimum=0"`
	// FirstToken is the longest time from the begin of the look, its connecting
	// included, to the first piece of text; a later answer is lagging. 0s: any. Without
	// Stream it bounds the whole answer.
	FirstToken spec.Duration `json:"firstToken,omitempty"`
	// Stall is the longest wait from one piece of a stream to the next; an answer with
	// a longer one is lagging. 0s: any.
	Stall spec.Duration `json:"stall,omitempty"`
	// Model is the model to ask for (default: the component's models.chat).
	Model string `json:"model,omitempty"`
	// AcceptModels are the names of models that may answer (default: the one asked
	// for, also with a date behind it; any that identifies a member). An answer that
	// names no model is accepted.
	AcceptModels []string `json:"acceptModels,omitempty"`
	// Parameters are put into the request as well (top_p, max_completion_tokens…), in
	// place of what the probe would say; null leaves a field out.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// LLMEmbeddingSpec is what an llm-embedding probe asks (POST /embeddings). Answers are
// held against a reference: a service that falls back to another embedding model
// answers with vectors that lie elsewhere, which corrupts an index without any error.
// That is a wrong answer here. The reference is the first good answer of the series in
// this run, unless Reference gives one: then a model that was exchanged before the run
// is seen as well.
type LLMEmbeddingSpec struct {
	// Input is the text to embed.
	Input string `json:"input,omitempty"`
	// Reference is a file, on the machine that the probe asks from, with the embedding
	// of Input that the index was built with: a JSON array of numbers. Without it the
	// first good answer of this run is the reference.
	Reference string `json:"reference,omitempty"`
	// Dimension is how long the vector must be; 0: as long as the reference.
	Dimension int `json:"dimension,omitempty" jsonschema:"minimum=0"`
	// MaxDistance is how far, by cosine distance (0 to 2), the vector may be from the
	// reference.
	MaxDistance float64 `json:"maxDistance,omitempty" jsonschema:"minimum=0,maximum=2"`
	// Model is the model to ask for (default: the component's models.embedding).
	Model string `json:"model,omitempty"`
	// AcceptModels are the names of models that may answer (default: the one asked
	// for, also with a date behind it; any that identifies a member). An answer that
	// names no model is accepted.
	AcceptModels []string `json:"acceptModels,omitempty"`
	// Parameters are put into the request as well (dimensions, encoding_format…);
	// null leaves a field out.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// LLMRerankSpec is what an llm-rerank probe asks (POST /rerank, as Cohere and Jina
// have it) and the answer it wants.
type LLMRerankSpec struct {
	// Query is what the documents are compared with.
	Query string `json:"query,omitempty"`
	// Documents are what is put in order.
	Documents []string `json:"documents,omitempty"`
	// Expect is the index, from 0, of the document that must be the most relevant.
	Expect int `json:"expect,omitempty" jsonschema:"minimum=0"`
	// Model is the model to ask for (default: the component's models.rerank).
	Model string `json:"model,omitempty"`
	// AcceptModels are the names of models that may answer (default: the one asked
	// for, also with a date behind it; any that identifies a member). An answer that
	// names no model is accepted.
	AcceptModels []string `json:"acceptModels,omitempty"`
	// Parameters are put into the request as well (top_n…); null leaves a field out.
	Parameters map[string]any `json:"parameters,omitempty"`
}

// Defaults of the kinds that ask a model.
func defaultLLMChat() LLMChatSpec {
	return LLMChatSpec{Prompt: "Reply with exactly: all systems nominal", Expect: "(?i)all systems nominal", MaxTokens: 32}
}

func defaultLLMEmbedding() LLMEmbeddingSpec {
	return LLMEmbeddingSpec{Input: "a drill a month keeps the outage away", MaxDistance: 0.05}
}

func defaultLLMRerank() LLMRerankSpec {
	return LLMRerankSpec{
		Query: "How do I restore a database from a backup?", Expect: 1,
		Documents: []string{
			"The canteen serves soup on Mondays.",
			"To restore a database from a backup, stop the server and copy the files back.",
			"Flights to Lisbon leave twice a day.",
		},
	}
}

func newLLMChat(s LLMChatSpec) (drills.ProbeKind, error) {
	problems := []error{checkParameters(s.Parameters)}
	if s.Prompt == "" {
		problems = append(problems, errors.New("prompt: must not be empty"))
	}
	if s.MaxTokens < 0 {
		problems = append(problems, fmt.Errorf("maxTokens: %d: must not be negative", s.MaxTokens))
	}
	if s.Stall > 0 && !s.Stream {
		problems = append(problems, errors.New("stall: has no effect without stream: true"))
	}
	c := &llmChat{spec: s}
	if s.Expect != "" {
		re, err := regexp.Compile(s.Expect)
		if err != nil {
			problems = append(problems, fmt.Errorf("expect: %w", err))
		}
		c.expect = re
	}
	return &llmKind{
		op: "chat", model: s.Model, accept: s.AcceptModels, parameters: s.Parameters,
		asker: func() (asker, error) { return c, nil },
	}, errors.Join(problems...)
}

func newLLMEmbedding(s LLMEmbeddingSpec) (drills.ProbeKind, error) {
	problems := []error{checkParameters(s.Parameters)}
	if s.Input == "" {
		problems = append(problems, errors.New("input: must not be empty"))
	}
	if s.Dimension < 0 {
		problems = append(problems, fmt.Errorf("dimension: %d: must not be negative", s.Dimension))
	}
	if s.MaxDistance < 0 || s.MaxDistance > 2 {
		problems = append(problems, fmt.Errorf("maxDistance: %g: want a cosine distance, 0 to 2", s.MaxDistance))
	}
	return &llmKind{
		op: "embedding", model: s.Model, accept: s.AcceptModels, parameters: s.Parameters,
		asker: func() (asker, error) {
			ref, err := newReference(s)
			return &llmEmbedding{spec: s, ref: ref}, err
		},
	}, errors.Join(problems...)
}

func newLLMRerank(s LLMRerankSpec) (drills.ProbeKind, error) {
	problems := []error{checkParameters(s.Parameters)}
	if s.Query == "" {
		problems = append(problems, errors.New("query: must not be empty"))
	}
	if len(s.Documents) < 2 {
		problems = append(problems, fmt.Errorf("documents: %d of them cannot be put in order: want 2 at least", len(s.Documents)))
	}
	if s.Expect < 0 || s.Expect >= len(s.Documents) {
		problems = append(problems, fmt.Errorf("expect: %d: want the index of one of the %d documents", s.Expect, len(s.Documents)))
	}
	return &llmKind{
		op: "rerank", model: s.Model, accept: s.AcceptModels, parameters: s.Parameters,
		asker: func() (asker, error) { return &llmRerank{spec: s}, nil },
	}, errors.Join(problems...)
}

// checkParameters refuses what the probe itself must say.
func checkParameters(ps map[string]any) error {
	plain := regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	own := []string{"model", "user", "stream", "messages", "input", "query", "documents"}
	var problems []error
	for name := range ps {
		if !plain.MatchString(name) {
			problems = append(problems, fmt.Errorf("parameters: %q: want a name of letters, digits and _", name))
		}
		if slices.Contains(own, name) {
			problems = append(problems, fmt.Errorf("parameters: %s: the probe itself sets it", name))
		}
	}
	return errors.Join(problems...)
}
