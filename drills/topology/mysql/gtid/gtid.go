// Package gtid compares what MySQL and MariaDB servers have executed: sets of
// global transaction ids (MySQL) and binary log states (MariaDB). It is pure.
package gtid

import "fmt"

// History is what a server has, in its product's notation. Histories of the two
// products cannot be compared: the methods panic when they are mixed.
type History interface {
	// String is the notation that the server reads.
	String() string
	// Empty tells whether there is nothing in it.
	Empty() bool
	// Contains tells whether every transaction of other is in it.
	Contains(other History) bool
	// Subtract returns what is in it and not in other.
	Subtract(other History) Difference
	// Union returns what is in either.
	Union(other History) History
}

// Difference is a set of transactions that one server has and another has not.
type Difference struct {
	// Text lists them: "0-1-4078..4405" or "uuid:2815-4609".
	Text string
	// Count is how many there are; 0 means none.
	Count uint64
	// AtMost marks a count that is an upper bound: a MariaDB server's state does
	// not tell which of several origins a sequence number belongs to.
	AtMost bool
	// Unsure lists what cannot be told (MariaDB): the other server has a later
	// transaction of the same domain and nothing at all of this origin, which is so
	// if it was cloned after these, and if these were written beside the common
	// history. They are not counted.
	Unsure string
}

// None tells whether the difference is empty.
func (d Difference) None() bool { return d.Count == 0 }

func (d Difference) String() string {
	switch {
	case d.None():
		return "none"
	case d.AtMost:
		return fmt.Sprintf("at most %d (%s)", d.Count, d.Text)
	}
	return fmt.Sprintf("%d (%s)", d.Count, d.Text)
}

// ranges are disjoint, sorted stretches of numbers.
type ranges []span

// span is the numbers from..to, both included.
type span struct{ from, to uint64 }
