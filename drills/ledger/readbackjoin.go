package ledger

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// lineReader puts lines together to readings.
type lineReader struct {
	rb       ReadBack
	builders map[uint16]*setBuilder
	ends     map[uint16]uint64
	open     bool
}

// add takes a line; it returns true when the reading is whole.
func (r *lineReader) add(l readBackLine) (bool, error) {
	if !r.open {
		r.rb = ReadBack{
			Member: l.Member, When: l.When, Primary: l.Primary, From: l.From, Rows: l.Rows,
			writers: map[uint16]*presence{},
		}
		r.builders, r.ends, r.open = map[uint16]*setBuilder{}, map[uint16]uint64{}, true
	}
	if l.Member != r.rb.Member || l.When != r.rb.When || l.Rows != r.rb.Rows {
		return false, fmt.Errorf("member %s, %s: the reading before it, of %s, is not whole", l.Member, l.When, r.rb.Member)
	}
	for id, w := range l.Writers {
		if w == nil {
			return false, fmt.Errorf("member %s, %s: writer %d is null", l.Member, l.When, id)
		}
		if err := r.writer(id, w); err != nil {
			return false, fmt.Errorf("member %s, %s: writer %d: %w", l.Member, l.When, id, err)
		}
	}
	if l.More {
		return false, nil
	}
	return true, r.finish()
}

// writer adds one line's part of a writer.
func (r *lineReader) writer(id uint16, w *writerLine) error {
	if r.builders[id] == nil {
		r.builders[id], r.rb.writers[id] = &setBuilder{}, &presence{}
	}
	if err := r.sets(id, w); err != nil {
		return err
	}
	for _, d := range w.Dups {
		if d[1] < 2 {
			return fmt.Errorf("duplicate %d: %d copies", d[0], d[1])
		}
		r.rb.writers[id].dups = append(r.rb.writers[id].dups, Dup{Seq: d[0], Copies: d[1]})
	}
	return nil
}

// sets adds ranges and bits in the order of their sequences.
func (r *lineReader) sets(id uint16, w *writerLine) error {
	bases := slices.Sorted(maps.Keys(w.Bits))
	for _, rg := range w.Ranges {
		for len(bases) > 0 && bases[0] < rg[0] {
			if err := r.bits(id, bases[0], w.Bits[bases[0]]); err != nil {
				return err
			}
			bases = bases[1:]
		}
		if err := r.put(id, rg[0], rg[1]); err != nil {
			return err
		}
		r.builders[id].add(rg[0], rg[1])
	}
	for _, base := range bases {
		if err := r.bits(id, base, w.Bits[base]); err != nil {
			return err
		}
	}
	return nil
}

// put checks that from..to comes after all that the writer has.
func (r *lineReader) put(id uint16, from, to uint64) error {
	end, any := r.ends[id]
	if to < from || any && from <= end {
		return fmt.Errorf("%d-%d: out of order", from, to)
	}
	r.ends[id] = to
	return nil
}

func (r *lineReader) bits(id uint16, base uint64, b []byte) error {
	if base%blockLen != 0 || len(b) != blockLen/8 {
		return fmt.Errorf("bits at %d: want %d bytes at a multiple of %d, got %d", base, blockLen/8, blockLen, len(b))
	}
	if err := r.put(id, base, base+blockLen-1); err != nil {
		return err
	}
	m := new(bitmap)
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	r.builders[id].addBits(base, m)
	return nil
}

// finish closes the reading and compares it with its number of rows.
func (r *lineReader) finish() error {
	r.open = false
	var rows uint64
	for id, b := range r.builders {
		p := r.rb.writers[id]
		p.set = b.done()
		rows += p.set.count()
		for _, d := range p.dups {
			rows += d.Copies - 1
		}
	}
	if rows != r.rb.Rows {
		return fmt.Errorf("member %s, %s: %d rows are listed, %d are claimed", r.rb.Member, r.rb.When, rows, r.rb.Rows)
	}
	return nil
}
