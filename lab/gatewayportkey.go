package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"firedrill/drills/topology"
	"firedrill/drills/topology/route"
)

// portkey is the AI gateway @portkey-ai/gateway, which runs on Node.js.
type portkey struct{}

type portkeyGateway struct{ *models }

func (portkey) open(l *models) gateway { return portkeyGateway{l} }

func (g portkeyGateway) packages() map[string]string {
	need := map[string]string{"node": "nodejs"}
	if _, err := os.Stat(g.script()); err != nil {
		need["npm"] = "npm"
	}
	return need
}

func (g portkeyGateway) script() string {
	return filepath.Join(gatewayDir(g.cache), "node_modules/@portkey-ai/gateway/build/start-server.js")
}

func (g portkeyGateway) fetch(ctx context.Context) error {
	if _, err := os.Stat(g.script()); err == nil {
		return nil
	}
	g.say("downloading the gateway with npm, 25 MB, this once")
	return FetchGateway(ctx, g.cache)
}

const (
	// loopbackFile makes the gateway listen on its own address only, and ask the fault
	// point for names.
	loopbackFile = "loopback.cjs"
	// caFile is what the gateway trusts beside what Node.js comes with.
	caFile = "ca.pem"
)

func (g portkeyGateway) process() process {
	p := g.place("gateway", g.Route, 0)
	host, port := hostPort(g.Route)
	node, err := exec.LookPath("node")
	if err != nil {
		node = "node" // said by packages
	}
	p.argv = []string{
		node, "--require=" + filepath.Join(p.dir, loopbackFile), g.script(),
		"--host=" + host, fmt.Sprintf("--port=%d", port), "--dns=" + g.nameServer(), "--headless",
	}
	p.env = map[string]string{"NODE_EXTRA_CA_CERTS": filepath.Join(p.dir, caFile)}
	return p
}

func (g portkeyGateway) start(ctx context.Context) error {
	p := g.process()
	ca, err := os.ReadFile(g.secretFile(caSecret))
	if err != nil {
		return err
	}
	if err := p.write(map[string]string{loopbackFile: gatewayFile(loopbackFile), caFile: string(ca)}); err != nil {
		return err
	}
	return p.start(ctx, func() error {
		_, err := g.chats(ctx)
		return err
	})
}

// reset does nothing: the gateway keeps nothing between requests.
func (portkeyGateway) reset(context.Context) error { return nil }

// leadsTo is for each request to find out.
func (portkeyGateway) leadsTo(context.Context) ([]string, error) { return nil, nil }

// portkeyConfig is the header x-portkey-config, which tells the gateway what to do
// with a request.
type portkeyConfig struct {
	Strategy struct {
		Mode string `json:"mode"`
	} `json:"strategy"`
	// RequestTimeout is in milliseconds, until an answer begins.
	RequestTimeout int `json:"request_timeout"`
	// ForwardHeaders are sent on to the vendors, in place of the gateway's own.
	ForwardHeaders []string        `json:"forward_headers"`
	Targets        []portkeyTarget `json:"targets"`
}

type portkeyTarget struct {
	Provider   string `json:"provider"`
	APIKey     string `json:"api_key"`
	CustomHost string `json:"custom_host"`
}

// portkeyTimeout leaves a client that waits for 3 s time for one more vendor.
const portkeyTimeout = 2000

// headers: an answer with any other status than 2xx makes the gateway ask the next
// vendor. The key is the application's own, sent on to the vendors: the gateway
// insists on an api_key, and this one is no key.
func (g portkeyGateway) headers() map[string]string {
	c := portkeyConfig{RequestTimeout: portkeyTimeout, ForwardHeaders: []string{"authorization"}}
	c.Strategy.Mode = "fallback"
	for _, v := range g.vendors {
		c.Targets = append(c.Targets, portkeyTarget{
			Provider: "openai", APIKey: "forwarded", CustomHost: fmt.Sprintf("https://%s:%d/v1", hostName(v.name), vendorPort),
		})
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // plain data
	}
	return map[string]string{"x-portkey-config": string(b)}
}

// route cannot be switched: where requests go is in their headers.
func (g portkeyGateway) route() topology.RouteSpec {
	var members []string
	for _, v := range g.vendors {
		members = append(members, v.name)
	}
	return topology.RouteSpec{
		Name: ModelsRoute, Component: ModelsComponent, Kind: "fixed", Address: g.Route, Serves: "any",
		With: withoutEmpty(route.FixedSpec{Members: members}),
	}
}
