package drills

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// String describes the choice for people: "primary of orders-db".
func (s Selector) String() string {
	var words []string
	switch {
	case s.Count > 0:
		words = append(words, fmt.Sprint(s.Count))
	case s.Percent > 0:
		words = append(words, fmt.Sprintf("%d %%", s.Percent))
	}
	switch {
	case s.Member != "":
		words = append(words, s.Member)
	case s.Role != "":
		words = append(words, string(s.Role))
	default:
		words = append(words, "members")
	}
	words = append(words, "of", s.Component.Name())
	if s.Site != "" {
		words = append(words, "in", s.Site)
	}
	if s.Node != "" {
		words = append(words, "on", s.Node)
	}
	if s.Labels != nil {
		words = append(words, "with", s.Labels.String())
	}
	return strings.Join(words, " ")
}

// Choose applies the selector to a component as just discovered. The members
// that fit come in the order of the file; pick chooses among n when only some
// are wanted. Nothing that fits is an error: a fault on nothing proves nothing.
func (s Selector) Choose(state topology.State, pick func(n int) int) ([]*topology.Member, error) {
	var fit []*topology.Member
	for _, m := range s.Component.Members {
		if s.fits(m, state) {
			fit = append(fit, m)
		}
	}
	if len(fit) < max(1, s.Count) {
		return nil, fmt.Errorf("choose %s: %d members fit, want %d: %s", s, len(fit), max(1, s.Count), Describe(state))
	}
	want := s.Count
	if s.Percent > 0 {
		want = (len(fit)*s.Percent + 99) / 100
	}
	for want > 0 && len(fit) > want {
		i := pick(len(fit))
		fit = slices.Delete(fit, i, i+1)
	}
	return fit, nil
}

// fits tells whether the selector can choose a member.
func (s Selector) fits(m *topology.Member, state topology.State) bool {
	if s.Member != "" && m.Name() != s.Member || s.Site != "" && m.Spec.Site != s.Site {
		return false
	}
	i := slices.IndexFunc(state.Members, func(ms topology.MemberState) bool { return ms.Member == m.Name() })
	if i < 0 {
		return s.Role == "" && s.Node == "" && s.Labels == nil
	}
	ms := state.Members[i]
	return (s.Role == "" || ms.Role == s.Role) && (s.Node == "" || ms.Facts[NodeFact] == s.Node) &&
		(s.Labels == nil || s.Labels.Matches(labels.Set(ms.Labels)))
}

// NodeFact is the fact of a member that names the node it runs on.
const NodeFact = "node"

// Describe puts a component's state in one line.
func Describe(s topology.State) string {
	if len(s.Members) == 0 {
		return cmp.Or(s.Problem, "it has no members")
	}
	parts := make([]string, len(s.Members))
	for i, m := range s.Members {
		parts[i] = fmt.Sprintf("%s is %s", m.Member, m.Role)
		if m.Problem != "" {
			parts[i] += " (" + m.Problem + ")"
		}
	}
	return strings.Join(parts, ", ")
}

// discover asks a component who is who now, and records the answer.
func (r *run) discover(ctx context.Context, c *topology.Component) (topology.State, error) {
	began := r.clock.Now()
	state, err := c.Adapter.Discover(ctx)
	if err != nil {
		return state, fmt.Errorf("discover %s: %w", c.Name(), err)
	}
	if err := r.o.Plugins.Topology.Enrol(c, state); err != nil {
		return state, fmt.Errorf("discover %s: %w", c.Name(), err)
	}
	r.note(timeline.RolesSeen{Component: c.Name(), Members: seen(state), Took: r.clock.Now() - began})
	return state, nil
}

// seen turns a state into what the record holds.
func seen(s topology.State) []timeline.MemberSeen {
	out := make([]timeline.MemberSeen, len(s.Members))
	for i, m := range s.Members {
		out[i] = timeline.MemberSeen{Member: m.Member, Role: string(m.Role), Facts: m.Facts, Problem: m.Problem}
	}
	return out
}

// target resolves what a fault acts on, as things are now, and refuses what
// exceeds the limits.
func (r *run) target(ctx context.Context, i int) (Target, error) {
	t, err := r.d.resolve(i, r.o.Seed, func(c *topology.Component) (topology.State, error) { return r.discover(ctx, c) })
	t.Run, t.Stay = r.o.RunID, r.d.stay(i)+cmp.Or(r.o.Slack, defaultSlack)
	return t, err
}

