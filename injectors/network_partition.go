package injectors

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/host"
)

// NetworkPartitionSpec cuts members off by nftables rules in a table of the
// fault's own. Connections over Unix sockets, and those of a member to itself, are
// not touched.
type NetworkPartitionSpec struct {
	// From says from whom: "peers", the other members or those that the fault names
	// as its peer, or "everybody", clients and the runner included.
	From string `json:"from,omitempty" jsonschema:"enum=peers,enum=everybody"`
	// Direction says which packets are lost: those that the members send ("out"),
	// those that they are sent ("in"), or both.
	Direction string `json:"direction,omitempty" jsonschema:"enum=both,enum=in,enum=out"`
	// Mode says how: "drop" leaves the other side waiting, "reject" tells it.
	Mode string `json:"mode,omitempty" jsonschema:"enum=drop,enum=reject"`
	// By says how packets of members are told from others: "user", by the user that
	// their processes run as, for members on one host; "address", for members that
	// have a host or a namespace of their own, or that bind the source of their
	// connections to a loopback address of their own. "auto" is user where members
	// name one and rules are made on the runner's own host.
	By string `json:"by,omitempty" jsonschema:"enum=auto,enum=user,enum=address"`
	// Host is where the rules are made: that of the member; "{member}" and "{host}"
	// in its ssh stand for the member's name and its address without the port. The
	// SSH connection itself is spared.
	Host host.Spec `json:"host,omitzero"`
	// Namespace is the path of the member's network namespace there
	// ("/run/netns/{member}"), if it is not that of the host.
	Namespace string `json:"namespace,omitempty"`
}

var networkPartitionDefaults = NetworkPartitionSpec{From: "peers", Direction: "both", Mode: "drop", By: "auto"}

type networkPartition struct{ spec NetworkPartitionSpec }

func newNetworkPartition(s NetworkPartitionSpec) (drills.Injector, error) {
	for _, c := range []struct{ field, is, want string }{
		{"from", s.From, "peers everybody"},
		{"direction", s.Direction, "both in out"},
		{"mode", s.Mode, "drop reject"},
		{"by", s.By, "auto user address"},
	} {
		if !strings.Contains(" "+c.want+" ", " "+c.is+" ") || c.is == "" {
			return nil, fmt.Errorf("%s: %q: want one of %s", c.field, c.is, c.want)
		}
	}
	if _, err := s.Host.For("member", "127.0.0.1:1").Open(); err != nil {
		return nil, err
	}
	if s.By == "user" && (!s.Host.Local() || s.Namespace != "") {
		return nil, errors.New("by: user is for members on the runner's own host and network: leave out host and namespace")
	}
	return &networkPartition{spec: s}, nil
}

// partitionUndo is all that is needed to remove the rules, and what is needed to
// see them act.
type partitionUndo struct {
	Table  string  `json:"table"`
	Places []place `json:"places"`
	// Paths are the connections that came about before the fault.
	Paths []path `json:"paths"`
}

// Prepare checks with nft, without making anything, that the rules can be made,
// and tries the connections that the fault will cut.
func (f *networkPartition) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	id := make([]byte, 4)
	rand.Read(id) // never fails
	u := partitionUndo{Table: "firedrill_" + hex.EncodeToString(id)}
	scripts, err := f.scripts(ctx, t, u.Table)
	if err != nil {
		return drills.Undo{}, err
	}
	var names []string
	for _, s := range scripts {
		if err := s.place.nft(ctx, s.text, "--check", "-f", "-"); err != nil {
			return drills.Undo{}, fmt.Errorf("check rules: %w", err)
		}
		u.Places = append(u.Places, s.place)
		names = append(names, s.place.name())
	}
	paths, err := f.paths(t)
	if err != nil {
		return drills.Undo{}, err
	}
	u.Paths = open(ctx, paths)
	b, err := json.Marshal(u)
	if err != nil {
		return drills.Undo{}, fmt.Errorf("write undo: %w", err)
	}
	says := fmt.Sprintf("delete nftables table inet %s on %s", u.Table, strings.Join(names, ", "))
	return drills.Undo{Says: says, Data: b}, ctx.Err()
}

// Inject makes the rules, all of one host at one stroke. nft is not interrupted:
// it takes milliseconds, and on another host it might go on after all.
func (f *networkPartition) Inject(ctx context.Context, t drills.Target, undo drills.Undo) error {
	u, err := readPartition(undo)
	if err != nil {
		return err
	}
	scripts, err := f.scripts(ctx, t, u.Table)
	if err != nil {
		return err
	}
	for _, s := range scripts {
		if !slices.Contains(u.Places, s.place) {
			return fmt.Errorf("make rules on %s: the undo does not cover it", s.place.name())
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.place.apply(ctx, s.text); err != nil {
			return fmt.Errorf("make rules: %w", err)
		}
	}
	return nil
}

// Revert deletes the table everywhere and reads back that it is gone. A namespace
// that is no more took the rules with it.
func (f *networkPartition) Revert(ctx context.Context, undo drills.Undo) error {
	u, err := readPartition(undo)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range u.Places {
		errs = append(errs, p.remove(ctx, u.Table))
	}
	return errors.Join(errs...)
}

func readPartition(undo drills.Undo) (partitionUndo, error) {
	var u partitionUndo
	if err := json.Unmarshal(undo.Data, &u); err != nil {
		return u, fmt.Errorf("read undo: %w", err)
	}
	if !strings.HasPrefix(u.Table, "firedrill_") || strings.ContainsAny(u.Table, " ;{}\n\"") {
		return u, fmt.Errorf("read undo: table %q is none of this fault's", u.Table)
	}
	return u, nil
}

// script is the rules for one place.
type script struct {
	place place
	text  string
}

// scripts writes the rules, one script per place.
func (f *networkPartition) scripts(ctx context.Context, t drills.Target, table string) ([]script, error) {
	var out []script
	for i, m := range t.Members {
		c, err := f.cut(ctx, t, m)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(out, func(s script) bool { return s.place == f.place(m) })
		if at < 0 {
			at = len(out)
			out = append(out, script{place: f.place(m), text: begin(table)})
		}
		out[at].text += c.rules(table, i)
	}
	return out, nil
}

func (f *networkPartition) place(m *topology.Member) place {
	return place{
		Host:      f.spec.Host.For(m.Name(), m.Address()),
		Namespace: host.Expand([]string{f.spec.Namespace}, m.Name(), m.Address())[0],
	}
}

// byUser tells whether packets are told apart by user.
func (f *networkPartition) byUser(m *topology.Member) bool {
	if f.spec.By == "auto" {
		return m.Spec.User != "" && f.spec.Host.Local() && f.spec.Namespace == ""
	}
	return f.spec.By == "user"
}
