package lab

import (
	"context"

	"firedrill/drills/topology"
)

// gatewayMake is a make of gateways with its choices made.
type gatewayMake interface {
	// open describes the gateway in front of the lab's fault point.
	open(l *models) gateway
}

// gateway is what applications ask; it asks the vendors through the fault point.
type gateway interface {
	packages() map[string]string
	// fetch gets what no package has, into the cache.
	fetch(ctx context.Context) error
	process() process
	// start starts it unless it runs, and waits until it listens.
	start(ctx context.Context) error
	// reset leads clients where they were led when the lab was new.
	reset(ctx context.Context) error
	// leadsTo names the vendors that it would ask now, if it tells.
	leadsTo(ctx context.Context) ([]string, error)
	// headers are what it needs with every request. They are no secrets.
	headers() map[string]string
	// route describes it as a route of the topology.
	route() topology.RouteSpec
}
