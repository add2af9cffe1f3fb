package ledger

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"

	"firedrill/drills/timeline"
)

// reign is when a member is proven to have been primary at least: from the first
// end of an acknowledgement of its to the last start of one.
type reign struct {
	member string
	first  timeline.Offset
	last   timeline.Offset
}

// reigns collects the members' reigns.
type reigns struct {
	by      map[string]*reign
	unnamed uint64 // acknowledgements of nobody knows whom
	latest  *reign
}

func newReigns() *reigns { return &reigns{by: map[string]*reign{}} }

func (r *reigns) acknowledged(e *Entry) {
	if e.Member == "" {
		r.unnamed++
		return
	}
	if r.latest == nil || r.latest.member != e.Member {
		if r.by[e.Member] == nil {
			r.by[e.Member] = &reign{member: e.Member, first: math.MaxInt64, last: math.MinInt64}
		}
		r.latest = r.by[e.Member]
	}
	r.latest.first = min(r.latest.first, e.End)
	r.latest.last = max(r.latest.last, e.Start)
}

// ordered returns the reigns by their begin.
func (r *reigns) ordered() []*reign {
	return slices.SortedFunc(maps.Values(r.by), func(a, b *reign) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.member, b.member))
	})
}

// dualWrites finds the acknowledgements that two primaries gave. After a clean
// failover no two reigns overlap, and the entries are not read a second time.
func (a *audit) dualWrites(entries iter.Seq2[Entry, error]) error {
	order := a.reigns.ordered()
	overlap := false
	for i, p := range order {
		for _, s := range order[i+1:] {
			overlap = overlap || p.last > s.first
		}
	}
	if !overlap {
		return nil
	}
	windows := map[[2]int]*DualWindow{}
	err := eachEntry(entries, func(e *Entry) error {
		if e.Outcome == Acknowledged && e.Member != "" {
			a.dualWrite(e, order, windows)
		}
		return nil
	})
	for i := range order {
		for j := range order {
			if w := windows[[2]int{i, j}]; w != nil {
				a.out.Windows = append(a.out.Windows, *w)
			}
		}
	}
	return err
}

// dualWrite looks for a later primary that was primary when e was acknowledged.
func (a *audit) dualWrite(e *Entry, order []*reign, windows map[[2]int]*DualWindow) {
	i := slices.IndexFunc(order, func(r *reign) bool { return r.member == e.Member })
	found := false
	for j := i + 1; j < len(order); j++ {
		s := order[j]
		if e.Start <= s.first || e.End >= s.last {
			continue
		}
		found = true
		w := windows[[2]int{i, j}]
		if w == nil {
			w = &DualWindow{
				Predecessor: e.Member, Successor: s.member,
				Window: timeline.Interval{Lo: s.first, Hi: e.Start},
			}
			windows[[2]int{i, j}] = w
		}
		w.Window.Hi = max(w.Window.Hi, e.Start)
		w.Writes++
	}
	if found {
		a.dual.add(e.ID)
	}
}
