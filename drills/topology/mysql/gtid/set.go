package gtid

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Set is a MySQL GTID set (MySQL 9 reference manual, "GTID Format and Storage"):
// for each source, uuid or uuid:tag, the intervals that are in it.
type Set map[string]ranges

// ParseSet reads what @@gtid_executed, Retrieved_Gtid_Set and GTID_SUBTRACT
// print, line breaks included.
func ParseSet(text string) (Set, error) {
	s := Set{}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		fields := strings.Split(part, ":")
		uuid := strings.ToLower(strings.TrimSpace(fields[0]))
		if len(uuid) != 36 {
			return nil, fmt.Errorf("parse GTID set %q: %q is not a server's UUID", text, fields[0])
		}
		source := uuid
		for _, f := range fields[1:] {
			f = strings.ToLower(strings.TrimSpace(f))
			if isTag(f) {
				source = uuid + ":" + f
				continue
			}
			r, err := parseSpan(f)
			if err != nil {
				return nil, fmt.Errorf("parse GTID set %q: %w", text, err)
			}
			s[source] = append(s[source], r)
		}
	}
	for source := range s {
		s[source] = normal(s[source])
	}
	return s, nil
}

// isTag: a tag starts with a letter or an underscore, an interval with a digit.
func isTag(f string) bool { return f != "" && (f[0] == '_' || f[0] >= 'a' && f[0] <= 'z') }

func parseSpan(text string) (span, error) {
	lo, hi, two := strings.Cut(text, "-")
	from, err := strconv.ParseUint(strings.TrimSpace(lo), 10, 63)
	if err != nil || from == 0 {
		return span{}, fmt.Errorf("%q is not an interval", text)
	}
	if !two {
		return span{from, from}, nil
	}
	to, err := strconv.ParseUint(strings.TrimSpace(hi), 10, 63)
	if err != nil || to < from {
		return span{}, fmt.Errorf("%q is not an interval", text)
	}
	return span{from, to}, nil
}

// String is the canonical notation: sorted, the tags of a uuid after its untagged
// intervals, without line breaks.
func (s Set) String() string {
	var b strings.Builder
	last := ""
	for _, source := range slices.Sorted(maps.Keys(s)) {
		uuid, tag, tagged := strings.Cut(source, ":")
		switch {
		case uuid == last:
		case last != "":
			b.WriteString("," + uuid)
		default:
			b.WriteString(uuid)
		}
		last = uuid
		if tagged {
			b.WriteString(":" + tag)
		}
		for _, r := range s[source] {
			fmt.Fprintf(&b, ":%d", r.from)
			if r.to > r.from {
				fmt.Fprintf(&b, "-%d", r.to)
			}
		}
	}
	return b.String()
}

// Empty implements History.
func (s Set) Empty() bool { return len(s) == 0 }

// Count is the number of transactions.
func (s Set) Count() uint64 {
	var n uint64
	for _, rs := range s {
		n += rs.count()
	}
	return n
}

// Minus returns the transactions of s that are not in other.
func (s Set) Minus(other Set) Set {
	out := Set{}
	for source, rs := range s {
		if left := minus(rs, other[source]); len(left) > 0 {
			out[source] = left
		}
	}
	return out
}

// Contains implements History; it answers as GTID_SUBSET(other, s) does.
func (s Set) Contains(other History) bool { return len(other.(Set).Minus(s)) == 0 }

// Subtract implements History; its text is what GTID_SUBTRACT(s, other) gives.
func (s Set) Subtract(other History) Difference {
	d := s.Minus(other.(Set))
	return Difference{Text: d.String(), Count: d.Count()}
}

// Union implements History.
func (s Set) Union(other History) History {
	out := Set{}
	for _, m := range []Set{s, other.(Set)} {
		for source, rs := range m {
			out[source] = append(out[source], rs...)
		}
	}
	for source := range out {
		out[source] = normal(out[source])
	}
	return out
}

// Origins returns the UUIDs that transactions of s came from, sorted.
func (s Set) Origins() []string {
	seen := map[string]bool{}
	for source := range s {
		uuid, _, _ := strings.Cut(source, ":")
		seen[uuid] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
