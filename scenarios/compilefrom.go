package scenarios

import (
	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/vantage"
)

// from finds where a probe looks from, and whether it can from there.
func (c *compiler) from(i int, p Probe, k drills.ProbeKind, series *timeline.Series, step *drills.SeriesStep) bool {
	n := c.at("probes", i, "from")
	of := step.Component
	if p.From.Component != "" {
		of = c.component(p.From.Component, n.at("component"))
		if of == nil {
			return false
		}
	}
	if of == nil {
		c.problem(n, "the probe has no target: name the component of kind kubernetes in whose cluster it is to look from")
		return false
	}
	host, ok := of.Adapter.(vantage.Host)
	if !ok {
		c.problem(n, "component %s is of kind %s: probes can look from one of kind kubernetes; name it with component", of.Name(), of.Spec.Kind)
		return false
	}
	if err := host.CanHost(); err != nil {
		c.problem(n, "%v", err)
		return false
	}
	portable, ok := k.(drills.Portable)
	if !ok || p.Ledger != "" {
		c.problem(n, "a probe of kind %s needs the runner's own files, secrets or ledgers: it cannot look from elsewhere (http and tcp can)", p.Kind)
		return false
	}
	if err := portable.Portable(); err != nil {
		c.problem(n, "the probe cannot look from elsewhere: %v", err)
		return false
	}
	step.From = &drills.Vantage{Component: of, Place: vantage.Place{Zone: p.From.Zone, Node: p.From.Node}}
	series.From = c.place(step.From)
	return true
}

// place names a place; two clusters may have the same zones.
func (c *compiler) place(at *drills.Vantage) string {
	name := at.Place.String()
	for i, s := range c.drill.Series {
		if s.From != nil && s.From.Component != at.Component && c.drill.Plan.Series[i].From == name {
			return name + " of " + at.Component.Name()
		}
	}
	return name
}
