package vendor

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
)

type embeddingRequest struct {
	Input      json.RawMessage `json:"input"`
	Dimensions int             `json:"dimensions"`
	Encoding   string          `json:"encoding_format"`
}

type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

type embeddings struct {
	Object string         `json:"object"`
	Data   []embedding    `json:"data"`
	Model  string         `json:"model"`
	Usage  embeddingUsage `json:"usage"`
}

type embeddingUsage struct {
	Prompt int `json:"prompt_tokens"`
	Total  int `json:"total_tokens"`
}

// embed answers /embeddings.
func (x *exchange) embed() {
	var q embeddingRequest
	p := x.decode(&q)
	inputs, err := inputs(q.Input)
	switch {
	case p != nil:
	case q.Input == nil:
		p = missing("input")
	case err != nil:
		p = invalid("input", "Invalid 'input': %s.", err)
	case q.Dimensions < 0 || q.Dimensions > x.v.cfg.Dimension:
		p = invalid("dimensions", "Invalid value for 'dimensions': the model has at most %d.", x.v.cfg.Dimension)
	case q.Encoding != "" && q.Encoding != "float" && q.Encoding != "base64":
		p = invalid("encoding_format", "Invalid value: '%s'. Supported values are: 'float' and 'base64'.", q.Encoding)
	}
	if p != nil {
		x.fail(*p)
		return
	}
	out := embeddings{Object: "list", Data: []embedding{}, Model: x.named()}
	for i, in := range inputs {
		out.Usage.Prompt += len(tokens(in))
		if x.mode.Name != EmptyChoice {
			out.Data = append(out.Data, embedding{"embedding", i, encoded(x.vector(in, q.Dimensions), q.Encoding)})
		}
	}
	out.Usage.Total = out.Usage.Prompt
	x.rec.update(func(e *Entry) { e.In = out.Usage.Prompt })
	x.wait(x.v.cfg.TokenDelay)
	x.answer(out, 0, len(out.Data) > 0)
}

// inputs reads what is to be embedded: a text, texts, or the same as numbers of
// tokens.
func inputs(raw json.RawMessage) ([]string, error) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return notEmpty([]string{one})
	}
	var many []json.RawMessage
	if err := json.Unmarshal(raw, &many); err != nil {
		return nil, errors.New("want a string or an array")
	}
	var out []string
	var numbers string
	for _, m := range many {
		var n int
		switch {
		case json.Unmarshal(m, &n) == nil:
			numbers += " " + strconv.Itoa(n)
		case json.Unmarshal(m, &one) == nil:
			out = append(out, one)
		default:
			var list []int
			if err := json.Unmarshal(m, &list); err != nil {
				return nil, errors.New("want strings or arrays of numbers of tokens")
			}
			out = append(out, string(m))
		}
	}
	if numbers != "" {
		out = append(out, numbers)
	}
	return notEmpty(out)
}

func notEmpty(inputs []string) ([]string, error) {
	for _, in := range inputs {
		if in == "" {
			return nil, errors.New("input cannot be an empty string")
		}
	}
	if len(inputs) == 0 {
		return nil, errors.New("input cannot be an empty array")
	}
	return inputs, nil
}

// vector is the embedding of an input, or a wrong one if the mode says so. length
// shortens it, as a client may ask for; 0 does not.
func (x *exchange) vector(input string, length int) []float32 {
	dimension, seed := x.v.cfg.Dimension, x.v.cfg.Seed
	if x.mode.Name == WrongEmbedding {
		seed++
		if x.mode.Dimension > 0 {
			dimension, length = x.mode.Dimension, 0
		}
	}
	return Vector(input, dimension, seed, length)
}

// Vector is the embedding of an input in the space that a seed makes: a unit vector
// that is always the same. length shortens it, 0 does not.
func Vector(input string, dimension int, seed uint64, length int) []float32 {
	sum := sha256.Sum256([]byte(input))
	r := rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum[:8]), seed))
	v := make([]float32, dimension)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	if length > 0 && length < dimension {
		v = v[:length]
	}
	var square float64
	for _, f := range v {
		square += float64(f) * float64(f)
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(square))
	}
	return v
}

// encoded is a vector as the client asked for it.
func encoded(v []float32, encoding string) any {
	if encoding != "base64" {
		return v
	}
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return base64.StdEncoding.EncodeToString(b)
}
