package scenarios

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
	"firedrill/drills/vantage"
)

// portable is a probe that can look from elsewhere, unless it has a secret.
type portable struct{ secret bool }

func (portable) Clients() []drills.Client                                   { return []drills.Client{drills.Fresh} }
func (portable) Open(context.Context, drills.Subject) (drills.Probe, error) { return nil, nil }
func (p portable) Portable() error {
	if p.secret {
		return errors.New("with.secret: a secret is not sent to other hosts")
	}
	return nil
}

const clusterTopology = `apiVersion: firedrill/v1
kind: Topology
metadata: {name: cluster}
spec:
  components:
    - {name: api, kind: kubernetes, failover: automatic, with: {selector: app=api, agent: {image: "firedrill:1"}}}
    - {name: other, kind: kubernetes, failover: automatic, with: {selector: app=other, agent: {image: "firedrill:1"}}}
    - {name: bare, kind: kubernetes, failover: automatic, with: {selector: app=bare}}
    - {name: db, kind: svc, failover: none, members: [{name: db1, address: "10.0.0.1:1"}]}
  routes:
    - {name: api-service, component: api, kind: fixed, address: "10.0.0.9:80"}
    - {name: db-rw, component: db, kind: fixed, address: "10.0.0.1:1"}
`

func compileFrom(t *testing.T, probes string) (*drills.Drill, error) {
	t.Helper()
	type secretSpec struct {
		Secret bool `json:"secret,omitempty"`
	}
	k := drills.Catalogues{
		Injectors: kind.Of("fault", kind.New("break", "", noSpec{}, func(noSpec) (drills.Injector, error) { return fake{}, nil })),
		Probes: kind.Of("probe",
			kind.New("http", "", secretSpec{}, func(s secretSpec) (drills.ProbeKind, error) { return portable{s.Secret}, nil }),
			kind.New("exec", "", noSpec{}, func(noSpec) (drills.ProbeKind, error) { return fake{}, nil }),
		),
		Topology: topology.Kinds{
			Components: kind.Of("component", kube.Kind(), kind.New("svc", "", noSpec{}, func(noSpec) (topology.NewAdapter, error) {
				return func(*topology.Component) (topology.Adapter, error) { return fake{}, nil }, nil
			})),
			Routes: kind.Of("route", kind.New("fixed", "", noSpec{}, func(noSpec) (topology.NewRouter, error) {
				return func(topology.RouteSpec) (topology.Router, error) { return fake{}, nil }, nil
			})),
		},
	}
	kinds := Kinds{
		Faults: k.Injectors.Entries(), Probes: k.Probes.Entries(),
		Components: k.Topology.Components.Entries(), Routes: k.Topology.Routes.Entries(),
	}
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	require.NoError(t, os.WriteFile(path, []byte(clusterTopology), 0o600))
	tf, err := LoadTopology(path, kinds)
	require.NoError(t, err)
	f, err := Read("x.yaml", []byte(`apiVersion: firedrill/v1
kind: Scenario
metadata: {name: x}
spec:
  objectives: {rto: 1m}
  faults: [{name: break, kind: break, target: {component: db}}]
  probes:
`+probes), nil, kinds)
	require.NoError(t, err)
	return Compile(f, tf, k)
}

func TestCompileFrom(t *testing.T) {
	d, err := compileFrom(t, `
    - {name: here, kind: http, target: {component: api}}
    - {name: b, kind: http, target: {component: api}, from: {zone: b}}
    - {name: b2, kind: http, address: "10.0.0.7:80", from: {component: api, zone: b}}
    - {name: there, kind: http, target: {component: db}, from: {component: other, zone: b}}
    - {name: node, kind: http, target: {component: api}, from: {zone: b, node: node-b}}
    - {name: any, kind: http, target: {component: api}, from: {}}
`)
	require.NoError(t, err)
	var from []string
	for _, s := range d.Plan.Series {
		from = append(from, s.From)
	}
	assert.Equal(t, []string{"", "zone b", "zone b", "zone b of other", "zone b, node node-b", "the cluster"}, from)
	assert.Nil(t, d.Series[0].From)
	assert.Equal(t, "api", d.Series[2].From.Component.Name())
	assert.Equal(t, vantage.Place{Zone: "b", Node: "node-b"}, d.Series[4].From.Place)
}

func TestCompileFromProblems(t *testing.T) {
	for probe, want := range map[string]string{
		`{name: p, kind: http, target: {component: db}, from: {zone: b}}`: "x.yaml:9:61: spec.probes[0].from: " +
			"component db is of kind svc: probes can look from one of kind kubernetes; name it with component",
		`{name: p, kind: http, address: "10.0.0.1:1", from: {zone: b}}`: "x.yaml:9:59: spec.probes[0].from: " +
			"the probe has no target: name the component of kind kubernetes in whose cluster it is to look from",
		`{name: p, kind: http, target: {component: db}, from: {component: bare}}`: "x.yaml:9:61: spec.probes[0].from: " +
			"component bare: with.agent.image is needed in the topology file: an image whose entry point is firedrill",
		`{name: p, kind: exec, target: {component: db}, from: {component: api}}`: "x.yaml:9:61: spec.probes[0].from: " +
			"a probe of kind exec needs the runner's own files, secrets or ledgers: it cannot look from elsewhere (http and tcp can)",
		`{name: p, kind: http, target: {component: db}, from: {component: api}, with: {secret: true}}`: "x.yaml:9:61: spec.probes[0].from: " +
			"the probe cannot look from elsewhere: with.secret: a secret is not sent to other hosts",
		`{name: p, kind: http, target: {component: db}, from: {component: nope}}`: "x.yaml:9:72: spec.probes[0].from.component: " +
			`topology cluster has no component "nope"`,
	} {
		_, err := compileFrom(t, "\n    - "+probe+"\n")
		assert.ErrorContains(t, err, want)
	}
}
