package reports

import (
	"fmt"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// rangesShown is how many ranges of ids a page lists; the rest is downloaded.
const rangesShown = 200

// ledgerView accounts for the writes of one ledger.
type ledgerView struct {
	Name, Component                   string
	Attempted, Acknowledged, Rejected string
	Classes                           []class
	RecoveryPoint                     string
	First, Last                       *lostWrite
	// Ranges are the lost ids, neighbours joined; More is how many are not shown.
	Ranges []string
	More   string
	// Joined is the number of ranges in all.
	Joined string
	// Unlisted is how many lost ids the result itself does not list.
	Unlisted string
	Download download
	ReadBack []readBack
	// Unread tells that no member was read back: nothing is claimed.
	Unread bool
}

// class is a class of writes or of requests with its count.
type class struct {
	Key, Name, Count, Means, Extra string
	Zero, Grave                    bool
}

// lostWrite is when the first or last lost write was acknowledged.
type lostWrite struct{ At, Clock string }

type readBack struct {
	Member, When, Role, Rows, Took, Error string
}

func ledgers(r verdict.Result, z time.Time) []ledgerView {
	out := make([]ledgerView, 0, len(r.Ledgers))
	for _, l := range r.Ledgers {
		ranges := joinIDs(l.LostIDs)
		v := ledgerView{
			Name: l.Name, Component: l.Component,
			Attempted: si.Count(l.Attempted), Acknowledged: si.Count(l.Acknowledged), Rejected: si.Count(l.Rejected),
			Classes: ledgerClasses(l), First: lostAt(l.FirstLostAt, z), Last: lostAt(l.LastLostAt, z),
			Ranges: ranges[:min(len(ranges), rangesShown)], Joined: counted(len(ranges), "range"),
			Download: newDownload(r.RunID, l, ranges), Unread: len(l.ReadBack) == 0,
		}
		if more := len(ranges) - rangesShown; more > 0 {
			v.More = counted(more, "range")
		}
		if l.LostUnlisted > 0 {
			v.Unlisted = counted(l.LostUnlisted, "lost id") + " more"
		}
		if l.RecoveryPoint != nil {
			v.RecoveryPoint = reading(l.RecoveryPoint).String()
		}
		for _, b := range l.ReadBack {
			v.ReadBack = append(v.ReadBack, newReadBack(b))
		}
		out = append(out, v)
	}
	return out
}

func newReadBack(b verdict.ReadBackResult) readBack {
	role := "other member"
	if b.Primary {
		role = "primary"
	}
	return readBack{
		Member: b.Member, When: "after it had " + b.When, Role: role, Rows: si.Count(b.Rows), Took: si.Duration(b.Took), Error: b.Error,
	}
}

func lostAt(t *time.Time, z time.Time) *lostWrite {
	if t == nil {
		return nil
	}
	return &lostWrite{At: si.At(since(z, *t)), Clock: instant(*t)}
}

// ledgerClasses returns the nine classes in the order of the definitions, and
// what vanished after the rejoin if anything did.
func ledgerClasses(l verdict.LedgerResult) []class {
	all := []struct {
		key, name   string
		n           uint64
		grave       bool
		means, more string
	}{
		{"lost", "lost", l.Lost, true, "acknowledged, absent from the surviving primary", ""},
		{"indeterminate", "indeterminate", l.Indeterminate, false, "neither acknowledged nor refused; never counted as lost", ""},
		{"rejected_but_present", "rejected but present", l.RejectedButPresent, true, "the server refused it, yet it is there", ""},
		{"duplicated", "duplicated", l.Duplicated, true, "present more than once", ""},
		{"phantom", "phantom", l.Phantom, true, "present, never attempted", ""},
		{"stale", "stale reads", l.Stale, false, "a read did not see a write acknowledged before it", longest(l.StaleLongest)},
		{"diverged", "diverged", l.Diverged, true, "on the rejoined member and not on the primary", ""},
		{"resurrected", "resurrected", l.Resurrected, true, "lost at first, back after the rejoin", ""},
		{"dual_write", "dual write", l.DualWrite, true, "acknowledged by two members at once", longest(l.DualWriteWindow)},
	}
	out := make([]class, 0, len(all)+1)
	if l.Vanished > 0 {
		all = append(all, all[0])
		last := &all[len(all)-1]
		last.key, last.name, last.n, last.means = "vanished", "vanished", l.Vanished, "there after recovery, gone after the rejoin"
	}
	for _, c := range all {
		out = append(out, class{
			Key: c.key, Name: c.name, Count: si.Count(c.n), Means: c.means, Extra: c.more, Zero: c.n == 0, Grave: c.grave && c.n > 0,
		})
	}
	return out
}

func longest(s float64) string {
	if s <= 0 {
		return ""
	}
	return fmt.Sprintf("for up to %s", si.Duration(s))
}
