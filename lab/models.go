package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"

	"firedrill/drills/topology/llm"
)

// modelMake says which vendors serve models in a lab, and what is in front of them.
type modelMake struct {
	// vendors are in order of priority.
	vendors []vendorMake
	// strategy is the component's: priority or balance.
	strategy string
	// failover says who turns to the next vendor: automatic or runner.
	failover string
	gateway  gatewayMake
	// secure has the gateway ask vendors by name and with TLS.
	secure bool
}

// vendorMake is a simulated vendor.
type vendorMake struct {
	name string
	// dimension and seed are those of its embeddings: vendors that have both in common
	// serve the same model.
	dimension, seed int
	price           llm.Price
}

// The ports that the processes of a lab listen on.
const (
	vendorPort     = 8000
	gatewayPort    = 8080
	nameServerPort = 5353
)

func (modelMake) port() int { return gatewayPort }

// models are simulated vendors of language models, a fault point in front of them,
// and a gateway that applications ask.
type models struct {
	*lab
	modelMake
	vendors    []process
	faultPoint process
	gateway    gateway
}

func (m modelMake) open(l *lab) topologyLab {
	d := &models{lab: l, modelMake: m}
	for i := range m.vendors {
		d.vendors = append(d.vendors, d.vendorProcess(i))
	}
	d.faultPoint = d.faultPointProcess()
	d.gateway = m.gateway.open(d)
	return d
}

// place fills in where a process of the lab is at home.
func (l *models) place(name, address string, user int) process {
	return process{
		name: name, address: address, dir: filepath.Join(l.places.servers, name), uid: UserOf(user), namespace: l.namespace,
	}
}

// socket is where a process listens for commands. The path is short enough for a
// process that makes the socket under a longer name first.
func (l *models) socket(name string) string {
	return filepath.Join(l.places.sockets, name, "admin.sock")
}

func (l *models) packages() map[string]string { return l.gateway.packages() }

func (l *models) fetch(ctx context.Context) error { return l.gateway.fetch(ctx) }

func (l *models) users() map[string]int {
	users := map[string]int{}
	for _, p := range l.processes() {
		users[p.name] = p.uid
	}
	return users
}

// processes are all that the lab runs, in the order in which they need each other.
func (l *models) processes() []process {
	return append(append([]process{}, l.vendors...), l.faultPoint, l.gateway.process())
}

// keySecret is the file with the application's key, which all vendors accept.
const keySecret = "app"

// create returns once the vendor that is first in order has answered through the
// gateway.
func (l *models) create(ctx context.Context) error {
	if err := l.writeSecret(keySecret, "sk-"+rand.Text()); err != nil {
		return err
	}
	if err := l.certify(); err != nil {
		return err
	}
	if err := l.install(ctx); err != nil {
		return err
	}
	l.say("starting %d vendors, a fault point and a gateway", len(l.vendors))
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	return l.start(ctx)
}

// start starts what does not run.
func (l *models) start(ctx context.Context) error {
	errs := make(chan error)
	for i := range l.vendors {
		go func() { errs <- l.startVendor(ctx, i) }()
	}
	var all []error
	for range l.vendors {
		all = append(all, <-errs)
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	if err := l.startFaultPoint(ctx); err != nil {
		return err
	}
	return l.gateway.start(ctx)
}
