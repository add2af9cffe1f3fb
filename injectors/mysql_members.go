package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql"
)

// mysqlUndo is what a fault in a mysql component is undone with: addresses and
// references to credentials, and how the targets were.
type mysqlUndo struct {
	Component topology.ComponentSpec `json:"component"`
	// Sources are the targets and whom they followed (host:port), "" for nobody.
	Sources map[string]string `json:"sources"`
}

// mysqlBefore looks at the targets before the fault and writes the undo down.
// fit says why a target cannot have it.
func mysqlBefore(ctx context.Context, t drills.Target, says string, fit func(mysql.Seen) error) (drills.Undo, error) {
	k, err := mysql.OpenCluster(t.Component)
	if err != nil {
		return drills.Undo{}, err
	}
	defer k.Close()
	m := mysqlUndo{Component: t.Component.Spec, Sources: map[string]string{}}
	m.Component.Members = slices.Clone(m.Component.Members)
	for i := range m.Component.Members {
		m.Component.Members[i].Control = nil // not needed to undo
	}
	var nodes []*mysql.Node
	for _, tm := range t.Members {
		nodes = append(nodes, k.Node(tm.Name()))
	}
	for _, s := range k.Look(ctx, nodes...) {
		if !s.Up() {
			return drills.Undo{}, fmt.Errorf("member %s: %s", s.Name(), mysql.Problem(k.Config, s.Server.Address(), s.Err))
		}
		if err := fit(s); err != nil {
			return drills.Undo{}, fmt.Errorf("member %s: %w", s.Name(), err)
		}
		m.Sources[s.Name()] = ""
		if s.State.Link != nil {
			m.Sources[s.Name()] = s.State.Link.Source
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return drills.Undo{}, fmt.Errorf("write undo: %w", err)
	}
	return drills.Undo{Says: fmt.Sprintf(says, strings.Join(names(nodes), ", ")), Data: data}, nil
}

func names(nodes []*mysql.Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name())
	}
	return out
}

// open makes connections from undo instructions, in any process. Close it.
func (m *mysqlUndo) open(u drills.Undo) (*mysql.Cluster, []*mysql.Node, error) {
	if err := json.Unmarshal(u.Data, m); err != nil {
		return nil, nil, fmt.Errorf("read undo: %w", err)
	}
	kinds := topology.Kinds{Components: kind.Of("component", mysql.Kind())}
	c, err := kinds.OpenComponent(m.Component, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("read undo: %w", err)
	}
	k, err := mysql.OpenCluster(c)
	if err != nil {
		return nil, nil, err
	}
	var nodes []*mysql.Node
	for name := range m.Sources {
		n := k.Node(name)
		if n == nil {
			k.Close()
			return nil, nil, fmt.Errorf("read undo: component %s has no member %s", c.Name(), name)
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b *mysql.Node) int { return strings.Compare(a.Name(), b.Name()) })
	return k, nodes, nil
}

// mysqlClaim marks the sessions that make a fault. A server may still work on the
// statement of an Inject that was cut short, or wait for a lock with it: a Revert
// that went by the variables alone would be overtaken by it.
const mysqlClaim = "firedrill fault"

// onTargets does the same to all targets at once.
func onTargets(t drills.Target, do func(*mysql.Cluster, *mysql.Node) error) error {
	k, err := mysql.OpenCluster(t.Component)
	if err != nil {
		return err
	}
	defer k.Close()
	var nodes []*mysql.Node
	for _, m := range t.Members {
		nodes = append(nodes, k.Node(m.Name()))
	}
	return together(mysql.Parallel(nodes, func(n *mysql.Node) error { return do(k, n) }))
}

// together joins errors by member. Members for whom the fault is gone do not
// count while it is undone for others; if it is gone for all, so it is as a whole.
func together(errs map[string]error) error {
	var all []error
	for name, err := range errs {
		all = append(all, fmt.Errorf("member %s: %w", name, err))
	}
	slices.SortFunc(all, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(all...)
}

// revertEach reverts the fault on each target; nil only if none failed, ErrGone
// if it was gone for all of them.
func revertEach(nodes []*mysql.Node, do func(*mysql.Node) error) error {
	errs := mysql.Parallel(nodes, do)
	gone := map[string]error{}
	for name, err := range errs {
		if errors.Is(err, drills.ErrGone) {
			gone[name] = err
			delete(errs, name)
		}
	}
	if len(errs) == 0 && len(gone) == len(nodes) {
		return together(gone)
	}
	return together(errs)
}
