package verdict

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/timeline"
)

// judgeRequestObjective compares a target of requests with what was counted.
func (j *judge) judgeRequestObjective(r *ObjectiveResult) {
	rs := j.requests[r.Component]
	switch {
	case rs == nil || len(rs.asked) == 0:
		r.Why = "no request was sent"
	case !rs.faulted:
		r.Why = "no fault on " + r.Component + " was proven"
	case r.Name == "availability":
		rs.judgeAvailability(r)
	case r.Name == "fallback":
		rs.judgeFallback(r)
	case r.Name == "first-token-p95":
		rs.judgeFirstToken(r)
	case r.Name == "truncated":
		rs.judgeCount(r, rs.since(cut), "answers that broke off and looked like a success")
	case r.Name == "wrong-embeddings":
		rs.judgeCount(r, rs.since(wrongEmbedding), "embeddings of another model than the one that was asked for")
	case r.Name == "answered-twice":
		rs.judgeTwice(r)
	case r.Name == "fail-back":
		rs.judgeFailBack(r, j.ledBack(r.Component))
	default:
		r.Why = "unknown objective"
	}
}

// atLeast judges a share.
func (r *ObjectiveResult) atLeast(part, whole uint64, what string) {
	if whole == 0 {
		r.Why = "no request was " + what
		return
	}
	share := float64(part) / float64(whole)
	r.Measured, r.Verdict = &share, Missed
	if r.Limit != nil && share >= *r.Limit {
		r.Verdict = Met
	}
	r.Why = fmt.Sprintf("%s of %s requests (%s) were %s; at least %s is asked for",
		si.Count(part), si.Count(whole), percent(share), what, strconv.FormatFloat(100**r.Limit, 'f', -1, 64)+" %")
}

// percent writes a share so that no rounding makes it look met.
func percent(share float64) string {
	text := fmt.Sprintf("%.2f", float64(int(share*10000+1e-9))/100)
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return text + " %"
}

// judgeAvailability counts the requests of the fault's time whose answer began in
// that time. One that was still waiting when the fault was taken back counts if it
// had waited longer than any that was answered until then: behind a gateway that asks
// the next vendor after two seconds, one that waits for a second has not failed.
func (rs *requests) judgeAvailability(r *ObjectiveResult) {
	var patience timeline.Offset
	for _, a := range rs.asked {
		if a.Request.First > 0 && a.Request.First <= rs.reverting {
			patience = max(patience, a.Request.First-a.Start)
		}
	}
	var begun, all uint64
	for _, a := range rs.asked {
		answered := a.Request.First > 0 && a.Request.First <= rs.reverting
		waiting := !answered && a.End > rs.reverting && rs.reverting-a.Start <= patience
		if rs.stage(a.Start, a.End) != 1 || waiting {
			continue
		}
		all++
		if answered {
			begun++
		}
	}
	r.atLeast(begun, all, "answered, or began to be, while the fault was in force")
}

// judgeFallback counts who answered once the fault was proven. Where a fault hits only
// a part of the requests, what a faulted member answered unharmed had no reason to go
// anywhere else, and is left out.
func (rs *requests) judgeFallback(r *ObjectiveResult) {
	switch {
	case !rs.priority:
		r.Why = "the members of " + r.Component + " have no order: there is no next one"
		return
	case rs.Expected == "":
		r.Why, r.Verdict = "every member of "+r.Component+" was faulted: there is none to fall back to", Missed
		return
	case rs.narrowed && !rs.wire.named:
		r.Why = "the fault hits only a part of the requests, and no fault point saw which by their ids"
		return
	}
	var by, all, hit, spared uint64
	for _, a := range rs.asked {
		if a.Start < rs.effective || a.End > rs.reverting {
			continue
		}
		harmed := rs.wire.hit[a.Request.ID]
		if harmed {
			hit++
		}
		switch {
		case a.Request.Outcome != timeline.Whole:
		case rs.narrowed && !harmed && rs.wire.spared[a.Request.ID]:
			spared++
		default:
			all++
			if a.By == rs.Expected {
				by++
			}
		}
	}
	switch {
	case all == 0 && spared == 0:
		r.Why, r.Verdict = "nobody answered while the fault was in force", Missed
	case all == 0 && hit == 0:
		r.Why = "the fault hit none of the drill's requests"
	case all == 0:
		r.Why, r.Verdict = fmt.Sprintf("none of the %s requests that the fault hit was answered in full", si.Count(hit)), Missed
	default:
		r.atLeast(by, all, "answered by "+rs.Expected+", which is next in order")
	}
	if spared > 0 && all > 0 {
		r.Why += fmt.Sprintf(" (%s more were answered by a faulted member that the fault let answer)", si.Count(spared))
	}
}

