package vendor

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

type rerankRequest struct {
	Query     string     `json:"query"`
	Documents []document `json:"documents"`
	Top       *int       `json:"top_n"`
	Return    bool       `json:"return_documents"`
}

// document is a text, or an object with one.
type document struct {
	Text string `json:"text"`
}

// UnmarshalJSON reads a string, or an object with the field "text".
func (d *document) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &d.Text)
	}
	type plain document
	return json.Unmarshal(b, (*plain)(d))
}

type ranked struct {
	Index    int       `json:"index"`
	Score    float64   `json:"relevance_score"`
	Document *document `json:"document,omitempty"`
}

// reranking has the fields of Jina's answer, and the id of Cohere's.
type reranking struct {
	ID      string         `json:"id"`
	Object  string         `json:"object"`
	Model   string         `json:"model"`
	Results []ranked       `json:"results"`
	Usage   embeddingUsage `json:"usage"`
}

// rerank answers /rerank. A document's score is the share of the query's words that
// it has.
func (x *exchange) rerank() {
	var q rerankRequest
	p := x.decode(&q)
	switch {
	case p != nil:
	case q.Query == "":
		p = missing("query")
	case len(q.Documents) == 0:
		p = missing("documents")
	case q.Top != nil && *q.Top < 1:
		p = invalid("top_n", "Invalid value for 'top_n': want 1 or more.")
	}
	if p != nil {
		x.fail(*p)
		return
	}
	out := reranking{ID: x.v.token(), Object: "list", Model: x.named(), Results: []ranked{}}
	out.Usage.Prompt = len(tokens(q.Query))
	for i, d := range q.Documents {
		out.Usage.Prompt += len(tokens(d.Text))
		r := ranked{Index: i, Score: overlap(q.Query, d.Text)}
		if q.Return {
			r.Document = &d
		}
		out.Results = append(out.Results, r)
	}
	out.Usage.Total = out.Usage.Prompt
	slices.SortStableFunc(out.Results, func(a, b ranked) int { return cmp.Compare(b.Score, a.Score) })
	if q.Top != nil && *q.Top < len(out.Results) {
		out.Results = out.Results[:*q.Top]
	}
	if x.mode.Name == EmptyChoice {
		out.Results = []ranked{}
	}
	x.rec.update(func(e *Entry) { e.In = out.Usage.Prompt })
	x.wait(x.v.cfg.TokenDelay)
	x.answer(out, 0, len(out.Results) > 0)
}

var wordPattern = regexp.MustCompile(`[\pL\pN]+`)

func words(s string) map[string]bool {
	all := map[string]bool{}
	for _, w := range wordPattern.FindAllString(strings.ToLower(s), -1) {
		all[w] = true
	}
	return all
}

// overlap is the share of the query's words that the document has, 0 to 1.
func overlap(query, doc string) float64 {
	asked, has := words(query), words(doc)
	if len(asked) == 0 {
		return 0
	}
	n := 0
	for w := range asked {
		if has[w] {
			n++
		}
	}
	return float64(n) / float64(len(asked))
}
