package ledger

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"firedrill/drills/timeline"
)

// When a member is read back.
const (
	// Recovered: the service was stable again.
	Recovered = "recovered"
	// Rejoined: the failed members were back.
	Rejoined = "rejoined"
)

// ErrUnordered is returned by Collect for ids that do not come by writer and
// sequence.
var ErrUnordered = errors.New("ids are not ordered by writer and sequence")

// ReadBack is what was read from one member at one time. It takes at most one
// bit for each sequence up to the highest, next to nothing where they are dense,
// and 16 bytes for each duplicated id.
type ReadBack struct {
	Member string
	// When is Recovered or Rejoined.
	When string
	// Primary tells whether the member was the primary then.
	Primary bool
	// From is when the reading began, 0 if nothing was written any more: what was
	// acknowledged at or after From is not expected to be there.
	From timeline.Offset
	// Rows is the number of rows read, duplicates included.
	Rows uint64

	writers map[uint16]*presence
}

// presence is what was read of one writer.
type presence struct {
	set  *set
	dups []Dup
}

// Dup is an id that is there Copies times, at least 2.
type Dup struct {
	Seq    uint64
	Copies uint64
}

// Collect reads ids ordered by writer and sequence; an id that is there twice
// comes twice. The first error that ids yields is returned, and a reading that
// failed is no evidence. The caller sets Member, When, Primary and From.
func Collect(ids iter.Seq2[ID, error]) (ReadBack, error) {
	c := newCollector()
	for id, err := range ids {
		if err != nil {
			return ReadBack{}, fmt.Errorf("collect ids after %d rows: %w", c.rows, err)
		}
		if err := c.add(id); err != nil {
			return ReadBack{}, fmt.Errorf("collect ids after %d rows: %w", c.rows, err)
		}
	}
	c.turn()
	return ReadBack{Rows: c.rows, writers: c.writers}, nil
}

// Writers returns the writers of which something was read, rising.
func (r ReadBack) Writers() []uint16 { return slices.Sorted(maps.Keys(r.writers)) }

// Ranges yields what is there of one writer as maximal ranges, rising.
func (r ReadBack) Ranges(writer uint16) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		s := r.setOf(writer)
		if s == nil {
			return
		}
		for from, to := range s.stretches(0) {
			if !yield(Range{Writer: writer, From: from, To: to}) {
				return
			}
		}
	}
}

// Dups returns the duplicated ids of one writer, rising.
func (r ReadBack) Dups(writer uint16) []Dup {
	if p := r.writers[writer]; p != nil {
		return p.dups
	}
	return nil
}

// setOf returns what is there of one writer, nil for nothing.
func (r ReadBack) setOf(writer uint16) *set {
	if p := r.writers[writer]; p != nil {
		return p.set
	}
	return nil
}

// collector builds the writers of a ReadBack; it joins ids to stretches first.
type collector struct {
	writers  map[uint16]*presence
	builder  setBuilder
	dups     []Dup
	rows     uint64
	writer   uint16
	from, to uint64
	open     bool // from..to is not in the builder yet
}

func newCollector() *collector { return &collector{writers: map[uint16]*presence{}} }

func (c *collector) add(id ID) error {
	switch {
	case c.open && id.Writer == c.writer && id.Seq == c.to+1 && id.Seq != 0:
		c.to = id.Seq
	case c.open && id.Writer == c.writer && id.Seq == c.to:
		c.repeat(id.Seq)
	case c.open && (id.Writer < c.writer || id.Writer == c.writer && id.Seq < c.to):
		return fmt.Errorf("%v comes after %v: %w", id, ID{c.writer, c.to}, ErrUnordered)
	case c.open && id.Writer == c.writer:
		c.builder.add(c.from, c.to)
		c.from, c.to = id.Seq, id.Seq
	default:
		c.turn()
		c.writer, c.from, c.to, c.open = id.Writer, id.Seq, id.Seq, true
	}
	c.rows++
	return nil
}

func (c *collector) repeat(seq uint64) {
	if n := len(c.dups); n > 0 && c.dups[n-1].Seq == seq {
		c.dups[n-1].Copies++
		return
	}
	c.dups = append(c.dups, Dup{Seq: seq, Copies: 2})
}

// turn closes the writer under way.
func (c *collector) turn() {
	if !c.open {
		return
	}
	c.builder.add(c.from, c.to)
	c.writers[c.writer] = &presence{set: c.builder.done(), dups: c.dups}
	c.builder, c.dups, c.open = setBuilder{}, nil, false
}
