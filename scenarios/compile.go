package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
)

// Compile turns a scenario into a drill on a topology: every reference resolved,
// every default filled in, every plug-in built, nothing contacted. What does not
// fit is an error of type Problems: everything at once, at its place in the
// scenario file or, if the topology cannot be opened, in the topology file.
func Compile(f *File, tf *TopologyFile, k drills.Catalogues) (*drills.Drill, error) {
	t, err := tf.Open(k.Topology)
	if err != nil {
		return nil, err
	}
	c := newCompiler(f, t, k)
	c.plan()
	c.probes()
	c.faults()
	c.remedies()
	c.objectives()
	c.sources(tf)
	if err := c.problems.err(); err != nil {
		return nil, err
	}
	return c.drill, nil
}

// Check builds every plug-in of the scenario, for what a schema cannot express.
// Compile does so too; Check is for when there is no topology at hand.
func (f *File) Check(k drills.Catalogues) error {
	c := newCompiler(f, nil, k)
	for i, p := range f.Spec.Probes {
		build(c, k.Probes, p.Kind, p.With, "probes", i)
	}
	for i, s := range f.Spec.Faults {
		build(c, k.Injectors, s.Kind, s.With, "faults", i)
	}
	for i, r := range f.Spec.Remediation {
		build(c, k.Remedies, r.Kind, r.With, "remediation", i)
	}
	return c.problems.err()
}

// compiler holds what is being put together. Its problems are those of document.
type compiler struct {
	document
	file  *File
	top   *topology.Topology
	kinds drills.Catalogues
	drill *drills.Drill
	// ledgers are the probes that write one.
	ledgers map[string]bool
}

func newCompiler(f *File, t *topology.Topology, k drills.Catalogues) *compiler {
	c := &compiler{file: f, top: t, kinds: k, drill: &drills.Drill{Topology: t}, ledgers: map[string]bool{}}
	c.document.file = f.Metadata.Name
	if f.doc != nil {
		c.document.file, c.document.root = f.doc.file, f.doc.root
	}
	return c
}

// at is the place in the file, as far as it has one.
func (c *compiler) at(steps ...any) *node {
	return c.root.at(append([]any{"spec"}, steps...)...)
}

// build makes a plug-in; a refusal is a problem at the parameter that it names
// first ("signal: …"), or else at the plug-in's "with".
func build[T any](c *compiler, from kind.Catalogue[T], name string, with json.RawMessage, list string, i int) (T, bool) {
	t, err := from.Build(name, with)
	if err == nil {
		return t, true
	}
	n := c.at(list, i, "with")
	key, why, _ := strings.Cut(strings.TrimPrefix(err.Error(), name+": "), ": ")
	if parameter := n.get(strings.TrimPrefix(key, "with.")); parameter != nil && why != "" {
		c.problem(parameter, "%s", why)
	} else {
		c.problem(n, "%v", err)
	}
	return t, false
}

// plan fills in what comes straight from the file.
func (c *compiler) plan() {
	s := c.file.Spec
	c.drill.Plan = timeline.Plan{
		Scenario: c.file.Metadata.Name, Topology: c.top.Name, Description: c.file.Metadata.Description,
		Frequency: s.Frequency, Owner: s.Owner, Controls: s.Controls,
		Stable:   timeline.Stable{For: s.Stable.For.Std(), Samples: s.Stable.Samples, Share: s.Stable.Share},
		Baseline: s.Baseline.Std(), HealAfter: s.HealAfter.Std(), Longest: s.Limits.Duration.Std(),
	}
	for _, of := range c.top.Components {
		c.drill.Plan.Prices = append(c.drill.Plan.Prices, prices(of)...)
	}
	c.drill.Limits = drills.Limits{Members: s.Limits.Members, Sites: s.Limits.Sites, Percent: s.Limits.Percent}
	for _, stop := range s.StopConditions {
		c.drill.Stops = append(c.drill.Stops, drills.StopCondition{Probe: stop.Probe, Outage: stop.Outage.Std()})
	}
}

// prices are what the members of an llm component ask for, where the file says so.
func prices(of *topology.Component) (out []timeline.Price) {
	cfg, err := llm.ConfigOf(of)
	if err != nil {
		return nil // of another kind
	}
	for _, m := range of.Members {
		if p := cfg.Vendors[m.Name()].Price; p != (llm.Price{}) {
			out = append(out, timeline.Price{Component: of.Name(), Member: m.Name(), In: p.In, Out: p.Out})
		}
	}
	return out
}

// sources keeps the two files as they were read.
func (c *compiler) sources(tf *TopologyFile) {
	var err error
	if c.root != nil {
		c.drill.Plan.ScenarioSource, err = json.Marshal(c.root.json())
	} else {
		c.drill.Plan.ScenarioSource, err = json.Marshal(c.file)
	}
	var topErr error
	c.drill.Plan.TopologySource, topErr = json.Marshal(tf.File)
	if err := errors.Join(err, topErr); err != nil {
		c.problem(c.root, "%v", fmt.Errorf("keep the sources: %w", err))
	}
}
