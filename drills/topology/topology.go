package topology

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"firedrill/drills/kind"
)

// Role is what a member is at a moment, as its server says.
type Role string

// The roles a member can have.
const (
	Primary Role = "primary"
	Replica Role = "replica"
	// Instance is a member of a component without roles.
	Instance Role = "instance"
	// Down is a member that does not answer.
	Down Role = "down"
	// Detached is a member that answers but neither takes writes nor replicates.
	Detached Role = "detached"
)

// Topology is an opened topology file: every plug-in built, nothing contacted.
type Topology struct {
	Name       string
	Spec       Spec
	Components []*Component
}

// Component is an opened component.
type Component struct {
	Spec    ComponentSpec
	Members []*Member
	Routes  []*Route
	Adapter Adapter
	// FaultPoint is nil when the file gives none.
	FaultPoint *FaultPoint
}

// FaultPoint is an opened fault point.
type FaultPoint struct {
	Spec FaultPointSpec
	// Control is nil when the file gives none.
	Control Control
}

// Name returns the component's name.
func (c *Component) Name() string { return c.Spec.Name }

// Found tells that the members are not in the file: they come and go, and are those
// that were discovered last.
func (c *Component) Found() bool { return len(c.Spec.Members) == 0 }

// Member is an opened member.
type Member struct {
	Spec      MemberSpec
	Component string
	// Control is nil when the file gives none.
	Control Control
}

// Name returns the member's name.
func (m *Member) Name() string { return m.Spec.Name }

// Address returns host:port.
func (m *Member) Address() string { return m.Spec.Address }

// Route is an opened route.
type Route struct {
	Spec   RouteSpec
	Router Router
}

// Status is what a control says about a member's processes.
type Status struct {
	Running bool
	// PIDs are the member's processes on this host, the main one first; empty
	// when stopped or when the control cannot see them.
	PIDs []int
	// Detail is a line for people.
	Detail string
}

// Control stops and starts one member. All methods are idempotent and return
// once the state has been read back, or the context ends.
type Control interface {
	Status(ctx context.Context) (Status, error)
	Start(ctx context.Context) error
	// Stop asks the member to shut down gracefully and waits.
	Stop(ctx context.Context) error
}

// Router switches where a route leads.
type Router interface {
	// Current names the members that the route sends clients to now.
	Current(ctx context.Context) ([]string, error)
	// Switch leads the route to one member and cuts sessions to all others; it
	// returns when the route says so itself. An empty name refuses all clients.
	Switch(ctx context.Context, member string) error
}

// MemberState is one member as discovered.
type MemberState struct {
	Member string `json:"member"`
	Role   Role   `json:"role"`
	// Facts are what the kind finds worth recording (read_only, gtid, source,
	// lag…), as text.
	Facts map[string]string `json:"facts,omitempty"`
	// Problem says in one line what is wrong with the member, if anything is.
	Problem string `json:"problem,omitempty"`
	// Spec is set for members that are not in the topology file: they were found.
	Spec *MemberSpec `json:"spec,omitempty"`
	// Labels are what the platform has attached to such a member.
	Labels map[string]string `json:"labels,omitempty"`
}

// State is a component as discovered.
type State struct {
	Members []MemberState `json:"members"`
	// Problem says in one line what is wrong with the component as a whole.
	Problem string `json:"problem,omitempty"`
}

// With returns the names of the members that have a role.
func (s State) With(r Role) []string {
	var out []string
	for _, m := range s.Members {
		if m.Role == r {
			out = append(out, m.Member)
		}
	}
	return out
}

// Adapter is what the kind of a component knows.
type Adapter interface {
	// Discover asks every member who it is now. An error means that nothing at
	// all could be learnt; a member that does not answer is Down, with Problem.
	// Wrong credentials and missing privileges are Problems too.
	Discover(ctx context.Context) (State, error)
	// Restore brings the roles back to a healthy whole: one primary, every other
	// member following it, routes leading there. keep is the state before the
	// drill. Members that were promoted meanwhile stay primary; a member with
	// transactions that the primary lacks is kept out and reported. Idempotent.
	// Each step is handed to note.
	Restore(ctx context.Context, keep State, note func(Step)) (Restored, error)
}

// Step is one timed action of a longer sequence, for the record.
type Step struct {
	Name   string `json:"name"`
	Member string `json:"member,omitempty"`
	Detail string `json:"detail,omitempty"`
	Err    string `json:"error,omitempty"`
}

// Restored says how a Restore ended.
type Restored struct {
	State State `json:"state"`
	// KeptOut are members that were not re-admitted, with the reason.
	KeptOut map[string]string `json:"kept_out,omitempty"`
	// Errant are the transactions found on a member and not on the primary.
	Errant map[string]string `json:"errant,omitempty"`
}

// Kinds are the catalogues a topology is opened with.
type Kinds struct {
	Components kind.Catalogue[NewAdapter]
	Controls   kind.Catalogue[NewControl]
	Routes     kind.Catalogue[NewRouter]
}

