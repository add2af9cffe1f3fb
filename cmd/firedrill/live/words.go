package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"firedrill/drills/si"
	tl "firedrill/drills/timeline"
	"firedrill/reports/tty"
)

// Words says an event's payload in one line, without control characters.
func Words(payload any) string {
	for _, say := range []func(any) string{runWords, faultWords, remedyWords, otherWords} {
		if s := say(payload); s != "" {
			return tty.Plain(s)
		}
	}
	b, err := json.Marshal(payload)
	if err != nil {
		return fmt.Sprintf("cannot be shown: %v", err)
	}
	return tty.Plain(string(b))
}

func runWords(payload any) string {
	switch e := payload.(type) {
	case tl.Started:
		return fmt.Sprintf("%s on %s, run %s, plan sha256 %s", e.Plan.Scenario, e.Plan.Topology, e.RunID, e.PlanDigest)
	case tl.PhaseBegan:
		return e.Phase
	case tl.StopRequested:
		return "stopping: " + e.Why
	case tl.CleanedUp:
		if e.Verdict == "clean" {
			return "clean: everything was put back"
		}
		return e.Verdict + ": not proven to be put back: " + strings.Join(e.Leftovers, "; ")
	case tl.Ended:
		if e.Interrupted {
			return "record closed by a later process"
		}
		return "record closed"
	}
	return ""
}

func faultWords(payload any) string {
	switch e := payload.(type) {
	case tl.Journaled:
		return fmt.Sprintf("%s %s for %s", e.Kind, e.Intent, e.For)
	case tl.Injecting:
		return orErr(fmt.Sprintf("%s (%s) on %s", e.Fault, e.Kind, strings.Join(e.Targets, ", ")), ": "+e.Doing, "")
	case tl.Injected:
		return orErr(e.Fault, "", e.Err)
	case tl.Confirmed:
		return orErr(e.Fault, ": "+e.By, e.Err)
	case tl.Held:
		if e.Err != "" {
			return e.Fault + " was not in force all the time: " + e.Err
		}
		return e.Fault + " was in force until now"
	case tl.Reverting:
		return e.Fault
	case tl.Reverted:
		return orErr(e.Fault, ": "+e.Outcome, e.Err)
	}
	return ""
}

func remedyWords(payload any) string {
	switch e := payload.(type) {
	case tl.Detected:
		return e.Series + " fails"
	case tl.RemedyBegan:
		return fmt.Sprintf("%s (%s) on %s", e.Remedy, e.Kind, e.Target)
	case tl.RemedyStep:
		s := e.Remedy + ": " + e.Step
		if e.Member != "" {
			s += " " + e.Member
		}
		return orErr(s, ": "+e.Detail, e.Err)
	case tl.RemedyEnded:
		return orErr(e.Remedy, ": "+e.Outcome, e.Err)
	case tl.Healed:
		return map[string]string{"topology": "by the topology itself", "runner": "by the runner"}[e.By] + orNone(e.By)
	}
	return ""
}

func otherWords(payload any) string {
	switch e := payload.(type) {
	case tl.RolesSeen:
		return e.Component + ": " + members(e.Members)
	case tl.MemberChanged:
		s := e.Component + ": " + e.Member
		if e.Member == "" {
			s = e.Component
		}
		return strings.TrimSuffix(s+" "+e.What+": "+e.Detail, ": ")
	case tl.PlatformAway:
		return orErr("the platform of "+e.Component+" does not answer", "", e.Err)
	case tl.PlatformBack:
		return "the platform of " + e.Component + " answers again"
	case tl.ClockRelated:
		return "agent in " + e.From + ": known to ± " + si.Duration(e.Error.Seconds())
	case tl.AgentLost:
		return "in " + e.From + ": " + e.Why
	case tl.Gap:
		if e.Of != "" {
			return "the agent in " + e.Of + " was paused for " + si.Duration(time.Duration(e.To-e.From).Seconds()) + ": no data"
		}
		return "the runner was paused for " + si.Duration(time.Duration(e.To-e.From).Seconds()) + ": no data"
	case tl.ReadBack:
		return orErr(fmt.Sprintf("%s from %s (%s): %s rows", e.Ledger, e.Member, e.When, si.Count(e.Rows)), "", e.Err)
	case tl.Rejoined:
		s := e.Component + ": " + members(e.Members)
		for _, m := range slices.Sorted(maps.Keys(e.KeptOut)) {
			s += "; kept out " + m + ": " + e.KeptOut[m]
		}
		return orErr(s, "", e.Err)
	case tl.Caveat:
		return e.Text
	}
	return ""
}

// orErr is what was done, and either how it went or why not.
func orErr(what, how, err string) string {
	if err != "" {
		return what + " FAILED: " + err
	}
	return what + strings.TrimSuffix(how, ": ")
}

func orNone(by string) string {
	if by == "none" {
		return "nothing has healed it"
	}
	return ""
}

func members(ms []tl.MemberSeen) string {
	var out []string
	for _, m := range ms {
		s := m.Member + " " + m.Role
		if m.Problem != "" {
			s += " (" + m.Problem + ")"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