// judgeFirstToken compares the time within which 95 % of the answers began. One
// that never began is later than any.
func (rs *requests) judgeFirstToken(r *ObjectiveResult) {
	var firsts []float64
	never := 0
	for _, a := range rs.asked {
		switch {
		case a.series.Op != "chat" || rs.stage(a.Start, a.End) != 1:
		case a.Request.First == 0:
			firsts = append(firsts, math.Inf(1))
			never++
		default:
			firsts = append(firsts, time.Duration(a.Request.First-a.Start).Seconds())
		}
	}
	if len(firsts) == 0 {
		r.Why = "no chat request was sent while the fault was in force"
		return
	}
	p95 := upper(firsts, 0.95)
	r.Verdict = Missed
	if math.IsInf(p95, 1) {
		r.Why = fmt.Sprintf("%s of %s answers never began while the fault was in force", si.Count(never), si.Count(len(firsts)))
		return
	}
	if r.Actual = (&Seconds{Lo: p95, Hi: &p95}); p95 <= r.Target {
		r.Verdict = Met
	}
	took := si.UpTo(p95)
	if r.Verdict == Missed && took == si.Duration(r.Target) { // no rounding may hide why
		took = strconv.FormatFloat(p95, 'g', -1, 64) + " s"
	}
	r.Why = fmt.Sprintf("95 %% of %s answers began within %s while the fault was in force", si.Count(len(firsts)), took)
	if never > 0 {
		r.Why += fmt.Sprintf(" (%s never began)", si.Count(never))
	}
	r.Why += "; target " + si.Duration(r.Target)
}

// since counts the requests that ended in a way, from the first fault on.
func (rs *requests) since(ended func(asked) bool) (n uint64) {
	for _, a := range rs.asked {
		if a.End >= rs.from && ended(a) {
			n++
		}
	}
	return n
}

func cut(a asked) bool { return a.Request.Outcome == timeline.Cut }

// wrongEmbedding tells whether an answer has an embedding that would corrupt an index;
// an answer without any cannot.
func wrongEmbedding(a asked) bool {
	return a.Request.Outcome == timeline.Wrong && a.series.Op == "embedding" && a.Request.Dimension > 0
}

// judgeCount compares a count with the most that is allowed.
func (rs *requests) judgeCount(r *ObjectiveResult, n uint64, what string) {
	measured := float64(n)
	r.Measured, r.Verdict = &measured, Missed
	if r.Limit != nil && measured <= *r.Limit {
		r.Verdict = Met
	}
	r.Why = fmt.Sprintf("%s: %s; at most %.0f allowed", what, si.Count(n), *r.Limit)
}

func (rs *requests) judgeTwice(r *ObjectiveResult) {
	if rs.AnsweredTwice == nil {
		if r.Why = "no fault point saw the traffic: whether a request was answered twice is not known"; rs.wire.seen {
			r.Why = "the requests' ids did not reach the fault point, neither in the body's field user nor in the header X-Request-Id: " +
				"whether a request was answered twice is not known"
		}
		return
	}
	rs.judgeCount(r, *rs.AnsweredTwice, "requests that were answered, and billed, more than once")
}

// judgeFailBack compares the time until the members of before answered again. undo says
// who led the requests back, if that was firedrill.
func (rs *requests) judgeFailBack(r *ObjectiveResult, undo string) {
	r.Actual = rs.FailBack
	flapped := ""
	if rs.Flaps > 0 {
		flapped = fmt.Sprintf("; in between, others answered again (%d ×)", rs.Flaps)
	}
	target := time.Duration(r.Target * float64(time.Second)).Seconds()
	switch {
	case r.Actual == nil && len(rs.home) > 0:
		r.Why = "requests never left " + strings.Join(slices.Sorted(maps.Keys(rs.home)), ", ") + ": there is nothing to come back from"
	case r.Actual == nil:
		r.Why = "who answered before the fault is not known"
	case r.Actual.Hi == nil:
		r.Verdict = Missed
		r.Why = fmt.Sprintf("the members of before did not answer again for good while the drill looked%s", flapped)
	case rs.Flaps > 0:
		r.Verdict, r.Why = Missed, "requests did not go back for good at once"+flapped+undo
	case *r.Actual.Hi <= target:
		r.Verdict = Met
		r.Why = fmt.Sprintf("the members of before answered again within %s of the fault's end%s; target %s", si.UpTo(*r.Actual.Hi), undo, si.Duration(r.Target))
	case r.Actual.Lo > target:
		r.Verdict = Missed
		r.Why = fmt.Sprintf("the members of before answered again %s after the fault's end%s; target %s", si.Interval(r.Actual.Lo, r.Actual.Hi), undo, si.Duration(r.Target))
	default:
		r.Why = fmt.Sprintf("the target of %s lies within the bounds of the measurement (%s): sample faster", si.Duration(r.Target), si.Interval(r.Actual.Lo, r.Actual.Hi))
	}
}

// ledBack says that the requests of a component were led back by firedrill itself, which
// had led them away: then nothing is known of the gateway's own way back.
func (j *judge) ledBack(component string) string {
	for _, m := range j.remedies {
		if !strings.Contains(m.Target+" ", " of "+component+" ") {
			continue
		}
		for _, e := range j.rec.Events {
			if u, ok := e.Payload.(timeline.Journaled); ok && u.Kind == "remedy" && strings.HasPrefix(u.For, m.Remedy+": ") {
				return ", led back by firedrill's undo of the remedy " + m.Remedy
			}
		}
	}
	return ""
}
