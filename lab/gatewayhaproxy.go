package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"firedrill/drills/topology"
)

// haproxy is HAProxy in front of models, by the policy that it is told.
type haproxy struct{ policy policy }

// policy says to whom HAProxy leads clients.
type policy int

const (
	// inOrder asks the first vendor that health checks find well.
	inOrder policy = iota
	// inTurn asks every vendor in turn that health checks find well.
	inTurn
	// byHand asks the vendor that it is told to ask, and checks none.
	byHand
)

type haproxyGateway struct {
	*models
	*HAProxy
	policy policy
	key    string // the application's, once it is needed
}

// modelsBackend is the name of the backend.
const modelsBackend = "models"

func (m haproxy) open(l *models) gateway {
	h := NewHAProxy(filepath.Join(l.places.servers, "gateway"), l.Route)
	h.Sockets, h.Namespace = l.socketsOf("gateway"), l.namespace
	h.backend, h.serves = modelsBackend, "any"
	if m.policy == byHand {
		h.serves = "primary"
	}
	g := &haproxyGateway{models: l, HAProxy: h, policy: m.policy}
	h.text = g.text
	return g
}

func (*haproxyGateway) packages() map[string]string { return map[string]string{"haproxy": "haproxy"} }

func (*haproxyGateway) fetch(context.Context) error { return nil }

func (g *haproxyGateway) process() process {
	p, err := g.HAProxy.process()
	if err != nil {
		p = g.place("gateway", g.Route, 0) // packages says what is missing
	}
	p.name = "gateway"
	return p
}

func (g *haproxyGateway) start(ctx context.Context) (err error) {
	if g.key, err = g.secret(keySecret).Resolve(); err != nil {
		return err
	}
	if g.secure {
		ca, err := os.ReadFile(g.secretFile(caSecret))
		if err != nil {
			return err
		}
		if err := g.process().write(map[string]string{caFile: string(ca)}); err != nil {
			return err
		}
	}
	return g.Start(ctx, g.models.vendors[0].name)
}

// reset leads clients to the first vendor again, where the runner led them away.
func (g *haproxyGateway) reset(ctx context.Context) error {
	r, err := g.Router()
	if err != nil || g.policy != byHand {
		return err
	}
	return r.Switch(ctx, g.models.vendors[0].name)
}

func (g *haproxyGateway) leadsTo(ctx context.Context) ([]string, error) {
	r, err := g.Router()
	if err != nil {
		return nil, err
	}
	return r.Current(ctx)
}

func (*haproxyGateway) headers() map[string]string { return nil }

func (g *haproxyGateway) route() topology.RouteSpec { return g.Spec(ModelsRoute, ModelsComponent) }

// text: an answer may begin 10 s after the request, and pause for as long. What is
// asked again, and of whom, is the policy's. The health checks come with the
// application's key: without one a vendor refuses them.
func (g *haproxyGateway) text(ready string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `defaults
	mode http
	timeout connect 1s
	timeout client 1m
	timeout server 10s
	timeout server-fin 1s
	timeout check 1s
%slisten %s
	bind %s
%s`, g.resolvers(), modelsBackend, g.Route, g.options())
	for i, v := range g.models.vendors {
		fmt.Fprintf(&b, "\tserver %s %s%s\n", v.name, g.reached(i), g.server(i, v.name == ready))
	}
	return b.String()
}

// resolvers is the name server, if vendors are asked by name. A name that is gone
// (NXDOMAIN) takes its server out after a second; by default that takes half a
// minute. While the name server fails or says nothing, the last address is used.
func (g *haproxyGateway) resolvers() string {
	if !g.secure {
		return ""
	}
	return `resolvers fault-point
	nameserver fault-point ` + g.nameServer() + `
	resolve_retries 1
	timeout resolve 500ms
	timeout retry 500ms
	hold valid 500ms
	hold nx 1s
	hold other 1m
	hold refused 1m
	hold timeout 1m
`
}

// reached is where the i-th server is, and how.
func (g *haproxyGateway) reached(i int) string {
	if !g.secure {
		return g.throughAddress(i)
	}
	name := hostName(g.models.vendors[i].name)
	return fmt.Sprintf("%s:%d resolvers fault-point resolve-prefer ipv4 init-addr none ssl verify required ca-file %s sni str(%s) check-sni %s",
		name, vendorPort, filepath.Join(g.Dir, caFile), name, name)
}

func (g *haproxyGateway) options() string {
	switch g.policy {
	case inOrder:
		return g.check() + `	retries 2
	option redispatch 1
	option http-buffer-request
	retry-on conn-failure empty-response response-timeout 500 502 503 504
	default-server inter 2s fastinter 500ms downinter 1s fall 3 rise 2 observe layer7 error-limit 5 on-error mark-down on-marked-down shutdown-sessions
`
	case inTurn:
		return g.check() + `	balance roundrobin
	retries 0
	default-server inter 500ms fall 2 rise 2 on-marked-down shutdown-sessions
`
	}
	return "\tretries 0\n\tdefault-server on-marked-down shutdown-sessions\n"
}

func (g *haproxyGateway) check() string {
	return `	option httpchk
	http-check send meth GET uri /v1/models hdr Authorization "Bearer ` + g.key + `"
	http-check expect status 200
`
}

// server returns the options of the i-th server.
func (g *haproxyGateway) server(i int, ready bool) string {
	switch {
	case g.policy == byHand:
		return disabledUnless(ready)
	case g.policy == inOrder && i > 0:
		return " check backup"
	}
	return " check"
}
