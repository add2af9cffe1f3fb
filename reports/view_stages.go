package reports

import (
	"math"
	"strconv"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
	"firedrill/reports/svg"
)

// stageBar is a stage of the drill as a bar of all its requests: who answered them,
// and what else became of them.
type stageBar struct {
	Name, Requests string
	Parts          []barPart
	// Says is the bar in words.
	Says string
}

// barPart is a part of a bar: X and W in percent.
type barPart struct {
	stageKey
	X, W, Tip string
	// Text is "" if it has no room; Narrow tells that it has on a small screen too.
	Text   string
	Narrow bool

	n float64
}

// stageKey is a colour and what it stands for.
type stageKey struct{ Class, Name string }

const (
	// barWidth and barNarrow are the widths, in pixels, of a bar on a large and on a
	// small screen, for which text is laid out.
	barWidth, barNarrow = 820, 190
	// memberColours is how many members the style sheet can tell apart.
	memberColours = 5
)

// memberKey gives each member a colour of its own, as long as there are enough.
func memberKey(i int, member string) stageKey {
	return stageKey{"m" + strconv.Itoa(i%memberColours), answererName(member)}
}

// stageBars draws the stages, and explains the colours that occur.
func stageBars(q verdict.RequestsResult, members []string) (bars []stageBar, keys []stageKey) {
	for _, s := range q.Stages {
		b := stageBar{Name: stageName(s.Name), Requests: si.Count(s.Requests)}
		for i, m := range members {
			b.add(memberKey(i, m), s.By[m], s.Requests, atLeast)
		}
		for _, o := range outcomes(s.Tally)[1:] {
			b.add(stageKey{o.key, o.name}, o.n, s.Requests, atMost)
		}
		if b.Says == "" {
			b.Says = "no request"
		}
		bars = append(bars, b)
	}
	for i, m := range members {
		keys = append(keys, memberKey(i, m))
	}
	for _, o := range outcomes(q.Tally)[1:] {
		if o.n > 0 {
			keys = append(keys, stageKey{o.key, o.name})
		}
	}
	return bars, keys
}

// add puts a part at the end of a bar.
func (b *stageBar) add(k stageKey, n, of uint64, percent func(share float64, digits int) string) {
	if n == 0 || of == 0 {
		return
	}
	var from float64
	for _, p := range b.Parts {
		from += p.n
	}
	share := float64(n) / float64(of)
	s := svg.Scale{From: 0, To: float64(of)}
	p := barPart{stageKey: k, X: s.At(from), W: s.Len(from, from+float64(n)), Text: k.Name + " " + percent(share, 1), n: float64(n)}
	need := 12 + 6.7*float64(len([]rune(p.Text)))
	if p.Narrow = share*barNarrow >= need; share*barWidth < need {
		p.Text = ""
	}
	p.Tip = k.Name + ": " + si.Count(n) + " of " + b.Requests
	b.Parts = append(b.Parts, p)
	if b.Says != "" {
		b.Says += "; "
	}
	b.Says += p.Tip
}

// stageRow is one number in each stage.
type stageRow struct {
	Name string
	// Class is a member's or outcome's colour; Note stands behind the name.
	Class, Note string
	Cells       []stageCell
}

// stageCell is a number; Share stands beside it. Counted tells that it may: numbers
// without a share stand below those with one.
type stageCell struct {
	Text, Share    string
	Counted, Grave bool
}

// stageRowOf makes a row of what cell says of each stage. A stage without requests has
// no numbers.
func stageRowOf(q verdict.RequestsResult, name string, cell func(verdict.RequestStage) stageCell) stageRow {
	r := stageRow{Name: name}
	for _, s := range q.Stages {
		c := stageCell{}
		if s.Requests > 0 {
			c = cell(s)
		}
		c.Text = dash(c.Text)
		r.Cells = append(r.Cells, c)
	}
	return r
}

// stageRows are the numbers of the stages. What was not measured in any of them
// has no row.
func stageRows(q verdict.RequestsResult, members []string, expected string) []stageRow {
	rows := countRows(q, members, expected)
	for _, r := range append(timeRows(q), costRows(q)...) {
		for _, c := range r.Cells {
			if c.Text != "–" {
				rows = append(rows, r)
				break
			}
		}
	}
	return rows
}

