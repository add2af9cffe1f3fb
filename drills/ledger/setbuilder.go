package ledger

import "slices"

// setBuilder makes a set from stretches in rising order.
type setBuilder struct {
	set  set
	base uint64
	runs []run   // of the block being filled, unless it is full of bits
	bits *bitmap // of the block being filled, or nil
}

// add adds from..to, both included; from is greater than all that is in. The
// caller joins what touches, or the set is as right and larger.
func (b *setBuilder) add(from, to uint64) {
	for {
		base := from &^ (blockLen - 1)
		if base != b.base {
			b.flush()
			b.base = base
		}
		last := min(to, base+blockLen-1)
		b.addRun(run{uint16(from - base), uint16(last - base)})
		if last == to {
			return
		}
		from = last + 1
	}
}

func (b *setBuilder) addRun(r run) {
	if b.bits != nil {
		b.bits.add(r)
		return
	}
	b.runs = append(b.runs, r)
	if len(b.runs) > maxRuns {
		b.bits = new(bitmap)
		for _, r := range b.runs {
			b.bits.add(r)
		}
		b.runs = b.runs[:0]
	}
}

// addBits adds a whole block; base is greater than that of the block being filled.
func (b *setBuilder) addBits(base uint64, m *bitmap) {
	b.flush()
	b.base, b.bits = base, m
	b.flush()
}

func (b *setBuilder) flush() {
	if b.bits != nil || len(b.runs) > 0 {
		b.set.blocks = append(b.set.blocks, block{base: b.base, runs: slices.Clone(b.runs), bits: b.bits})
	}
	b.runs, b.bits = b.runs[:0], nil
}

func (b *setBuilder) done() *set {
	b.flush()
	b.runs = nil
	s := b.set
	s.blocks = slices.Clip(s.blocks)
	return &s
}
