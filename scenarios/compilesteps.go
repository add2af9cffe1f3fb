package scenarios

import (
	"firedrill/drills"
	"firedrill/drills/timeline"
)

func (c *compiler) faults() {
	for i, f := range c.file.Spec.Faults {
		n := c.at("faults", i)
		injector, built := build(c, c.kinds.Injectors, f.Kind, f.With, "faults", i)
		target := c.selector(f.Target, n.at("target"))
		if target != nil {
			c.bounded(target, n.at("target"))
		}
		var peer *drills.Selector
		if f.Peer != nil {
			peer = c.selector(*f.Peer, n.at("peer"))
		}
		if !built || target == nil {
			continue
		}
		c.drill.Faults = append(c.drill.Faults, drills.FaultStep{
			Injector: injector, Kind: f.Kind, With: f.With, Target: *target, Peer: peer,
		})
		narrower, _ := injector.(drills.Narrower)
		c.drill.Plan.Faults = append(c.drill.Plan.Faults, timeline.PlannedFault{
			Name: f.Name, Kind: f.Kind, Component: target.Component.Name(), Target: target.String(),
			At: f.At.Std(), For: f.For.Std(), Measured: !f.Prelude,
			Narrow: narrower != nil && narrower.Narrow(),
		})
	}
}

func (c *compiler) remedies() {
	for i, r := range c.file.Spec.Remediation {
		remedy, built := build(c, c.kinds.Remedies, r.Kind, r.With, "remediation", i)
		target := c.selector(r.Target, c.at("remediation", i, "target"))
		if !built || target == nil {
			continue
		}
		c.drill.Remedies = append(c.drill.Remedies, drills.RemedyStep{Remedy: remedy, Kind: r.Kind, With: r.With, Target: *target})
		c.drill.Plan.Remedies = append(c.drill.Plan.Remedies, timeline.PlannedRemedy{Name: r.Name, Kind: r.Kind, Target: target.String()})
	}
}
