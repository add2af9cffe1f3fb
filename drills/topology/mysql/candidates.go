package mysql

import (
	"slices"
	"strings"

	"firedrill/drills/topology"
	"firedrill/drills/topology/mysql/gtid"
)

// candidates turns a picture into what Decide needs; keep is the state before.
func (k *Cluster) candidates(p Picture, keep topology.State) []Candidate {
	was, out := keep.With(topology.Primary), keep.With(topology.Detached)
	var old gtid.History
	for _, s := range p.Up() {
		if slices.Contains(was, s.Name()) {
			old = s.State.Executed
		}
	}
	var cs []Candidate
	for _, s := range p.Up() {
		c := Candidate{
			Name: s.Name(), Known: s.State.Known(), Open: k.TakesWrites(p, s),
			Was: slices.Contains(was, s.Name()), Own: k.Source(p, s) == nil && s.State.wroteBeyond(old) && !slices.Contains(out, s.Name()),
		}
		for _, o := range p.Up() {
			if k.Source(p, o) == s.Node {
				c.Followers++
			}
		}
		cs = append(cs, c)
	}
	return cs
}

// wroteBeyond tells whether a server wrote transactions itself that a history
// (nil: nothing) does not have.
func (s State) wroteBeyond(h gtid.History) bool {
	switch own := s.Executed.(type) {
	case gtid.Positions:
		var theirs gtid.Positions
		if h != nil {
			theirs = h.(gtid.Positions)
		}
		return own.Wrote(s.ServerID) > theirs.Wrote(s.ServerID)
	case gtid.Set:
		var theirs gtid.Set
		if h != nil {
			theirs = h.(gtid.Set)
		}
		return slices.Contains(own.Minus(theirs).Origins(), strings.ToLower(s.UUID))
	}
	return false
}
