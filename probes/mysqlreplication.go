package probes

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// MySQLReplicationSpec is what a mysql-replication probe allows.
type MySQLReplicationSpec struct {
	// MaxLag is how far a replica may be behind, in the server's own estimate,
	// which counts whole seconds.
	MaxLag spec.Duration `json:"maxLag,omitempty"`
}

// mysqlReplication asks the servers themselves how replication stands. Its
// answers are the servers' own: evidence of lag, never of data loss.
type mysqlReplication struct{ maxLag time.Duration }

func newMySQLReplication(s MySQLReplicationSpec) (drills.ProbeKind, error) {
	return &mysqlReplication{maxLag: s.MaxLag.Std()}, nil
}

// Clients returns pooled: it looks as the monitoring does, not as a client.
func (*mysqlReplication) Clients() []drills.Client { return []drills.Client{drills.Pooled} }

// Open makes the probe for one member, or for all members of the component. It
// contacts nothing.
func (k *mysqlReplication) Open(_ context.Context, s drills.Subject) (drills.Probe, error) {
	if err := supports(k.Clients(), s.Client); err != nil {
		return nil, fmt.Errorf("open mysql-replication probe: %w", err)
	}
	cfg, err := mysql.ConfigOf(s.Component)
	if err != nil {
		return nil, fmt.Errorf("open mysql-replication probe: target: %w", err)
	}
	p := &replicationProbe{kind: k, judge: func(string) bool { return true }}
	if s.Member != nil {
		p.judge = func(name string) bool { return name == s.Member.Name() }
	}
	for _, m := range s.Component.Members {
		server, err := mysql.Open(cfg, m.Address())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open mysql-replication probe: %w", err), p.Close())
		}
		p.servers = append(p.servers, member{m, server})
	}
	return p, nil
}

type member struct {
	*topology.Member
	server *mysql.Server
}

// replicationProbe asks all members each time, also when it judges just one: the
// primary is needed to compare with.
type replicationProbe struct {
	kind    *mysqlReplication
	servers []member
	judge   func(member string) bool
}

// Close closes the connections.
func (p *replicationProbe) Close() error {
	var errs []error
	for _, m := range p.servers {
		errs = append(errs, m.server.Close())
	}
	return errors.Join(errs...)
}

// seen is what one member said.
type seen struct {
	name  string
	state mysql.State
	err   error
}

// Observe reports the worst of the members that it judges.
func (p *replicationProbe) Observe(ctx context.Context) drills.Observation {
	all := make([]seen, len(p.servers))
	var wg sync.WaitGroup
	for i, m := range p.servers {
		wg.Go(func() {
			all[i].name = m.Name()
			all[i].state, all[i].err = stateOf(ctx, m.server)
		})
	}
	wg.Wait()
	primary := slices.IndexFunc(all, func(s seen) bool { return s.err == nil && s.state.Link == nil && !s.state.ReadOnly })
	var looks []drills.Observation
	for i, s := range all {
		if !p.judge(s.name) {
			continue
		}
		at := len(looks)
		if i != primary {
			at = 0 // where all is well, a replica has more to tell
		}
		looks = slices.Insert(looks, at, p.kind.look(ctx, s, primary, all))
	}
	return worst(looks)
}

func stateOf(ctx context.Context, s *mysql.Server) (st mysql.State, err error) {
	defer survive(&err)
	return s.State(ctx)
}

// look judges one member.
func (k *mysqlReplication) look(ctx context.Context, s seen, primary int, all []seen) drills.Observation {
	o := drills.Observation{By: s.name}
	l := s.state.Link
	switch {
	case s.err != nil:
		o = mysqlFailed(ctx, s.err)
		o.By, o.Detail = s.name, s.name+": "+o.Detail
		return o
	case l == nil && !s.state.ReadOnly:
		o.Class, o.Detail = timeline.OK, s.name+" is the primary"
		return o
	case l == nil:
		o.Class, o.Detail = timeline.Error, s.name+" takes no writes and does not replicate"
		return o
	case !l.Whole():
		o.Class, o.Detail = timeline.Error, fmt.Sprintf("%s: replication is broken: receiver connected: %t, applier running: %t: %s",
			s.name, l.Connected, l.Applier, strings.TrimSpace(l.ReceiverError+" "+l.ApplierError))
		return o
	}
	o.Class, o.Detail = timeline.OK, s.name+": "+behind(s, primary, all)
	if l.Lag == nil || *l.Lag > k.maxLag {
		o.Class = timeline.Lagging
	}
	return o
}

// behind says how far a replica is behind: by its own estimate, and by what the
// primary has executed and it has not.
func behind(s seen, primary int, all []seen) string {
	lag := "does not know how far it is behind"
	if l := s.state.Link.Lag; l != nil {
		lag = fmt.Sprintf("%v behind", *l)
	}
	if primary < 0 {
		return lag + ", no primary to compare with"
	}
	p := all[primary]
	if p.state.Flavour != s.state.Flavour || p.state.Executed == nil || s.state.Executed == nil {
		return lag
	}
	return fmt.Sprintf("%s, lacks %d transactions of %s", lag, p.state.Executed.Subtract(s.state.Executed).Count, p.name)
}

// worst puts members that cannot be asked before those that do not replicate,
// these before those that lag, and all of them before good ones.
func worst(looks []drills.Observation) drills.Observation {
	return slices.MaxFunc(looks, func(a, b drills.Observation) int {
		return cmp.Compare(badness(a.Class), badness(b.Class))
	})
}

func badness(c timeline.Class) int {
	switch c {
	case timeline.NoData:
		return 0
	case timeline.OK:
		return 1
	case timeline.Lagging:
		return 2
	case timeline.Error:
		return 3
	}
	return 4
}
