package remedies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
	"firedrill/drills/topology/mysql/gtid"
)

// MySQLFailoverSpec are the parameters of mysql-failover.
type MySQLFailoverSpec struct {
	// MaxMissing is how many transactions the promoted replica may lack of those
	// that any reachable member is known to have. What only a dead primary has
	// cannot be asked and does not count.
	MaxMissing uint64 `json:"maxMissing,omitempty"`
	// DrainTimeout is how long the promoted replica may take to apply what it has
	// received, and how long replicas may take to receive the rest from an old
	// primary that is fenced and still answers.
	DrainTimeout spec.Duration `json:"drainTimeout,omitempty"`
	// Fence are the ways to make sure that the old primary takes no more writes, in
	// the order in which they are tried until one is proven: readOnly (it answers and
	// says so), stop (its control shuts it down, and processes that do not obey are
	// killed), route (clients are refused there). Nothing is promoted before that.
	// readOnly comes first because replicas can still fetch what they lack from a
	// server that runs.
	Fence []string `json:"fence,omitempty" jsonschema:"enum=readOnly,enum=stop,enum=route"`
	// FenceTimeout is how long each of them may take.
	FenceTimeout spec.Duration `json:"fenceTimeout,omitempty"`
}

// The ways to fence.
const (
	FenceReadOnly = "readOnly"
	FenceStop     = "stop"
	FenceRoute    = "route"
)

type mysqlFailover struct{ spec MySQLFailoverSpec }

func newMySQLFailover(s MySQLFailoverSpec) (drills.Remedy, error) {
	if len(s.Fence) == 0 {
		return nil, errors.New("with.fence: name at least one of readOnly, stop, route: without a fence two members could take writes")
	}
	for _, f := range s.Fence {
		if !slices.Contains([]string{FenceReadOnly, FenceStop, FenceRoute}, f) {
			return nil, fmt.Errorf("with.fence: unknown way %q: known are readOnly, stop, route", f)
		}
	}
	if s.DrainTimeout <= 0 || s.FenceTimeout <= 0 {
		return nil, errors.New("with: drainTimeout and fenceTimeout must be longer than 0s")
	}
	return mysqlFailover{s}, nil
}

// failover is one Apply under way.
type failover struct {
	spec MySQLFailoverSpec
	k    *mysql.Cluster
	log  drills.RemedyLog
	// old is the primary that has failed; best is who takes its place.
	old, best *mysql.Node
	// left is what the fenced old primary has, if it answers.
	left gtid.History
	// semiSync tells whether the old primary's commits waited for a replica.
	semiSync bool
}

// Apply fails over. Every step looks at the servers first and does only what is
// left to do, so that an interrupted Apply carries on; the component's Restore
// covers every state in between.
func (r mysqlFailover) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	k, err := mysql.OpenCluster(t.Component)
	if err != nil {
		return err
	}
	defer k.Close()
	f := &failover{spec: r.spec, k: k, log: log}
	if f.old, err = oldPrimary(ctx, k, t); err != nil {
		return err
	}
	f.semiSync = waited(t.State)
	p := k.Look(ctx, k.Others(f.old)...)
	if f.best = promoted(k, p); f.best == nil {
		return f.takeOver(ctx, p)
	}
	// Promoted before an interruption: the fence is proven again.
	if err := f.fence(ctx); err != nil {
		return err
	}
	follow, err := f.repoint(ctx, p, nil)
	if err != nil {
		return err
	}
	return follow()
}

// takeOver does everything from the fence on.
func (f *failover) takeOver(ctx context.Context, p mysql.Picture) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if len(p.Up()) == 0 {
		return fmt.Errorf("component %s: no replica answers: nobody can take over from %s", f.k.Component.Name(), f.old.Name())
	}
	if err := f.fence(ctx); err != nil {
		return err
	}
	if err := f.catchUp(ctx, p); err != nil {
		return err
	}
	states, err := f.freeze(ctx, p)
	if err != nil {
		return err
	}
	if err := f.choose(states); err != nil {
		return err
	}
	if err := f.drain(ctx, states[f.best]); err != nil {
		return err
	}
	// From here on the candidate has all it will have: the others may turn to it
	// while it is being opened.
	follow, err := f.repoint(ctx, p, states)
	if err != nil {
		return err
	}
	return errors.Join(f.promote(ctx, len(states)-1), follow())
}

// oldPrimary finds who is to be replaced: the primary of t.State, or else the
// one that its replicas follow. Both come from the servers, never from the file.
func oldPrimary(ctx context.Context, k *mysql.Cluster, t drills.Target) (*mysql.Node, error) {
	if ps := t.State.With(topology.Primary); len(ps) == 1 {
		return k.Node(ps[0]), nil
	}
	votes := map[string]int{}
	for _, m := range t.State.Members {
		if src := m.Facts["source_member"]; src != "" {
			votes[src]++
		}
	}
	if n := mostVoted(votes); n != "" {
		return k.Node(n), nil
	}
	p := k.Look(ctx)
	for _, s := range p {
		if src := k.Source(p, s); src != nil {
			votes[src.Name()]++
		}
	}
	if n := mostVoted(votes); n != "" {
		return k.Node(n), nil
	}
	return nil, fmt.Errorf("component %s: no member takes writes and none follows another: who was the primary cannot be told: %s",
		t.Component.Name(), problems(t.State))
}

// waited tells whether the primary's commits waited for a replica.
func waited(st topology.State) bool {
	return slices.ContainsFunc(st.Members, func(m topology.MemberState) bool {
		return m.Role == topology.Primary && m.Facts["semi_sync_source"] == "ON"
	})
}

func mostVoted(votes map[string]int) string {
	best := ""
	for name, n := range votes {
		if n > votes[best] || n == votes[best] && name < best {
			best = name
		}
	}
	return best
}

func problems(st topology.State) string {
	var all []string
	for _, m := range st.Members {
		all = append(all, strings.TrimSuffix(fmt.Sprintf("%s is %s: %s", m.Member, m.Role, m.Problem), ": "))
	}
	return strings.Join(all, "; ")
}

// promoted is the node that took over already.
func promoted(k *mysql.Cluster, p mysql.Picture) *mysql.Node {
	if open := k.Writable(p); len(open) == 1 {
		return open[0].Node
	}
	return nil
}

// step intends a step, does it and records how it ended.
func (f *failover) step(name, member string, do func() (string, error)) error {
	if err := f.log.Intend(name, nil); err != nil {
		return fmt.Errorf("journal step %s: %w", name, err)
	}
	detail, err := do()
	s := topology.Step{Name: name, Member: member, Detail: detail}
	if err != nil {
		s.Err = err.Error()
	}
	f.log.Step(s)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (f *failover) drainTimeout() time.Duration { return f.spec.DrainTimeout.Std() }
