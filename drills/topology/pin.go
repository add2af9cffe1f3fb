package topology

import (
	"context"
	"encoding/json"
	"slices"
)

// Pinning is implemented by adapters and controls whose parameters lean on what may
// come to lead elsewhere: the environment, or a file of the user's.
type Pinning interface {
	// Pin sees to it that the plug-in means, for as long as it lives, what it means now,
	// and returns the parameters that it was made from so that they mean the same in any
	// other process, or nothing.
	Pin(ctx context.Context, with json.RawMessage) (json.RawMessage, error)
}

// Pin has the component, its controls, and what it writes down about them mean for good
// what they mean now: who puts things back later must not do so somewhere else.
func (c *Component) Pin(ctx context.Context) (err error) {
	if p, ok := c.Adapter.(Pinning); ok {
		if c.Spec.With, err = p.Pin(ctx, c.Spec.With); err != nil {
			return err
		}
	}
	c.Spec.Members = slices.Clone(c.Spec.Members)
	for _, m := range c.Members {
		if m.Spec.Control, err = pinControl(ctx, m.Control, m.Spec.Control); err != nil {
			return err
		}
		for i := range c.Spec.Members {
			if c.Spec.Members[i].Name == m.Name() {
				c.Spec.Members[i].Control = m.Spec.Control
			}
		}
	}
	if c.FaultPoint == nil {
		return nil
	}
	f := &c.FaultPoint.Spec
	if f.Control, err = pinControl(ctx, c.FaultPoint.Control, f.Control); err != nil {
		return err
	}
	c.Spec.FaultPoint = f
	return nil
}

func pinControl(ctx context.Context, is Control, s *ControlSpec) (*ControlSpec, error) {
	p, ok := is.(Pinning)
	if !ok || s == nil {
		return s, nil
	}
	with, err := p.Pin(ctx, s.With)
	return &ControlSpec{Kind: s.Kind, With: with}, err
}
