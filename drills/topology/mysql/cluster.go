package mysql

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"firedrill/drills/topology"
)

// askWithin bounds how long one member may take to say who it is.
const askWithin = 1500 * time.Millisecond

// Cluster is a component with a Server for each member.
type Cluster struct {
	Component *topology.Component
	Config    Config
	Nodes     []*Node
}

// Node is one member.
type Node struct {
	Member *topology.Member
	Server *Server
	// Replication is host:port as the other members reach it.
	Replication string
}

// Name returns the member's name.
func (n *Node) Name() string { return n.Member.Name() }

// OpenCluster makes a Server for each member; it contacts nothing. Close it.
func OpenCluster(c *topology.Component) (*Cluster, error) {
	cfg, err := ConfigOf(c)
	if err != nil {
		return nil, err
	}
	if _, err := cfg.Password.Resolve(); err != nil {
		return nil, fmt.Errorf("component %s: with.password: %w", c.Name(), err)
	}
	k := &Cluster{Component: c, Config: cfg}
	for _, m := range c.Members {
		s, err := Open(cfg, m.Address())
		if err != nil {
			k.Close()
			return nil, fmt.Errorf("component %s: member %s: %w", c.Name(), m.Name(), err)
		}
		at := m.Address()
		if a, ok := cfg.Replication.Addresses[m.Name()]; ok {
			at = a
		}
		k.Nodes = append(k.Nodes, &Node{Member: m, Server: s, Replication: at})
	}
	return k, nil
}

// Close closes all connections.
func (k *Cluster) Close() {
	for _, n := range k.Nodes {
		n.Server.Close()
	}
}

// Node finds a member by name; nil if there is none.
func (k *Cluster) Node(name string) *Node {
	for _, n := range k.Nodes {
		if n.Name() == name {
			return n
		}
	}
	return nil
}

// Others are all nodes but the given ones.
func (k *Cluster) Others(but ...*Node) []*Node {
	return slices.DeleteFunc(slices.Clone(k.Nodes), func(n *Node) bool { return slices.Contains(but, n) })
}

// Parallel does the same to several nodes at once and returns the errors by name.
func Parallel[T interface{ Name() string }](on []T, do func(T) error) map[string]error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := map[string]error{}
	for _, n := range on {
		wg.Go(func() {
			if err := do(n); err != nil {
				mu.Lock()
				errs[n.Name()] = err
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}
