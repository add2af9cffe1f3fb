package ledger

import "sort"

// cursor looks up sequences of a set, cheapest in rising order. It remembers the
// stretch around the last one: all of from..to are in the set, or none is.
type cursor struct {
	set      *set
	block    int
	run      int
	from, to uint64
	in       bool
}

func newCursor(s *set) cursor { return cursor{set: s, from: 1} } // an empty stretch

func (c *cursor) has(seq uint64) bool {
	if seq >= c.from && seq <= c.to {
		return c.in
	}
	return c.seek(seq)
}

// seek finds the stretch around seq.
func (c *cursor) seek(seq uint64) bool {
	if c.set == nil {
		c.from, c.to, c.in = 0, ^uint64(0), false
		return false
	}
	base := seq &^ (blockLen - 1)
	c.from, c.to, c.in = base, base+blockLen-1, false
	k := c.blockAt(base)
	switch {
	case k == nil:
	case k.bits != nil:
		c.from, c.to, c.in = seq, seq, k.bits.has(seq-base)
	default:
		c.seekRun(k, uint16(seq-base))
	}
	return c.in
}

// blockAt returns the block with that base, nil if the set has none.
func (c *cursor) blockAt(base uint64) *block {
	all := c.set.blocks
	if c.block < len(all) && all[c.block].base == base {
		return &all[c.block]
	}
	if c.block+1 < len(all) && all[c.block+1].base == base {
		c.block, c.run = c.block+1, 0
		return &all[c.block]
	}
	i := sort.Search(len(all), func(i int) bool { return all[i].base >= base })
	if i == len(all) || all[i].base != base {
		return nil
	}
	c.block, c.run = i, 0
	return &all[i]
}

// seekRun sets the stretch to the run around i, or to the hole.
func (c *cursor) seekRun(k *block, i uint16) {
	if c.run >= len(k.runs) || (c.run > 0 && k.runs[c.run-1].to >= i) {
		c.run = 0
	}
	for c.run < len(k.runs) && k.runs[c.run].to < i {
		c.run++
	}
	if c.run > 0 {
		c.from = k.base + uint64(k.runs[c.run-1].to) + 1
	}
	if c.run == len(k.runs) {
		return
	}
	if r := k.runs[c.run]; r.from <= i {
		c.from, c.to, c.in = k.base+uint64(r.from), k.base+uint64(r.to), true
	} else {
		c.to = k.base + uint64(r.from) - 1
	}
}
