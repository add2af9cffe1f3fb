package ledger_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"firedrill/drills/ledger"
	"firedrill/drills/timeline"
)

// oracle accounts with maps alone, id by id, straight from the definitions.
type oracle struct {
	entries []ledger.Entry
	reads   []ledger.ReadBack
	copies  []map[ledger.ID]int
	last    map[uint16]uint64
	torn    bool
}

type ids map[ledger.ID]bool

func (o *oracle) primary(when string) int {
	return slices.IndexFunc(o.reads, func(r ledger.ReadBack) bool { return r.Primary && r.When == when })
}

func (o *oracle) has(read int, id ledger.ID) bool { return read >= 0 && o.copies[read][id] > 0 }

func (o *oracle) judged(read int, e ledger.Entry) bool {
	return read >= 0 && (o.reads[read].From == 0 || e.End < o.reads[read].From)
}

func (o *oracle) inFlight(id ledger.ID) bool {
	return o.torn && id.Seq == o.last[id.Writer]+1
}

// against is the reading that a rejoined member is compared with.
func (o *oracle) against() int {
	if p := o.primary(ledger.Rejoined); p >= 0 {
		return p
	}
	return o.primary(ledger.Recovered)
}

func (o *oracle) account() map[string]ids {
	out := map[string]ids{}
	for _, name := range []string{
		"lost", "indeterminate", "rejected-but-present", "duplicated", "phantom",
		"diverged", "resurrected", "vanished", "dual-write",
	} {
		out[name] = ids{}
	}
	first, second := o.primary(ledger.Recovered), o.primary(ledger.Rejoined)
	for i, r := range o.reads {
		if first >= 0 && second >= 0 && r.Primary && r.When == ledger.Recovered && r.Member == o.reads[second].Member {
			first = i
			break
		}
	}
	attempted := map[ledger.ID]ledger.Entry{}
	for _, e := range o.entries {
		attempted[e.ID] = e
		switch {
		case e.Outcome == ind:
			out["indeterminate"][e.ID] = true
		case e.Outcome == rej && (o.has(first, e.ID) || o.has(second, e.ID)):
			out["rejected-but-present"][e.ID] = true
		case e.Outcome == ack && o.judged(first, e) && !o.has(first, e.ID):
			out["lost"][e.ID] = true
			if o.has(second, e.ID) {
				out["resurrected"][e.ID] = true
			}
		case e.Outcome == ack && o.judged(first, e) && o.judged(second, e) && !o.has(second, e.ID):
			out["vanished"][e.ID] = true
		case e.Outcome == ack && first >= 0 && !o.judged(first, e) && o.judged(second, e) && !o.has(second, e.ID):
			out["lost"][e.ID] = true
		}
		if e.Outcome == ack && o.dual(e) {
			out["dual-write"][e.ID] = true
		}
	}
	for i, r := range o.reads {
		for id, n := range o.copies[i] {
			e, known := attempted[id]
			if (i == first || i == second) && n > 1 {
				out["duplicated"][id] = true
			}
			if (i == first || i == second) && !known && !o.inFlight(id) {
				out["phantom"][id] = true
			}
			ref := o.against()
			if r.When == ledger.Rejoined && ref >= 0 && !o.has(ref, id) && (!known || o.judged(ref, e)) {
				out["diverged"][id] = true
			}
		}
	}
	return out
}

// dual tells whether another member, whose first acknowledgement came later, has
// acknowledgements on both sides of e.
func (o *oracle) dual(e ledger.Entry) bool {
	begin := map[string]timeline.Offset{}
	for _, x := range o.entries {
		if b, ok := begin[x.Member]; x.Outcome == ack && (!ok || x.End < b) {
			begin[x.Member] = x.End
		}
	}
	for _, m := range slices.Collect(maps.Keys(begin)) {
		later := begin[m] > begin[e.Member] || begin[m] == begin[e.Member] && m > e.Member
		if !later || begin[m] >= e.Start {
			continue
		}
		for _, x := range o.entries {
			if x.Member == m && x.Outcome == ack && x.Start > e.End {
				return true
			}
		}
	}
	return false
}