// resolve chooses what a fault acts on, from what state says of a component.
func (d *Drill) resolve(i int, seed uint64, state func(*topology.Component) (topology.State, error)) (Target, error) {
	f, pick := d.Faults[i], chance(seed, i)
	now, err := state(f.Target.Component)
	if err != nil {
		return Target{}, err
	}
	members, err := f.Target.Choose(now, pick)
	if err != nil {
		return Target{}, err
	}
	if err := d.Limits.allow(members, f.Target.Component); err != nil {
		return Target{}, err
	}
	t := Target{Component: f.Target.Component, Members: members, State: now}
	if d.Topology != nil {
		t.Around = d.Topology.Components
	}
	if f.Peer != nil {
		if f.Peer.Component != f.Target.Component {
			if now, err = state(f.Peer.Component); err != nil {
				return Target{}, err
			}
		}
		t.Others, err = f.Peer.Choose(now, pick)
		return t, err
	}
	for _, m := range f.Target.Component.Members {
		if !slices.Contains(members, m) {
			t.Others = append(t.Others, m)
		}
	}
	return t, nil
}

// stay is how long a fault is to stay at the longest.
func (d *Drill) stay(i int) time.Duration { return cmp.Or(d.Plan.Faults[i].For, d.Plan.Longest) }

// due is the order in which the faults are made.
func (d *Drill) due() []int {
	order := make([]int, len(d.Faults))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(d.Plan.Faults[a].At, d.Plan.Faults[b].At) })
	return order
}

// together refuses a fault if its target, with those of the faults that are still in
// force when it is due, exceeds the limits. targets has a target for each fault that
// was made before.
func (d *Drill) together(i int, t Target, targets map[int]Target) error {
	at, ms := d.Plan.Faults[i].At, slices.Clone(t.Members)
	for _, j := range d.due() {
		if p := d.Plan.Faults[j]; p.For > 0 && p.At+p.For <= at {
			continue
		}
		for _, m := range targets[j].Members {
			if !slices.Contains(ms, m) {
				ms = append(ms, m)
			}
		}
	}
	return d.Limits.allow(ms, t.Component)
}

// rehearse resolves and prepares every fault in the order in which they are due, as if
// nothing changed meanwhile.
func (d *Drill) rehearse(ctx context.Context, resolve func(i int) (Target, error)) (map[int]Target, map[int]Undo, error) {
	targets, undos := map[int]Target{}, map[int]Undo{}
	for _, i := range d.due() {
		t, err := resolve(i)
		if err == nil {
			undos[i], err = d.Faults[i].Injector.Prepare(ctx, t)
		}
		if err == nil {
			err = d.together(i, t, targets)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("fault %s: %w", d.Plan.Faults[i].Name, err)
		}
		targets[i] = t
	}
	return targets, undos, nil
}

// reach lists what a remedy may act on: the component's members and what leads there.
func (s Selector) reach() string {
	const few = 8
	what := fmt.Sprintf("%s: ", s)
	if n := len(s.Component.Members); n > few {
		what += fmt.Sprintf("%d members", n)
	} else {
		what += strings.Join(memberNames(s.Component.Members), ", ")
	}
	for _, rt := range s.Component.Routes {
		what += ", route " + rt.Spec.Name
	}
	return what
}

// chance is the seed's choice for a fault, the same whenever it is asked anew: what a
// plan shows is what a run with the same seed takes, as long as the members stay.
func chance(seed uint64, fault int) func(n int) int {
	return rand.New(rand.NewPCG(seed, uint64(fault))).IntN
}

// allow refuses more members, sites or percent of a component than the scenario's
// limits.
func (l Limits) allow(ms []*topology.Member, of *topology.Component) error {
	sites := map[string]bool{}
	for _, m := range ms {
		sites[m.Spec.Site] = true
	}
	if len(ms) > l.Members {
		return fmt.Errorf("would touch %d members (%s), limits.members is %d", len(ms), strings.Join(memberNames(ms), ", "), l.Members)
	}
	if len(sites) > l.Sites {
		return fmt.Errorf("would touch %d sites, limits.sites is %d", len(sites), l.Sites)
	}
	hit := 0
	for _, m := range ms {
		if m.Component == of.Name() {
			hit++
		}
	}
	if l.Percent > 0 && hit*100 > l.Percent*len(of.Members) {
		return fmt.Errorf("would touch %d of the %d members of %s, limits.percent is %d", hit, len(of.Members), of.Name(), l.Percent)
	}
	return nil
}
