package mysql

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Seen is a node as it said it was; Err is set when it did not.
type Seen struct {
	*Node
	State State
	Err   error
}

// Up tells whether the node answered.
func (s Seen) Up() bool { return s.Err == nil }

// Picture is several nodes at about the same moment.
type Picture []Seen

// Look asks nodes (all if none is given) in parallel.
func (k *Cluster) Look(ctx context.Context, nodes ...*Node) Picture {
	if len(nodes) == 0 {
		nodes = k.Nodes
	}
	p := make(Picture, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askWithin)
			defer cancel()
			p[i].Node = n
			p[i].State, p[i].Err = n.Server.State(ctx)
		})
	}
	wg.Wait()
	return p
}

// Source finds the member that s is configured to follow, by address or by the
// identity that it found there; nil if it follows none of the members.
func (k *Cluster) Source(p Picture, s Seen) *Node {
	if !s.Up() || s.State.Link == nil {
		return nil
	}
	l := s.State.Link
	for _, n := range k.Nodes {
		if n != s.Node && (l.Source == n.Replication || l.Source == n.Member.Address()) {
			return n
		}
	}
	for _, o := range p {
		if o.Node == s.Node || !o.Up() {
			continue
		}
		if l.SourceUUID != "" && l.SourceUUID == o.State.UUID || l.SourceUUID == "" && l.SourceID != 0 && l.SourceID == o.State.ServerID {
			return o.Node
		}
	}
	return nil
}

// Of returns what p has of a node.
func (p Picture) Of(n *Node) Seen {
	for _, s := range p {
		if s.Node == n {
			return s
		}
	}
	return Seen{Node: n, Err: fmt.Errorf("member %s was not asked", n.Name())}
}

// Up are the nodes that answered.
func (p Picture) Up() Picture {
	return slices.DeleteFunc(slices.Clone(p), func(s Seen) bool { return !s.Up() })
}

// TakesWrites tells whether a node is open to writes as a primary is: not
// read-only, and not replicating from another member.
func (k *Cluster) TakesWrites(p Picture, s Seen) bool {
	return s.Up() && !s.State.ReadOnly && !(s.State.Link.Running() && k.Source(p, s) != nil)
}

// Writable are the nodes that take writes.
func (k *Cluster) Writable(p Picture) Picture {
	return slices.DeleteFunc(slices.Clone(p), func(s Seen) bool { return !k.TakesWrites(p, s) })
}