type (
	// NewAdapter finishes an adapter with the component that it belongs to.
	NewAdapter func(*Component) (Adapter, error)
	// NewControl finishes a control with the member that it belongs to.
	NewControl func(MemberSpec) (Control, error)
	// NewRouter finishes a router with the route that it belongs to.
	NewRouter func(RouteSpec) (Router, error)
)

// Open builds every plug-in of a topology. It contacts nothing.
func (k Kinds) Open(name string, s Spec) (*Topology, error) {
	t := &Topology{Name: name, Spec: s}
	for _, cs := range s.Components {
		c, err := k.OpenComponent(cs, s.Routes)
		if err != nil {
			return nil, err
		}
		t.Components = append(t.Components, c)
	}
	return t, nil
}

// OpenComponent builds one component with those of the routes that lead to it.
// With the specs from a journal it works in another process.
func (k Kinds) OpenComponent(cs ComponentSpec, routes []RouteSpec) (*Component, error) {
	c := &Component{Spec: cs}
	for _, ms := range cs.Members {
		m := &Member{Spec: ms, Component: cs.Name}
		if ms.Control != nil {
			ctl, err := k.OpenControl(ms)
			if err != nil {
				return nil, err
			}
			m.Control = ctl
		}
		c.Members = append(c.Members, m)
	}
	for _, rs := range routes {
		if rs.Component != cs.Name {
			continue
		}
		r, err := k.OpenRoute(rs)
		if err != nil {
			return nil, err
		}
		c.Routes = append(c.Routes, r)
	}
	if cs.FaultPoint != nil {
		p, err := k.OpenFaultPoint(cs)
		if err != nil {
			return nil, err
		}
		c.FaultPoint = p
	}
	build, err := k.Components.Build(cs.Kind, cs.With)
	if err != nil {
		return nil, fmt.Errorf("component %s: %w", cs.Name, err)
	}
	if c.Adapter, err = build(c); err != nil {
		return nil, fmt.Errorf("component %s: %w", cs.Name, err)
	}
	return c, nil
}

// OpenControl builds the control of a member that has one.
func (k Kinds) OpenControl(ms MemberSpec) (Control, error) {
	build, err := k.Controls.Build(ms.Control.Kind, ms.Control.With)
	if err != nil {
		return nil, fmt.Errorf("member %s: control: %w", ms.Name, err)
	}
	c, err := build(ms)
	if err != nil {
		return nil, fmt.Errorf("member %s: control: %w", ms.Name, err)
	}
	return c, nil
}

// OpenFaultPoint builds the fault point of a component that has one.
func (k Kinds) OpenFaultPoint(cs ComponentSpec) (*FaultPoint, error) {
	p := &FaultPoint{Spec: *cs.FaultPoint}
	if err := p.Spec.check(); err != nil {
		return nil, fmt.Errorf("component %s: faultPoint.%w", cs.Name, err)
	}
	if p.Spec.Control == nil {
		return p, nil
	}
	ctl, err := k.OpenControl(MemberSpec{
		Name: cs.Name + "'s fault point", Control: p.Spec.Control, User: p.Spec.User, Address: p.address(),
	})
	if err != nil {
		return nil, fmt.Errorf("component %s: faultPoint: %w", cs.Name, err)
	}
	p.Control = ctl
	return p, nil
}

// address is one that the fault point listens on: the first by the members' names.
func (p *FaultPoint) address() string {
	names := slices.Sorted(maps.Keys(p.Spec.Listen))
	if len(names) == 0 {
		return ""
	}
	return p.Spec.Listen[names[0]]
}

// OpenRoute builds a route's router.
func (k Kinds) OpenRoute(rs RouteSpec) (*Route, error) {
	build, err := k.Routes.Build(rs.Kind, rs.With)
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", rs.Name, err)
	}
	r, err := build(rs)
	if err != nil {
		return nil, fmt.Errorf("route %s: %w", rs.Name, err)
	}
	return &Route{Spec: rs, Router: r}, nil
}

// Component finds a component by name or, if no name fits, the only one of that
// kind.
func (t *Topology) Component(nameOrKind string) (*Component, error) {
	var ofKind []*Component
	var names []string
	for _, c := range t.Components {
		if c.Spec.Name == nameOrKind {
			return c, nil
		}
		if c.Spec.Kind == nameOrKind {
			ofKind = append(ofKind, c)
		}
		names = append(names, fmt.Sprintf("%s (%s)", c.Spec.Name, c.Spec.Kind))
	}
	switch len(ofKind) {
	case 1:
		return ofKind[0], nil
	case 0:
		return nil, fmt.Errorf("topology %s has no component %q: it has %v", t.Name, nameOrKind, names)
	}
	return nil, fmt.Errorf("topology %s has %d components of kind %q: name one of %v", t.Name, len(ofKind), nameOrKind, names)
}

// Member finds a member of the component by name.
func (c *Component) Member(name string) (*Member, error) {
	for _, m := range c.Members {
		if m.Name() == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("component %s has no member %q", c.Name(), name)
}
