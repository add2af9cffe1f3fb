package scenarios

import (
	"maps"
	"slices"
	"time"

	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// objectives finds the target of every component that can be judged: the
// scenario's own for the component, else its general one, else the topology's.
// A target that nothing measures is a problem, not a pass.
func (c *compiler) objectives() {
	sound := len(c.problems) == 0 // else what seems unmeasured may only not have been compiled
	own := c.ownObjectives(sound)
	watched, written := map[string]bool{}, map[string]bool{}
	for _, s := range c.drill.Plan.Series {
		watched[s.Component] = watched[s.Component] || recovers(s)
		written[s.Component] = written[s.Component] || s.Writes
	}
	asked := c.asked()
	general := c.file.Spec.Objectives.Objectives
	for _, of := range c.top.Components {
		name := of.Name()
		o, t := own[name], of.Spec.Objectives
		c.objective("rto", name, watched[name], o.RTO, general.RTO, t.RTO)
		c.objective("rpo", name, written[name], o.RPO, general.RPO, t.RPO)
		for _, r := range requestObjectives {
			c.requests(r, name, asked[name], o, general, t)
		}
	}
	// Probes that have just an address are judged together.
	c.objective("rto", "", watched[""], general.RTO)
	if sound && len(c.problems) == 0 {
		c.measurable(general, written, asked)
	}
}

// measurable notes what would leave the drill without a judgement.
func (c *compiler) measurable(general topology.Objectives, written map[string]bool, asked map[string]map[string]bool) {
	for _, r := range requestObjectives {
		if d, l := r.target(general); (d != nil || l != nil) && !measures(r, asked) {
			c.problem(c.at("objectives", r.field), "nothing measures it: no probe %s", r.needs())
		}
	}
	writers := false
	for _, w := range written {
		writers = writers || w
	}
	if general.RPO != nil && !writers {
		c.problem(c.at("objectives", "rpo"), "nothing measures it: no probe writes a ledger")
	} else if len(c.drill.Plan.Objectives) == 0 {
		c.problem(c.at("objectives"), "there is nothing to judge: give an rto or rpo here, or to the component in the topology")
	}
}

// ownObjectives are the scenario's targets for single components, by the
// component's name.
func (c *compiler) ownObjectives(sound bool) map[string]topology.Objectives {
	own := map[string]topology.Objectives{}
	components := c.file.Spec.Objectives.Components
	for _, key := range slices.Sorted(maps.Keys(components)) {
		n := c.at("objectives", "components", key)
		of := c.component(key, n)
		if of == nil {
			continue
		}
		if _, twice := own[of.Name()]; twice {
			c.problem(n, "component %s has objectives already, by its name", of.Name())
			continue
		}
		o := components[key]
		own[of.Name()] = o
		if sound {
			c.explicit(n, of, o)
		}
	}
	return own
}

// explicit notes a target for a component that nothing measures there.
func (c *compiler) explicit(n *node, of *topology.Component, o topology.Objectives) {
	isOf := func(s timeline.Series) bool { return s.Component == of.Name() }
	series := c.drill.Plan.Series
	if o.RTO != nil && !slices.ContainsFunc(series, func(s timeline.Series) bool { return isOf(s) && recovers(s) }) {
		c.problem(n.at("rto"), "nothing measures it: no probe that decides recovery looks at %s", of.Name())
	}
	asked := c.asked()[of.Name()]
	for _, r := range requestObjectives {
		if d, l := r.target(o); (d != nil || l != nil) && !r.measured(asked) {
			c.problem(n.at(r.field), "nothing measures it: no probe on %s %s", of.Name(), r.needs())
		}
	}
	if o.RPO != nil && !slices.ContainsFunc(series, func(s timeline.Series) bool { return isOf(s) && s.Writes }) {
		c.problem(n.at("rpo"), "nothing measures it: no probe writes a ledger on %s", of.Name())
	}
}

// objective adds the first target that is given, if it can be judged.
func (c *compiler) objective(name, component string, judged bool, targets ...*spec.Duration) {
	i := slices.IndexFunc(targets, func(t *spec.Duration) bool { return t != nil })
	if i < 0 || !judged {
		return
	}
	c.drill.Plan.Objectives = append(c.drill.Plan.Objectives, timeline.Objective{
		Name: name, Component: component, Target: time.Duration(*targets[i]),
	})
}
