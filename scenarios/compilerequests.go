package scenarios

import (
	"maps"
	"slices"
	"time"

	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// requestObjective is one of the objectives that requests to a model are judged by.
type requestObjective struct {
	// name is that of the plan, field that of the files.
	name, field string
	// op is the operation that must be asked for; "" for any.
	op string
	// target returns what a file says: a duration, a limit, or neither.
	target func(topology.Objectives) (*spec.Duration, *float64)
}

var requestObjectives = []requestObjective{
	{"availability", "availability", "", func(o topology.Objectives) (*spec.Duration, *float64) { return nil, o.Availability }},
	{"fallback", "fallback", "", func(o topology.Objectives) (*spec.Duration, *float64) { return nil, o.Fallback }},
	{"first-token-p95", "firstTokenP95", "chat", func(o topology.Objectives) (*spec.Duration, *float64) { return o.FirstTokenP95, nil }},
	{"truncated", "truncated", "", func(o topology.Objectives) (*spec.Duration, *float64) { return nil, count(o.Truncated) }},
	{"wrong-embeddings", "wrongEmbeddings", "embedding", func(o topology.Objectives) (*spec.Duration, *float64) { return nil, count(o.WrongEmbeddings) }},
	{"answered-twice", "answeredTwice", "", func(o topology.Objectives) (*spec.Duration, *float64) { return nil, count(o.AnsweredTwice) }},
	{"fail-back", "failBack", "", func(o topology.Objectives) (*spec.Duration, *float64) { return o.FailBack, nil }},
}

func count(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

// needs says what a probe must do for the objective to be measured.
func (r requestObjective) needs() string {
	if r.op == "" {
		return "asks a model (llm-chat, llm-embedding, llm-rerank)"
	}
	return "asks for " + r.op + " (llm-" + r.op + ")"
}

// measured tells whether the operations that are asked for will do.
func (r requestObjective) measured(ops map[string]bool) bool {
	return r.op == "" && len(ops) > 0 || ops[r.op]
}

func measures(r requestObjective, asked map[string]map[string]bool) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(asked)), r.measured)
}

// asked are the operations that probes ask each component for.
func (c *compiler) asked() map[string]map[string]bool {
	out := map[string]map[string]bool{}
	for _, s := range c.drill.Plan.Series {
		if s.Op == "" {
			continue
		}
		if out[s.Component] == nil {
			out[s.Component] = map[string]bool{}
		}
		out[s.Component][s.Op] = true
	}
	return out
}

// requests adds the first target of an objective that is given, if it can be judged.
func (c *compiler) requests(r requestObjective, component string, asked map[string]bool, targets ...topology.Objectives) {
	if !r.measured(asked) {
		return
	}
	for _, t := range targets {
		d, limit := r.target(t)
		if d == nil && limit == nil {
			continue
		}
		o := timeline.Objective{Name: r.name, Component: component, Limit: limit}
		if d != nil {
			o.Target = time.Duration(*d)
		}
		c.drill.Plan.Objectives = append(c.drill.Plan.Objectives, o)
		return
	}
}
