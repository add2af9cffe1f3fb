package reports

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// requestsView accounts for the requests that were sent to a component's models.
type requestsView struct {
	Component string
	Total     string
	Classes   []class
	// Stages are the headings of the stages, Bars their pictures, Keys those of the
	// pictures' colours, Rows their numbers.
	Stages []string
	Bars   []stageBar
	Keys   []stageKey
	Rows   []stageRow
	// FailBack is how long it took those of before to answer again, "" if that was
	// not measured.
	FailBack string
	// Never tells that they had not, Flaps how often it went elsewhere once more.
	Never bool
	Flaps string
	Lists []requestList
}

// outcomeOf is one way in which requests ended.
type outcomeOf struct {
	key, name, means string
	n                uint64
	// grave are those that nobody notices.
	grave bool
}

// outcomes are the ways in which requests ended; they add up to all of them.
func outcomes(t verdict.Tally) []outcomeOf {
	return []outcomeOf{
		{"whole", "answered whole", "in full, and rightly", t.Whole, false},
		{"truncated", "truncated", "broke off, and looked like a success", t.Truncated, true},
		{"wrong", "wrong", "in full, but not what was asked for", t.Wrong, true},
		{"failed", "failed", "an error that who asked could see", t.Failed, false},
		{"unanswered", "unanswered", "nothing, or no end, within the deadline", t.Unanswered, false},
	}
}

func requests(r verdict.Result) []requestsView {
	out := make([]requestsView, 0, len(r.Requests))
	for _, q := range r.Requests {
		v := requestsView{
			Component: q.Component, Total: counted(q.Requests, "request"), Classes: requestClasses(q), Lists: requestLists(q),
		}
		members := answerers(r, q)
		v.Bars, v.Keys = stageBars(q, members)
		for _, s := range q.Stages {
			v.Stages = append(v.Stages, stageName(s.Name))
		}
		v.Rows = stageRows(q, members, expected(r, q))
		if q.FailBack != nil {
			v.FailBack, v.Never = reading(q.FailBack).String(), q.FailBack.Hi == nil
		}
		if q.Flaps > 0 {
			v.Flaps = counted(q.Flaps, "time")
		}
		out = append(out, v)
	}
	return out
}

func requestClasses(q verdict.RequestsResult) []class {
	out := make([]class, 0, 6)
	for _, o := range outcomes(q.Tally) {
		out = append(out, class{
			Key: o.key, Name: o.name, Count: si.Count(o.n), Means: o.means, Zero: o.n == 0, Grave: o.grave && o.n > 0,
		})
	}
	twice := class{Key: "answered_twice", Name: "answered twice", Count: "–", Means: "not known: nothing on the wire saw which requests they were", Zero: true}
	if n := q.AnsweredTwice; n != nil {
		twice.Count, twice.Means, twice.Zero, twice.Grave = si.Count(*n), "answered, and billed, more than once", *n == 0, *n > 0
	}
	return append(out, twice)
}

// answerers are those who answered, or were to, in the order of priority as far as the record
// of roles tells it; "" stands for answers that do not tell who gave them.
func answerers(r verdict.Result, q verdict.RequestsResult) []string {
	order := map[string]int{}
	for i, l := range r.Picture.Roles {
		if l.Component == q.Component {
			order[l.Member] = i + 1
		}
	}
	place := func(m string) int {
		if i := order[m]; i > 0 {
			return i
		}
		return math.MaxInt
	}
	members := maps.Clone(q.By)
	if m := expected(r, q); m != "" {
		members[m] += 0 // that it answered nothing is worth a row
	}
	return slices.SortedFunc(maps.Keys(members), func(a, b string) int {
		// What has no name comes last.
		if (a == "") != (b == "") {
			return cmp.Compare(b, a)
		}
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
}

// answererName is a member as a reader of a table knows it.
func answererName(member string) string { return cmp.Or(member, "not named by the answer") }

// expected is who was to answer in the fault's time, if the drill asks for that.
func expected(r verdict.Result, q verdict.RequestsResult) string {
	asked := func(o verdict.ObjectiveResult) bool { return o.Name == "fallback" && o.Component == q.Component }
	if slices.ContainsFunc(r.Objectives, asked) {
		return q.Expected
	}
	return ""
}

// stageName says which stretch of the drill it is.
func stageName(name string) string {
	if name == "during" {
		return "during the fault"
	}
	return name
}

// requestsShown is how many requests of a class a page lists.
const requestsShown = 200

// requestList names the requests of a class.
type requestList struct {
	Name, Count string
	Rows        []verdict.RequestID
	// Shown is how many are listed if that is not all, More how many are not, and
	// where they are.
	Shown, More string
	// Open tells that it is short, and too grave to be overlooked.
	Open bool
}

// requestLists names what did not end well, what nobody notices first.
func requestLists(q verdict.RequestsResult) []requestList {
	var out []requestList
	for _, class := range []struct {
		key, name string
		grave     bool
	}{
		{"truncated", "Truncated answers", true},
		{"wrong", "Wrong answers", true},
		{"answered_twice", "Answered twice", true},
		{"failed", "Failed", false},
		{"unanswered", "Unanswered", false},
	} {
		if l := newRequestList(class.name, q.IDs[class.key], q.Unlisted[class.key]); len(l.Rows) > 0 {
			l.Open = class.grave && len(l.Rows) <= listOpen
			out = append(out, l)
		}
	}
	return out
}

// listOpen is how long a list may be to be shown without being asked for.
const listOpen = 12

func newRequestList(name string, ids []verdict.RequestID, unlisted uint64) requestList {
	shown := min(len(ids), requestsShown)
	l := requestList{Name: name, Count: counted(uint64(len(ids))+unlisted, "request")}
	for _, id := range ids[:shown] {
		l.Rows = append(l.Rows, verdict.RequestID{ID: dash(id.ID), Probe: id.Probe, By: dash(id.By), What: dash(id.What)})
	}
	if here := len(ids) - shown; here > 0 {
		l.More = counted(here, "request") + " in result.json"
	}
	if unlisted > 0 {
		if l.More != "" {
			l.More += ", "
		}
		l.More += counted(unlisted, "request") + " in the record's samples only"
	}
	if l.More != "" {
		l.Shown = "the first " + si.Count(shown) + " shown"
	}
	return l
}
