package probes

import (
	"context"

	"firedrill/drills"
	"firedrill/drills/timeline"
)

// llmRerank asks for documents in the order of their relevance.
type llmRerank struct{ spec LLMRerankSpec }

// rerankAnswer is what Cohere (meta), Jina and those that follow them answer.
type rerankAnswer struct {
	Model       string         `json:"model"`
	Fingerprint string         `json:"system_fingerprint"`
	Results     []rerankResult `json:"results"`
	Usage       struct {
		PromptTokens int64 `json:"prompt_tokens"`
		TotalTokens  int64 `json:"total_tokens"`
	} `json:"usage"`
	Meta struct {
		Tokens struct {
			Input  float64 `json:"input_tokens"`
			Output float64 `json:"output_tokens"`
		} `json:"tokens"`
	} `json:"meta"`
}

type rerankResult struct {
	Index int     `json:"index"`
	Score float64 `json:"relevance_score"`
}

func (r *llmRerank) ask(ctx context.Context, p *llmProbe, x *exchange) drills.Observation {
	body := map[string]any{"model": p.model, "query": r.spec.Query, "documents": r.spec.Documents, "user": x.req.ID}
	var res rerankAnswer
	if err := p.client.Post(ctx, "rerank", body, &res, p.perRequest(x)...); err != nil {
		return x.failed(ctx, err)
	}
	res.note(&x.req)
	x.fingerprint = res.Fingerprint
	if len(res.Results) == 0 {
		return x.wrong("the answer has no results: %s", x.excerpt())
	}
	x.piece(true)
	top := res.Results[0]
	for _, one := range res.Results {
		if one.Index < 0 || one.Index >= len(r.spec.Documents) {
			return x.wrong("the answer ranks document %d: there are %d, from 0", one.Index, len(r.spec.Documents))
		}
		if one.Score > top.Score {
			top = one
		}
	}
	switch {
	case !p.accepts(x):
		return x.wrong("%s", p.another(x))
	case top.Index != r.spec.Expect:
		return x.wrong("document %d is on top (%.3g), want %d", top.Index, top.Score, r.spec.Expect)
	}
	return x.whole()
}

// note records what the answer tells of itself.
func (a rerankAnswer) note(r *timeline.Request) {
	r.Model = a.Model
	r.In = max(a.Usage.PromptTokens, a.Usage.TotalTokens, int64(a.Meta.Tokens.Input))
	r.Out = int64(a.Meta.Tokens.Output)
}
