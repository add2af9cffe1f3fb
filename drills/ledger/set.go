package ledger

import (
	"iter"
	"math/bits"
	"sort"
)

// set is a set of sequences of one writer, in blocks of 65536. A block is a list
// of runs, 4 bytes each, or, where those would need more, a bitmap of 8 KiB. So a
// dense set costs next to nothing (10⁹ sequences: 0.7 MB), 1 % scattered holes
// 40 MB, and the worst, every other one missing, 125 MB.
//
// Those are the containers of a roaring bitmap. The library is not used because
// sets are only ever built in order and read in order: that makes appending and
// looking up a few nanoseconds, where the library searches for each.
type set struct {
	blocks []block // by base
}

type block struct {
	base uint64 // its first sequence, a multiple of blockLen
	runs []run
	bits *bitmap // instead of runs
}

// run is a stretch within a block, both ends included.
type run struct{ from, to uint16 }

type bitmap [blockLen / 64]uint64

const (
	blockLen = 1 << 16
	maxRuns  = blockLen / 8 / 4 // as large as a bitmap
)

func (m *bitmap) has(i uint64) bool { return m[i/64]>>(i%64)&1 == 1 }

func (m *bitmap) add(r run) {
	from, to := uint(r.from), uint(r.to)
	for w := from / 64; w <= to/64; w++ {
		word := ^uint64(0)
		if w == from/64 {
			word <<= from % 64
		}
		if w == to/64 {
			word &= ^uint64(0) >> (63 - to%64)
		}
		m[w] |= word
	}
}

// span returns the stretch of equal bits that begins at from: its end and whether
// they are set.
func (m *bitmap) span(from int) (to int, in bool) {
	in = m.has(uint64(from))
	for i := from; i < blockLen; i = (i/64 + 1) * 64 {
		word := m[i/64]
		if in {
			word = ^word
		}
		if word >>= i % 64; word != 0 {
			return i + bits.TrailingZeros64(word) - 1, in
		}
	}
	return blockLen - 1, in
}

// each yields the block's runs as sequences.
func (k *block) each(yield func(from, to uint64) bool) bool {
	for _, r := range k.runs {
		if !yield(k.base+uint64(r.from), k.base+uint64(r.to)) {
			return false
		}
	}
	for i := 0; k.bits != nil && i < blockLen; {
		to, in := k.bits.span(i)
		if in && !yield(k.base+uint64(i), k.base+uint64(to)) {
			return false
		}
		i = to + 1
	}
	return true
}

// stretches yields the set's stretches from the given sequence on, in order and
// as long as they go.
func (s *set) stretches(after uint64) iter.Seq2[uint64, uint64] {
	return func(yield func(from, to uint64) bool) {
		var from, to uint64
		open := false
		first := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].base+(blockLen-1) >= after })
		for i := first; i < len(s.blocks); i++ {
			ok := s.blocks[i].each(func(f, t uint64) bool {
				if t < after {
					return true
				}
				f = max(f, after)
				if open && f == to+1 {
					to = t
					return true
				}
				keepOn := !open || yield(from, to)
				from, to, open = f, t, true
				return keepOn
			})
			if !ok {
				return
			}
		}
		if open {
			yield(from, to)
		}
	}
}

// count returns how many sequences are in the set.
func (s *set) count() uint64 {
	var n uint64
	for i := range s.blocks {
		k := &s.blocks[i]
		for _, r := range k.runs {
			n += uint64(r.to-r.from) + 1
		}
		for j := 0; k.bits != nil && j < len(k.bits); j++ {
			n += uint64(bits.OnesCount64(k.bits[j]))
		}
	}
	return n
}
