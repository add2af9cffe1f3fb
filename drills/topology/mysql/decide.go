package mysql

import (
	"fmt"
	"slices"
	"strings"

	"firedrill/drills/topology/mysql/gtid"
)

// Candidate is what the choice of a primary is made from.
type Candidate struct {
	Name string
	// Known is what it has applied or can still apply.
	Known gtid.History
	// Own is whether it follows nobody and has transactions that it wrote itself
	// and that the component's former primary lacks: it has served clients.
	Own bool
	// Open tells whether it takes writes.
	Open bool
	// Was tells whether it was the primary before the drill.
	Was bool
	// Followers is how many others are configured to follow it.
	Followers int
}

// Choice is who is to be the primary.
type Choice struct {
	Name string
	Why  string
	// Lacks are transactions of other members that the chosen one has not.
	Lacks map[string]gtid.Difference
}

// Says is one line for people.
func (c Choice) Says() string {
	if len(c.Lacks) == 0 {
		return c.Why
	}
	var lacks []string
	for name, d := range c.Lacks {
		lacks = append(lacks, fmt.Sprintf("it lacks %s of %s", d, name))
	}
	slices.Sort(lacks)
	return c.Why + "; " + strings.Join(lacks, "; ")
}

// Decide chooses the rightful primary of those that answer, in the order of the
// topology file. Whoever took over meanwhile stays; else nobody's transactions
// are given up if that can be avoided; else everything stays as it was.
func Decide(cs []Candidate) (Choice, bool) {
	open := filter(cs, func(c Candidate) bool { return c.Open })
	switch len(open) {
	case 0:
		return among(cs)
	case 1:
		return one(cs, open[0]), len(cs) > 0
	}
	return several(cs, open), true
}

// one: a single member takes writes.
func one(cs []Candidate, open Candidate) Choice {
	if !open.Was {
		return chosen(cs, open, "it is the only member that takes writes")
	}
	for _, c := range cs {
		if c.Own && !c.Was && !open.Known.Contains(c.Known) {
			return chosen(cs, c, "it was promoted meanwhile and served clients, although "+open.Name+" takes writes")
		}
	}
	return chosen(cs, open, "it is the only member that takes writes")
}

// several: split brain.
func several(cs, open []Candidate) Choice {
	rest := filter(open, func(c Candidate) bool { return !c.Was })
	if own := filter(rest, func(c Candidate) bool { return c.Own }); len(own) > 0 {
		rest = own
	}
	if len(rest) == 0 {
		rest = open
	}
	best := slices.MaxFunc(rest, func(a, b Candidate) int {
		if n := ahead(a, b); n != 0 {
			return n
		}
		if n := a.Followers - b.Followers; n != 0 {
			return n
		}
		return slices.IndexFunc(cs, same(b)) - slices.IndexFunc(cs, same(a))
	})
	return chosen(cs, best, fmt.Sprintf("%s take writes; it was promoted meanwhile", listed(open)))
}

// among: nobody takes writes.
func among(cs []Candidate) (Choice, bool) {
	if len(cs) == 0 {
		return Choice{}, false
	}
	whole := filter(cs, func(c Candidate) bool { return len(lacks(cs, c)) == 0 })
	why := "nobody takes writes; it has everything that the others have"
	if len(whole) == 0 {
		why = "nobody takes writes, and no member has everything that the others have; "
		if whole = filter(cs, func(c Candidate) bool { return c.Own && !c.Was }); len(whole) > 0 {
			why += "it was promoted meanwhile"
		} else {
			whole, why = cs, why+"it lacks the least"
		}
	}
	best := slices.MaxFunc(whole, func(a, b Candidate) int {
		if n := missing(cs, b) - missing(cs, a); n != 0 {
			return n
		}
		if a.Was != b.Was {
			return bit(a.Was)
		}
		if n := a.Followers - b.Followers; n != 0 {
			return n
		}
		return slices.IndexFunc(cs, same(b)) - slices.IndexFunc(cs, same(a))
	})
	if best.Was && len(lacks(cs, best)) == 0 {
		why += ", and was the primary"
	}
	return chosen(cs, best, why), true
}

func chosen(cs []Candidate, c Candidate, why string) Choice {
	return Choice{Name: c.Name, Why: why, Lacks: lacks(cs, c)}
}

// lacks is what other members have and c has not.
func lacks(cs []Candidate, c Candidate) map[string]gtid.Difference {
	var out map[string]gtid.Difference
	for _, o := range cs {
		if d := o.Known.Subtract(c.Known); o.Name != c.Name && !d.None() {
			if out == nil {
				out = map[string]gtid.Difference{}
			}
			out[o.Name] = d
		}
	}
	return out
}

// missing counts them.
func missing(cs []Candidate, c Candidate) int {
	var all gtid.History = c.Known
	for _, o := range cs {
		all = all.Union(o.Known)
	}
	return int(all.Subtract(c.Known).Count)
}

// ahead compares two histories: 1 if a has all of b and more.
func ahead(a, b Candidate) int {
	return bit(a.Known.Contains(b.Known)) - bit(b.Known.Contains(a.Known))
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func filter(cs []Candidate, keep func(Candidate) bool) []Candidate {
	return slices.DeleteFunc(slices.Clone(cs), func(c Candidate) bool { return !keep(c) })
}

func same(c Candidate) func(Candidate) bool {
	return func(o Candidate) bool { return o.Name == c.Name }
}

func listed(cs []Candidate) string {
	var names []string
	for _, c := range cs {
		names = append(names, c.Name)
	}
	return strings.Join(names, " and ")
}
