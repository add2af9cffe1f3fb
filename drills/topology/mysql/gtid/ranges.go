package gtid

import (
	"cmp"
	"slices"
)

// normal returns the same numbers, sorted, with stretches that touch joined.
func normal(rs ranges) ranges {
	rs = slices.Clone(rs)
	slices.SortFunc(rs, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var out ranges
	for _, r := range rs {
		if n := len(out); n > 0 && r.from <= out[n-1].to+1 {
			out[n-1].to = max(out[n-1].to, r.to)
			continue
		}
		out = append(out, r)
	}
	return out
}

// minus returns the numbers of a that are not in b; both are normal.
func minus(a, b ranges) ranges {
	var out ranges
	for _, r := range a {
		from, used := r.from, false
		for _, x := range b {
			if x.to < from || x.from > r.to {
				continue
			}
			if x.from > from {
				out = append(out, span{from, x.from - 1})
			}
			if x.to >= r.to {
				used = true
				break
			}
			from = x.to + 1
		}
		if !used {
			out = append(out, span{from, r.to})
		}
	}
	return out
}

func (rs ranges) count() uint64 {
	var n uint64
	for _, r := range rs {
		n += r.to - r.from + 1
	}
	return n
}
