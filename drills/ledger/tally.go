package ledger

import (
	"cmp"
	"slices"
)

// tally counts the ids of a class and joins them to ranges. Ids of one writer
// come in rising order mostly; what does not join is sorted in the end.
type tally struct {
	limit  int
	count  uint64
	open   []Range // by writer; From 0 and To 0: none
	active []bool  // by writer
	closed []Range
	more   uint64
}

func (t *tally) add(id ID) {
	t.count++
	for int(id.Writer) >= len(t.open) {
		t.open = append(t.open, Range{})
		t.active = append(t.active, false)
	}
	r := &t.open[id.Writer]
	if t.active[id.Writer] && r.To+1 == id.Seq {
		r.To = id.Seq
		return
	}
	t.close(id.Writer)
	*r, t.active[id.Writer] = Range{Writer: id.Writer, From: id.Seq, To: id.Seq}, true
}

func (t *tally) close(writer uint16) {
	if !t.active[writer] {
		return
	}
	t.active[writer] = false
	if r := t.open[writer]; len(t.closed) < t.limit {
		t.closed = append(t.closed, r)
	} else {
		t.more += r.Len()
	}
}

// class returns the result; known tells whether it could be determined.
func (t *tally) class(known bool) Class {
	if !known {
		return Class{}
	}
	for w := range t.open {
		t.close(uint16(w))
	}
	slices.SortFunc(t.closed, func(a, b Range) int {
		return cmp.Or(cmp.Compare(a.Writer, b.Writer), cmp.Compare(a.From, b.From))
	})
	var joined []Range
	for _, r := range t.closed {
		if n := len(joined); n > 0 && joined[n-1].Writer == r.Writer && joined[n-1].To+1 == r.From {
			joined[n-1].To = r.To
			continue
		}
		joined = append(joined, r)
	}
	return Class{known: true, count: t.count, ranges: joined, more: t.more}
}
