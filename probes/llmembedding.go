package probes

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/openai/openai-go/v3"

	"firedrill/drills"
)

// llmEmbedding asks for the vector of a text.
type llmEmbedding struct {
	spec LLMEmbeddingSpec
	ref  *reference
}

func (e *llmEmbedding) ask(ctx context.Context, p *llmProbe, x *exchange) drills.Observation {
	res, err := p.client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: p.model,
		Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String(e.spec.Input)},
		User:  openai.String(x.req.ID),
	}, p.perRequest(x)...)
	if err != nil {
		return x.failed(ctx, err)
	}
	if res != nil {
		x.names(res.Model, res.JSON.ExtraFields["system_fingerprint"])
		x.req.In = res.Usage.PromptTokens
	}
	if res == nil || len(res.Data) != 1 || len(res.Data[0].Embedding) == 0 {
		return x.wrong("the answer has no embedding: %s", x.excerpt())
	}
	x.piece(true)
	v := res.Data[0].Embedding
	x.req.Dimension = len(v)
	if length := norm(v); length == 0 || math.IsNaN(length) || math.IsInf(length, 0) {
		return x.wrong("the embedding points nowhere: its length is %g", length)
	}
	accepted := p.accepts(x)
	distance, want := e.ref.compare(v, accepted)
	x.req.Distance = distance
	switch {
	case want != 0 && len(v) != want:
		return x.wrong("dimension %d, want %d", len(v), want)
	case !accepted:
		return x.wrong("%s", p.another(x))
	case distance > e.spec.MaxDistance:
		return x.wrong("cosine distance %.2g to the reference, allowed %g", distance, e.spec.MaxDistance)
	}
	return x.whole()
}

// reference is what embeddings of a series are held against: one from a file, or the
// first good one.
type reference struct {
	mu sync.Mutex
	// dimension is 0 until it is known.
	dimension int
	vector    []float64
}

func newReference(s LLMEmbeddingSpec) (*reference, error) {
	r := &reference{dimension: s.Dimension}
	if s.Reference == "" {
		return r, nil
	}
	b, err := os.ReadFile(s.Reference)
	if err != nil {
		return r, fmt.Errorf("with.reference: %w", err)
	}
	if err := json.Unmarshal(b, &r.vector); err != nil {
		return r, fmt.Errorf("with.reference: %s: want a JSON array of numbers: %w", s.Reference, err)
	}
	if length := norm(r.vector); length == 0 || math.IsInf(length, 0) {
		return r, fmt.Errorf("with.reference: %s: the embedding points nowhere: its length is %g", s.Reference, length)
	}
	if s.Dimension > 0 && s.Dimension != len(r.vector) {
		return r, fmt.Errorf("with.reference: %s has %d numbers, and with.dimension says %d", s.Reference, len(r.vector), s.Dimension)
	}
	r.dimension = len(r.vector)
	return r, nil
}

// compare returns the cosine distance of a vector to the reference, 0 if they cannot
// be compared, and the dimension that it should have. learn lets the first vector of
// that dimension be the reference.
func (r *reference) compare(v []float64, learn bool) (distance float64, dimension int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if learn && r.vector == nil && (r.dimension == 0 || r.dimension == len(v)) {
		r.dimension, r.vector = len(v), v
	}
	if len(r.vector) != len(v) {
		return 0, r.dimension
	}
	return cosineDistance(r.vector, v), r.dimension
}

// cosineDistance is 1 minus the cosine of the angle between two vectors of the same
// dimension, neither of length 0: from 0, the same direction, to 2, the opposite one.
func cosineDistance(a, b []float64) float64 {
	dot, na, nb := 0.0, norm(a), norm(b)
	for i := range a {
		dot += (a[i] / na) * (b[i] / nb)
	}
	return min(max(1-dot, 0), 2)
}

// norm is a vector's length.
func norm(v []float64) float64 {
	n := 0.0
	for _, x := range v {
		n = math.Hypot(n, x)
	}
	return n
}