// history makes a random one: up to three writers, three members, and readings
// that are mostly right.
func history(rnd *rand.Rand) *oracle {
	o := &oracle{last: map[uint16]uint64{}, torn: rnd.IntN(4) == 0}
	ends := map[uint16]timeline.Offset{}
	for range rnd.IntN(40) {
		w := uint16(rnd.IntN(3) + 1)
		o.last[w]++
		start := ends[w] + timeline.Offset(rnd.IntN(5))
		ends[w] = start + timeline.Offset(rnd.IntN(5))
		o.entries = append(o.entries, ledger.Entry{
			ID: ledger.ID{Writer: w, Seq: o.last[w]}, Outcome: []ledger.Outcome{ack, ack, ack, rej, ind}[rnd.IntN(5)],
			Start: start, End: ends[w], Member: []string{"a", "a", "b", "c"}[rnd.IntN(4)],
		})
	}
	for i := range rnd.IntN(5) {
		o.read(rnd, i)
	}
	return o
}

// read adds a reading.
func (o *oracle) read(rnd *rand.Rand, i int) {
	copies := map[ledger.ID]int{}
	var rows []ledger.ID
	add := func(id ledger.ID) {
		n := 1 + rnd.IntN(20)/19
		copies[id] += n
		for range n {
			rows = append(rows, id)
		}
	}
	for _, e := range o.entries {
		if rnd.IntN(5) > 0 {
			add(e.ID)
		}
	}
	for range rnd.IntN(3) {
		w := uint16(rnd.IntN(5))
		add(ledger.ID{Writer: w, Seq: []uint64{0, o.last[w] + 1, o.last[w] + 2}[rnd.IntN(3)]})
	}
	slices.SortFunc(rows, func(a, b ledger.ID) int {
		return cmp.Or(cmp.Compare(a.Writer, b.Writer), cmp.Compare(a.Seq, b.Seq))
	})
	rb, err := ledger.Collect(seq(rows, nil))
	if err != nil {
		panic(err)
	}
	rb.Member, rb.Primary = fmt.Sprint("db", rnd.IntN(3)), rnd.IntN(2) == 0
	rb.When = []string{ledger.Recovered, ledger.Rejoined}[rnd.IntN(2)]
	if rnd.IntN(3) == 0 {
		rb.From = timeline.Offset(1 + rnd.IntN(40))
	}
	o.reads, o.copies = append(o.reads, rb), append(o.copies, copies)
}

func TestAuditAgreesWithTheOracle(t *testing.T) {
	for round := range uint64(10_000) {
		o := history(rand.New(rand.NewPCG(round, 1)))
		var end error
		if o.torn {
			end = ledger.ErrTorn
		}
		a, err := ledger.Audit(again(o.entries, end), o.reads, ledger.Options{})
		require.NoError(t, err)
		got, unknown := known(a)
		for name, want := range o.account() {
			if slices.Contains(unknown, name) {
				require.NotContains(t, got, name)
				continue
			}
			require.Equal(t, names(want), append([]string{}, got[name]...), "round %d: %s", round, name)
		}
	}
}

// names lists ids the way a class does.
func names(all ids) []string {
	sorted := slices.SortedFunc(maps.Keys(all), func(a, b ledger.ID) int {
		return cmp.Or(cmp.Compare(a.Writer, b.Writer), cmp.Compare(a.Seq, b.Seq))
	})
	out := []string{}
	for i := 0; i < len(sorted); {
		r := ledger.Range{Writer: sorted[i].Writer, From: sorted[i].Seq, To: sorted[i].Seq}
		for i++; i < len(sorted) && sorted[i].Writer == r.Writer && sorted[i].Seq == r.To+1; i++ {
			r.To = sorted[i].Seq
		}
		out = append(out, r.String())
	}
	return out
}
