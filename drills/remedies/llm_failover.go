package remedies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
	"firedrill/drills/topology/route"
)

// LLMFailoverSpec says how members of an llm component are tried.
type LLMFailoverSpec struct {
	// Route names the one route to switch; empty: all that can be.
	Route string `json:"route,omitempty"`
	// Prompt is what members are asked. It should lead to an answer of some tokens:
	// a stream that breaks off is not seen in one.
	Prompt string `json:"prompt,omitempty"`
	// MaxTokens is how long an answer may be.
	MaxTokens int `json:"maxTokens,omitempty" jsonschema:"minimum=1"`
	// Tries is how many requests a member must answer whole, every other one as a
	// stream. They are sent at once.
	Tries int `json:"tries,omitempty" jsonschema:"minimum=1"`
	// Models gives the model's name at members that have another one for it than the
	// one that applications ask for.
	Models map[string]string `json:"models,omitempty"`
	// Timeout is how long an answer may take.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

var llmFailoverDefaults = LLMFailoverSpec{
	Prompt: "Count from 1 to 20, separated by spaces.", MaxTokens: 32, Tries: 2, Timeout: spec.Duration(2 * time.Second),
}

type llmFailover struct {
	spec  LLMFailoverSpec
	kinds topology.Kinds
}

func newLLMFailover(k topology.Kinds) func(LLMFailoverSpec) (drills.Remedy, error) {
	return func(s LLMFailoverSpec) (drills.Remedy, error) {
		if s.Prompt == "" || s.MaxTokens < 1 || s.Tries < 1 || s.Timeout <= 0 {
			return nil, errors.New("with: prompt, maxTokens, tries and timeout must not be empty or 0")
		}
		return llmFailover{spec: s, kinds: k}, nil
	}
}

// routeUndo is what Revert needs to lead a route back.
type routeUndo struct {
	Route   topology.RouteSpec `json:"route"`
	Members []string           `json:"members"`
}

// Apply asks all members at once and leads every route that can be switched to
// the first in order that answers whole. A member that a route leads to alone is in
// doubt, since requests fail all the same: it is the last choice.
func (r llmFailover) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	cfg, err := llm.ConfigOf(t.Component)
	if err != nil {
		return err
	}
	for name := range r.spec.Models {
		if _, err := t.Component.Member(name); err != nil {
			return fmt.Errorf("with.models: %w", err)
		}
	}
	routes, err := r.routes(t.Component)
	if err != nil {
		return err
	}
	to, err := r.choose(ctx, cfg, t, alone(ctx, routes), log)
	if err != nil {
		return err
	}
	var errs []error
	for _, rt := range routes {
		errs = append(errs, leadTo(ctx, rt, to, log))
	}
	return errors.Join(errs...)
}

// routes are those that can be switched.
func (r llmFailover) routes(c *topology.Component) ([]*topology.Route, error) {
	var out []*topology.Route
	var fixed []string
	for _, rt := range c.Routes {
		switch {
		case r.spec.Route != "" && rt.Spec.Name != r.spec.Route:
		case rt.Router == nil || rt.Spec.Kind == "fixed":
			fixed = append(fixed, rt.Spec.Name)
		default:
			out = append(out, rt)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case len(fixed) > 0:
		return nil, fmt.Errorf("route %s is fixed: it cannot be switched: make it haproxy or exec in the topology file, or change the gateway with the remedy http or config-file",
			strings.Join(fixed, ", "))
	}
	return nil, fmt.Errorf("component %s has no route %q to switch", c.Name(), r.spec.Route)
}

// alone are the members that a route leads to and to nobody else. A route that cannot
// be read says so when it is switched.
func alone(ctx context.Context, routes []*topology.Route) []string {
	var out []string
	for _, rt := range routes {
		if was, err := leads(ctx, rt); err == nil && len(was) == 1 {
			out = append(out, was...)
		}
	}
	return out
}

// choose returns the first member in order that answers whole, those in doubt last. All
// are asked at once: those before it are waited for, those after it are not.
func (r llmFailover) choose(ctx context.Context, cfg llm.Config, t drills.Target, doubted []string, log drills.RemedyLog) (string, error) {
	if err := log.Intend("try members", nil); err != nil {
		return "", fmt.Errorf("journal step try members: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	members := t.Component.Members
	answers := make([]chan tried, len(members))
	for i, m := range members {
		answers[i] = make(chan tried, 1)
		c := canary{spec: r.spec, cfg: cfg, c: t.Component, m: m}
		go func() { answers[i] <- c.ask(ctx) }()
	}
	var said []string
	last := "" // the first in doubt that answered whole
	for i, m := range members {
		a := <-answers[i]
		step := topology.Step{Name: "try", Member: m.Name()}
		if a.err != nil {
			step.Err = a.err.Error()
			log.Step(step)
			said = append(said, m.Name()+": "+step.Err)
			continue
		}
		step.Detail = fmt.Sprintf("answered whole in %d ms", a.took.Milliseconds())
		if !slices.Contains(doubted, m.Name()) {
			log.Step(step)
			return m.Name(), nil
		}
		step.Detail += "; requests fail although a route leads there alone, so another is looked for"
		log.Step(step)
		last = cmp.Or(last, m.Name())
	}
	if last != "" {
		return last, nil
	}
	return "", fmt.Errorf("no member of %s answers: %s", t.Component.Name(), strings.Join(said, "; "))
}

// leadTo switches one route; how it is led back is journaled before.
func leadTo(ctx context.Context, rt *topology.Route, to string, log drills.RemedyLog) error {
	step := topology.Step{Name: "switch route " + rt.Spec.Name, Member: to}
	was, err := leads(ctx, rt)
	if err != nil {
		return fmt.Errorf("route %s: %w", rt.Spec.Name, err)
	}
	if slices.Equal(was, []string{to}) {
		step.Detail = "leads there already"
		log.Step(step)
		return nil
	}
	undo, err := undoWith("lead route "+rt.Spec.Name+" back to "+orNobody(was), routeUndo{Route: rt.Spec, Members: was})
	if err != nil {
		return err
	}
	return deed(log, step, undo, func() (string, error) { return "led to " + orNobody(was) + " before", rt.Router.Switch(ctx, to) })
}

// leads is where a route may lead, so that it can be led back.
func leads(ctx context.Context, rt *topology.Route) ([]string, error) {
	if many, ok := rt.Router.(route.Restorer); ok {
		return many.Open(ctx)
	}
	was, err := rt.Router.Current(ctx)
	if err == nil && len(was) > 1 {
		err = fmt.Errorf("it leads to %s, and a route of kind %s can be led back to one member only: not switched", orNobody(was), rt.Spec.Kind)
	}
	return was, err
}

// Revert implements drills.Reverter.
func (r llmFailover) Revert(ctx context.Context, u drills.Undo) error {
	var was routeUndo
	if err := readUndo(u, &was); err != nil {
		return err
	}
	rt, err := r.kinds.OpenRoute(was.Route)
	if err != nil {
		return err
	}
	if many, ok := rt.Router.(route.Restorer); ok {
		return many.Restore(ctx, was.Members)
	}
	now, err := rt.Router.Current(ctx)
	if err == nil && slices.Equal(now, was.Members) {
		return nil
	}
	return rt.Router.Switch(ctx, strings.Join(was.Members, ""))
}
