package ledger

import "firedrill/drills/timeline"

// Accounting is what became of every attempted write. An id can be in several
// classes: resurrected ones are lost too.
type Accounting struct {
	// Unknown says why losses cannot be told, "" if they can.
	Unknown string
	// Torn tells that the ledger's file broke off. What was under way then was
	// never recorded: such ids are in InFlight, not in Phantom.
	Torn     bool
	InFlight uint64

	Attempted    uint64
	Acknowledged uint64
	Rejected     uint64
	// Unjudged are acknowledged after every reading of a primary had begun: they
	// are in no other number. Not 0 means that the losses are a lower bound.
	Unjudged uint64
	// Against is the primary whose reading at Recovered losses are told from.
	Against string

	// Lost: acknowledged, absent from the surviving primary at Recovered. What was
	// acknowledged after that reading began is judged by that at Rejoined.
	Lost Class
	// FirstLost and LastLost contain the moments at which the first and the last
	// of the lost writes were acknowledged; nil if none is lost.
	FirstLost, LastLost *timeline.Interval
	// Indeterminate: neither acknowledged nor refused; never lost. Of these,
	// IndeterminatePresent are on the surviving primary; the others are not, or
	// it is not known.
	Indeterminate        Class
	IndeterminatePresent uint64
	// RejectedButPresent: refused, yet on a primary.
	RejectedButPresent Class
	// Duplicated: more than once on a primary.
	Duplicated Class
	// Phantom: on a primary and never attempted.
	Phantom Class
	// Diverged: at Rejoined on another member than the primary, and not on the
	// primary. If several members were primary, the one that was at both times
	// counts as the primary, or else the first that was read; here as for all classes.
	Diverged Class
	// Resurrected: lost at Recovered, on the primary again at Rejoined.
	Resurrected Class
	// Vanished: acknowledged, on the primary at Recovered, absent from the primary
	// at Rejoined: lost by the rejoining. Not in Lost.
	Vanished Class
	// DualWrite: acknowledged by a member while a later primary was primary too,
	// proven by the times: sent after the later one's first acknowledgement had
	// arrived, and answered before the later one's last was sent. (A primary that
	// acknowledges when its successor is silent for good has got its role back.)
	DualWrite Class
	Windows   []DualWindow

	// Members says what each reading held, compared with the primary's.
	Members []MemberAccount
}

// DualWindow is the time in which Predecessor is proven to have acknowledged
// writes while Successor was primary too: the true one is no shorter.
type DualWindow struct {
	Predecessor, Successor string
	Window                 timeline.Interval
	Writes                 uint64
}

// MemberAccount is one reading compared with the reading of the primary at the
// same time (at Rejoined, with the one at Recovered if there is no later one).
type MemberAccount struct {
	Member  string
	When    string
	Primary bool
	Rows    uint64
	// Missing are attempts on the primary and not here. A replica that lags when
	// it is read misses some.
	Missing Class
	// Extra are ids here and not on the primary.
	Extra Class
}

// Class is a number of ids, and which. The zero Class is an unknown number.
type Class struct {
	known  bool
	count  uint64
	ranges []Range
	more   uint64
}

// Count returns the number of ids; false if it is unknown, which is never zero.
func (c Class) Count() (uint64, bool) { return c.count, c.known }

// Ranges returns the ids by writer and sequence, as far as they are listed.
func (c Class) Ranges() []Range { return c.ranges }

// More returns how many ids are not listed; see Options.Ranges.
func (c Class) More() uint64 { return c.more }

// IDs returns the listed ids: "writer:sequence" or "writer:from-to". Never nil.
func (c Class) IDs() []string {
	ids := make([]string, len(c.ranges))
	for i, r := range c.ranges {
		ids[i] = r.String()
	}
	return ids
}

// Options are the options of Audit. The zero Options are fine.
type Options struct {
	// Ranges is how many ranges of ids a class lists; 0 means 1000. Counts are
	// exact in any case. Of a class that has more, those that end last are left out.
	Ranges int
	// InFlight is how many ids beyond the last recorded of each lane may have been
	// sent when the file broke off; 0 means 1, which is right for a runner that
	// was killed. After a crash of the machine, what SyncEvery can cost is missing
	// too. It has no effect on a file that was closed.
	InFlight uint64
	// ManyPrimaries tells that several members take writes by design, so that dual
	// writes are no finding; DualWrite stays unknown.
	ManyPrimaries bool
	// Acknowledged, if set, is called for each acknowledged entry, in the file's
	// order, with whether it is lost; not for unjudged ones.
	Acknowledged func(e Entry, lost bool)
}