func countRows(q verdict.RequestsResult, members []string, expected string) []stageRow {
	count := func(n, of uint64, percent func(float64, int) string) stageCell {
		if n == 0 {
			return stageCell{Text: "0", Counted: true}
		}
		return stageCell{Text: si.Count(n), Share: percent(float64(n)/float64(of), 1), Counted: true}
	}
	rows := []stageRow{
		stageRowOf(q, "requests", func(s verdict.RequestStage) stageCell { return stageCell{Text: si.Count(s.Requests), Counted: true} }),
		stageRowOf(q, "an answer began", func(s verdict.RequestStage) stageCell { return count(s.Begun, s.Requests, atLeast) }),
		stageRowOf(q, "answered whole", func(s verdict.RequestStage) stageCell { return count(s.Whole, s.Requests, atLeast) }),
	}
	for i, m := range members {
		r := stageRowOf(q, "by "+m, func(s verdict.RequestStage) stageCell { return count(s.By[m], s.Requests, atLeast) })
		if m == "" {
			r.Name = answererName(m)
		}
		r.Class = memberKey(i, m).Class
		if m != "" && m == expected {
			r.Note = "next in order"
		}
		rows = append(rows, r)
	}
	for i, o := range outcomes(q.Tally)[1:] {
		r := stageRowOf(q, o.name, func(s verdict.RequestStage) stageCell {
			now := outcomes(s.Tally)[i+1]
			c := count(now.n, s.Requests, atMost)
			c.Grave = now.grave && now.n > 0
			return c
		})
		r.Class = o.key
		rows = append(rows, r)
	}
	return rows
}

func timeRows(q verdict.RequestsResult) []stageRow {
	first := func(name string, of func(verdict.RequestStage) *float64) stageRow {
		return stageRowOf(q, "time to first token, "+name, func(s verdict.RequestStage) stageCell { return stageCell{Text: seconds(of(s))} })
	}
	return []stageRow{
		first("p50", func(s verdict.RequestStage) *float64 { return s.FirstTokenP50 }),
		first("p95", func(s verdict.RequestStage) *float64 { return s.FirstTokenP95 }),
		first("p99", func(s verdict.RequestStage) *float64 { return s.FirstTokenP99 }),
		stageRowOf(q, "longest stall within a stream", func(s verdict.RequestStage) stageCell {
			if s.Stall <= 0 {
				return stageCell{}
			}
			return stageCell{Text: si.Duration(s.Stall)}
		}),
	}
}

// seconds writes a duration that may not have been measured.
func seconds(s *float64) string {
	if s == nil {
		return ""
	}
	return si.Duration(*s)
}

func costRows(q verdict.RequestsResult) []stageRow {
	return []stageRow{
		stageRowOf(q, "tokens asked with", func(s verdict.RequestStage) stageCell { return stageCell{Text: si.Count(s.TokensIn)} }),
		stageRowOf(q, "tokens answered", func(s verdict.RequestStage) stageCell { return stageCell{Text: si.Count(s.TokensOut)} }),
		stageRowOf(q, "tokens billed, as seen on the wire", func(s verdict.RequestStage) stageCell { return stageCell{Text: seen(s.Billed)} }),
		stageRowOf(q, "tokens of other traffic on the wire", func(s verdict.RequestStage) stageCell { return stageCell{Text: seen(s.Other)} }),
		stageRowOf(q, "cost of the answers", func(s verdict.RequestStage) stageCell { return stageCell{Text: cost(s.Cost, 1)} }),
		stageRowOf(q, "per 1,000 requests", func(s verdict.RequestStage) stageCell { return stageCell{Text: cost(s.Cost, 1000/float64(s.Requests))} }),
		stageRowOf(q, "cost of what was billed", func(s verdict.RequestStage) stageCell { return stageCell{Text: cost(s.BilledCost, 1)} }),
	}
}

// seen writes a number of tokens that fault points may not have seen.
func seen(n *int64) string {
	if n == nil {
		return ""
	}
	return si.Count(*n)
}

// cost writes an amount, which is in whatever currency the topology's prices are in,
// with three significant digits.
func cost(c *float64, times float64) string {
	switch {
	case c == nil:
		return ""
	case *c <= 0:
		return "0"
	}
	v := *c * times
	return svg.Num(v, min(max(2-int(math.Floor(math.Log10(v))), 0), 12))
}
