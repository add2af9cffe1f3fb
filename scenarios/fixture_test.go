package scenarios

import (
	"context"
	"iter"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/ledger"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// The kinds of these tests stand for real plug-ins: the messages under test do
// not change when a plug-in does.
type (
	killSpec struct {
		// Signal is what is sent.
		Signal string        `json:"signal,omitempty" jsonschema:"enum=KILL,enum=TERM"`
		Grace  spec.Duration `json:"grace,omitempty"`
	}
	writeSpec struct {
		User     string      `json:"user"`
		Password spec.Secret `json:"password,omitempty"`
		Rows     int         `json:"rows,omitempty" jsonschema:"minimum=1,maximum=100"`
		Ratio    float64     `json:"ratio,omitempty" jsonschema:"exclusiveMinimum=0"`
		TLS      tlsSpec     `json:"tls,omitzero"`
	}
	tlsSpec struct {
		CA     string `json:"ca,omitempty"`
		Verify bool   `json:"verify,omitempty"`
	}
	execSpec struct {
		Command []string `json:"command" jsonschema:"minItems=1"`
	}
	noSpec struct{}
)

type fake struct{ clients []drills.Client }

func (fake) Prepare(context.Context, drills.Target) (drills.Undo, error)  { return drills.Undo{}, nil }
func (fake) Inject(context.Context, drills.Target, drills.Undo) error     { return nil }
func (fake) Revert(context.Context, drills.Undo) error                    { return nil }
func (fake) Apply(context.Context, drills.Target, drills.RemedyLog) error { return nil }
func (f fake) Clients() []drills.Client                                   { return f.clients }
func (fake) Open(context.Context, drills.Subject) (drills.Probe, error)   { return nil, nil }
func (fake) Discover(context.Context) (s topology.State, err error)       { return }
func (fake) Status(context.Context) (s topology.Status, err error)        { return }
func (fake) Start(context.Context) error                                  { return nil }
func (fake) Stop(context.Context) error                                   { return nil }
func (fake) Current(context.Context) ([]string, error)                    { return nil, nil }
func (fake) Switch(context.Context, string) error                         { return nil }
func (fake) Restore(context.Context, topology.State, func(topology.Step)) (r topology.Restored, err error) {
	return
}

// fakeWriter is a probe with a ledger.
type fakeWriter struct{ clients []drills.Client }

func (f fakeWriter) Clients() []drills.Client                                 { return f.clients }
func (fakeWriter) Open(context.Context, drills.Subject) (drills.Probe, error) { return nil, nil }
func (fakeWriter) Prepare(context.Context, *topology.Component, string) error { return nil }
func (fakeWriter) Remove(context.Context, drills.Undo) error                  { return nil }
func (fakeWriter) PlanUndo(*topology.Component, string) (drills.Undo, error) {
	return drills.Undo{}, nil
}

func (fakeWriter) ReadBack(context.Context, *topology.Component, string, *topology.Member) iter.Seq2[ledger.ID, error] {
	return nil
}

var both = []drills.Client{drills.Fresh, drills.Pooled}

func fixtureCatalogues() drills.Catalogues {
	return drills.Catalogues{
		Topology: fixtureTopologyKinds(),
		Injectors: kind.Of("fault",
			kind.New("process-kill", "Signals a member's process.", killSpec{Signal: "KILL"}, as[killSpec, drills.Injector](fake{})),
			kind.New("exec", "Runs a command.", execSpec{}, refusing)),
		Probes: kind.Of("probe",
			kind.New("mysql-write", "Writes.", writeSpec{Rows: 1}, as[writeSpec, drills.ProbeKind](fakeWriter{both})),
			kind.New("mysql-read", "Reads.", noSpec{}, as[noSpec, drills.ProbeKind](fake{both})),
			kind.New("tcp", "Connects.", noSpec{}, as[noSpec, drills.ProbeKind](fake{both[:1]}))),
		Remedies: kind.Of("remedy",
			kind.New("mysql-failover", "Promotes a replica.", noSpec{}, as[noSpec, drills.Remedy](fake{}))),
	}
}

func fixtureTopologyKinds() topology.Kinds {
	var (
		adapter topology.NewAdapter = func(*topology.Component) (topology.Adapter, error) { return fake{}, nil }
		control topology.NewControl = func(topology.MemberSpec) (topology.Control, error) { return fake{}, nil }
		router  topology.NewRouter  = func(topology.RouteSpec) (topology.Router, error) { return fake{}, nil }
	)
	return topology.Kinds{
		Components: kind.Of("component",
			kind.New("mysql", "MySQL or MariaDB.", writeSpec{}, as[writeSpec](adapter)),
			kind.New("service", "Anything else.", noSpec{}, as[noSpec](adapter))),
		Controls: kind.Of("control", kind.New("process", "A process.", execSpec{}, as[execSpec](control))),
		Routes: kind.Of("route",
			kind.New("haproxy", "HAProxy.", noSpec{}, as[noSpec](router)),
			kind.New("fixed", "Cannot be switched.", noSpec{}, as[noSpec](router))),
	}
}

func fixtureKinds() Kinds {
	c := fixtureCatalogues()
	t := c.Topology
	return Kinds{
		Faults: c.Injectors.Entries(), Probes: c.Probes.Entries(), Remedies: c.Remedies.Entries(),
		Components: t.Components.Entries(), Controls: t.Controls.Entries(), Routes: t.Routes.Entries(),
	}
}

func as[S, T any](v T) func(S) (T, error) { return func(S) (T, error) { return v, nil } }

// refusing is a kind that refuses what its schema cannot express.
func refusing(s execSpec) (drills.Injector, error) {
	if s.Command[0] == "" {
		return nil, errEmptyCommand
	}
	return fake{}, nil
}
