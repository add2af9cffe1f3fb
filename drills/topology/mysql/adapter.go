package mysql

import (
	"context"
	"errors"

	"firedrill/drills/topology"
)

type adapter struct {
	cfg Config
	c   *topology.Component
}

func newAdapter(cfg Config, c *topology.Component) (topology.Adapter, error) {
	return &adapter{cfg: cfg, c: c}, nil
}

func (a *adapter) Discover(ctx context.Context) (topology.State, error) {
	return topology.State{}, errors.New("not there")
}

func (a *adapter) Restore(ctx context.Context, keep topology.State, note func(topology.Step)) (topology.Restored, error) {
	return topology.Restored{}, errors.New("not there")
}
