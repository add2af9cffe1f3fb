package gtid

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Positions is a MariaDB history (MariaDB knowledge base, "Global Transaction
// ID"): for each replication domain and each server that wrote in it, the
// highest sequence number. Sequence numbers are unique and rising within a
// domain of one server's binary log, whoever wrote.
type Positions map[origin]uint64

type origin struct{ domain, server uint32 }

// ParsePositions reads a list of domain-server-sequence, as gtid_binlog_state,
// gtid_slave_pos and Gtid_IO_Pos print it.
func ParsePositions(text string) (Positions, error) {
	p := Positions{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		f := strings.Split(part, "-")
		if len(f) != 3 {
			return nil, fmt.Errorf("parse GTID list %q: %q is not domain-server-sequence", text, part)
		}
		d, err1 := strconv.ParseUint(f[0], 10, 32)
		s, err2 := strconv.ParseUint(f[1], 10, 32)
		n, err3 := strconv.ParseUint(f[2], 10, 64)
		if err := cmp.Or(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("parse GTID list %q: %q: %w", text, part, err)
		}
		o := origin{uint32(d), uint32(s)}
		p[o] = max(p[o], n)
	}
	return p, nil
}

// String lists the highest position of each origin.
func (p Positions) String() string {
	var parts []string
	for _, o := range p.origins() {
		parts = append(parts, fmt.Sprintf("%d-%d-%d", o.domain, o.server, p[o]))
	}
	return strings.Join(parts, ",")
}

func (p Positions) origins() []origin {
	return slices.SortedFunc(maps.Keys(p), func(a, b origin) int {
		return cmp.Or(cmp.Compare(a.domain, b.domain), cmp.Compare(p[a], p[b]), cmp.Compare(a.server, b.server))
	})
}

// Last is the position of each domain: what gtid_current_pos prints.
func (p Positions) Last() Positions {
	best := map[uint32]origin{}
	for _, o := range p.origins() {
		best[o.domain] = o
	}
	out := Positions{}
	for _, o := range best {
		out[o] = p[o]
	}
	return out
}

// Empty implements History.
func (p Positions) Empty() bool { return len(p) == 0 }

// Union implements History.
func (p Positions) Union(other History) History {
	out := maps.Clone(p)
	for o, n := range other.(Positions) {
		out[o] = max(out[o], n)
	}
	return out
}

// Contains implements History.
func (p Positions) Contains(other History) bool {
	return other.Subtract(p).None()
}

// Subtract implements History. Histories share a beginning and then fork: the
// count is exact unless they forked more than once.
func (p Positions) Subtract(other History) Difference {
	q := other.(Positions)
	byDomain := map[uint32]ranges{}
	var d Difference
	var texts, unsure []string
	for _, o := range p.origins() {
		if p[o] <= q[o] {
			continue
		}
		if q[o] == 0 && p.fork(q, o.domain) > p[o] {
			unsure = append(unsure, fmt.Sprintf("%d-%d-%d", o.domain, o.server, p[o]))
			continue
		}
		from, sure := p.after(q, o)
		d.AtMost = d.AtMost || !sure
		byDomain[o.domain] = append(byDomain[o.domain], span{from + 1, p[o]})
		texts = append(texts, stretch(o, from+1, p[o]))
	}
	for _, rs := range byDomain {
		d.Count += normal(rs).count()
	}
	d.Text, d.Unsure = strings.Join(texts, ","), strings.Join(unsure, ",")
	return d
}

// after returns the sequence number in o's domain after which p has transactions
// of o that q lacks, and whether every number from there on is such a one.
func (p Positions) after(q Positions, o origin) (uint64, bool) {
	fork := p.fork(q, o.domain)
	if fork >= p[o] {
		// q shares a later position: these were written beside the common history.
		return q[o], false
	}
	from, sure := max(q[o], fork), true
	for other, n := range p {
		// Another origin of p wrote in between, and q has part of that.
		if other.domain == o.domain && other != o && n > from && n < p[o] && q[other] > from {
			sure = false
		}
	}
	return from, sure
}

// fork is the highest sequence number in a domain that both have.
func (p Positions) fork(q Positions, domain uint32) uint64 {
	var at uint64
	for o, n := range p {
		if o.domain == domain {
			at = max(at, min(n, q[o]))
		}
	}
	return at
}

func stretch(o origin, from, to uint64) string {
	if from == to {
		return fmt.Sprintf("%d-%d-%d", o.domain, o.server, from)
	}
	return fmt.Sprintf("%d-%d-%d..%d", o.domain, o.server, from, to)
}

// Wrote returns the highest sequence number that a server wrote in any domain.
func (p Positions) Wrote(server uint32) uint64 {
	var n uint64
	for o, seq := range p {
		if o.server == server {
			n = max(n, seq)
		}
	}
	return n
}
