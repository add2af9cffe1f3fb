package reports

import (
	"cmp"
	"strings"
	"unicode"
	"unicode/utf8"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// word is a verdict as people read it.
type word struct {
	Class, Text, Meaning string
}

// verdictWord returns the word for a verdict. What is unknown is inconclusive.
func verdictWord(v string) word {
	switch v {
	case verdict.Met:
		return word{v, "Met", "Every objective was met, the fault was proven, and everything was put back."}
	case verdict.Missed:
		return word{v, "Missed", "At least one objective was missed. The fault was proven and everything was put back."}
	case verdict.Aborted:
		return word{v, "Aborted", "The drill was stopped before it could tell. Everything was put back."}
	case verdict.Dirty:
		return word{v, "Dirty", "It is not proven that everything was put back. That comes before any other result: run firedrill recover."}
	}
	return word{verdict.Inconclusive, "Inconclusive", "The fault or the measurement is not proven, so nothing is claimed."}
}

// objectiveName returns what is measured and what its target is called.
func objectiveName(name string) (actual, target string) {
	switch name {
	case "rto":
		return "Recovery time", "RTO"
	case "rpo":
		return "Recovery point", "RPO"
	case "rejoin":
		return "Rejoin", ""
	case "steady-state":
		return "Steady state", ""
	case "availability":
		return "Availability", ""
	case "fallback":
		return "Answered by the fallback", ""
	case "first-token-p95":
		return "Time to first token (p95)", ""
	case "truncated":
		return "Truncated answers", ""
	case "wrong-embeddings":
		return "Wrong embeddings", ""
	case "answered-twice":
		return "Answered twice", ""
	case "fail-back":
		return "Fail-back", ""
	}
	return name, ""
}

// shortName is what an objective is called where there is little room.
func shortName(name string) string {
	switch name {
	case "rto", "rpo", "rejoin":
		return name
	}
	label, _ := objectiveName(name)
	return strings.ToLower(label)
}

// healedBy returns who healed it, in a word and in a sentence.
func healedBy(by string) (badge, text string) {
	switch by {
	case "topology":
		return "native", "the topology healed itself"
	case "runner":
		return "assisted", "the runner healed it"
	}
	return "not healed", "nothing healed it while the drill looked"
}

// counted returns "1 event", "2 events".
func counted[T ~int | ~uint64](n T, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	if strings.HasSuffix(thing, "ch") {
		thing += "e"
	}
	return si.Count(n) + " " + thing + "s"
}

// dash stands for what is not there.
func dash(s string) string { return cmp.Or(s, "–") }

// reading writes an interval, or a dash.
func reading(s *verdict.Seconds) si.Reading {
	if s == nil {
		return si.Reading{Value: "not measured"}
	}
	return si.Interval(s.Lo, s.Hi)
}

// asSentence begins s with a capital letter, unless that is a name ("db-1"), and
// ends it with a full stop.
func asSentence(s string) string {
	if s = strings.TrimSpace(s); s == "" {
		return ""
	}
	if word, _, _ := strings.Cut(s, " "); !strings.ContainsAny(word, "-_/0123456789") {
		first, n := utf8.DecodeRuneInString(s)
		s = string(unicode.ToUpper(first)) + s[n:]
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
