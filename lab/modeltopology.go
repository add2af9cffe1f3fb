package lab

import (
	"fmt"

	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/llm"
)

// ModelsComponent and ModelsRoute are the names in the topology of every lab of
// models.
const (
	ModelsComponent = "models"
	ModelsRoute     = "models-gateway"
)

func (l *models) describe() (topology.Spec, error) {
	c, err := l.component()
	if err != nil {
		return topology.Spec{}, err
	}
	return topology.Spec{
		Components: []topology.ComponentSpec{c},
		Routes:     []topology.RouteSpec{l.gateway.route()},
	}, nil
}

func (l *models) component() (topology.ComponentSpec, error) {
	var rto spec.Duration
	if err := rto.UnmarshalJSON([]byte(`"10s"`)); err != nil {
		return topology.ComponentSpec{}, err
	}
	key := l.secret(keySecret)
	cfg := llm.Config{
		Strategy: l.strategy, Headers: l.gateway.headers(), Key: key,
		Models:   llm.Models{Chat: chatModel, Embedding: embeddingModel, Rerank: rerankModel},
		Identify: llm.Identify{By: "header", Header: vendorHeader},
		Vendors:  map[string]llm.Vendor{},
	}
	point, as := l.pointSpec(), l.faultPoint.spec()
	point.Control, point.User = as.Control, as.User
	c := topology.ComponentSpec{
		Name: ModelsComponent, Kind: "llm", Failover: l.failover, Objectives: topology.Objectives{RTO: &rto},
		FaultPoint: point,
	}
	for i, v := range l.vendors {
		cfg.Vendors[v.name] = llm.Vendor{Key: key, Price: l.modelMake.vendors[i].price}
		c.Members = append(c.Members, v.spec())
	}
	c.With = withoutEmpty(cfg)
	if len(c.FaultPoint.Socket) > 107 {
		return c, fmt.Errorf("socket path %s is longer than 107 bytes: choose a shorter directory", c.FaultPoint.Socket)
	}
	return c, nil
}
