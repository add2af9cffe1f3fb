package live

import (
	"time"

	tl "firedrill/drills/timeline"
)

// longGap is a pause of the runner that a person should know of at once. Shorter
// ones are common on a busy host, and are in the record all the same.
const longGap = 250 * time.Millisecond

// telling tells whether an event is for people at all: what the runner asks of itself
// again and again, to learn how late it is told, is not.
func telling(payload any) bool {
	e, ok := payload.(tl.MemberChanged)
	return !ok || e.What != tl.MemberEcho
}

// salient tells whether an event deserves a line that stays on a terminal.
func salient(payload any) bool {
	switch e := payload.(type) {
	case tl.Gap:
		return time.Duration(e.To-e.From) >= longGap
	case tl.ClockRelated:
		return e.Strayed > 0
	case tl.Held:
		return e.Err != ""
	case tl.MemberChanged:
		return e.What == tl.MemberReady || e.What == tl.MemberGone
	case tl.Started, tl.Journaled, tl.RolesSeen, tl.Injecting, tl.Reverting, tl.Ended, tl.PhaseBegan:
		return false
	}
	return true
}

// grave tells whether an event says that something went wrong with the drill.
func grave(payload any) bool {
	switch e := payload.(type) {
	case tl.Injected:
		return e.Err != ""
	case tl.Confirmed:
		return e.Err != ""
	case tl.Held:
		return e.Err != ""
	case tl.PlatformAway:
		return true
	case tl.Reverted:
		return e.Outcome == tl.RevertFailed
	case tl.RemedyStep:
		return e.Err != ""
	case tl.RemedyEnded:
		return e.Err != ""
	case tl.Rejoined:
		return e.Err != ""
	case tl.ReadBack:
		return e.Err != ""
	case tl.CleanedUp:
		return e.Verdict != "clean"
	case tl.StopRequested:
		return true
	}
	return false
}
