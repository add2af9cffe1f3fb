package reportstest

import (
	"fmt"
	"slices"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// accounted tallies all requests as the verdict does.
func (d llm) accounted(asked map[string][]request) verdict.RequestsResult {
	r := verdict.RequestsResult{
		Component: "llm", Expected: "vendor-b", Tally: verdict.Tally{By: map[string]uint64{}}, AnsweredTwice: ptr(uint64(0)),
		IDs: map[string][]verdict.RequestID{}, FailBack: span(3.38, 3.72),
	}
	for _, name := range []string{"before", "during", "after"} {
		st := verdict.RequestStage{Name: name, Tally: verdict.Tally{By: map[string]uint64{}}, Cost: ptr(0.0)}
		if name != "before" { // nobody looked on then
			st.Billed, st.BilledCost, st.Other = ptr(int64(0)), ptr(0.0), ptr(int64(0))
		}
		r.Stages = append(r.Stages, st)
	}
	*r.Stages[1].Other = tokens[0] + tokens[1] // the witness
	firsts := make([][]float64, 3)
	for _, series := range llmSeries {
		for _, q := range asked[series] {
			i := d.stage(q.at)
			tally(&r.Tally, q)
			account(&r.Stages[i], q, series)
			if q.first > 0 && series != "embedding" {
				firsts[i] = append(firsts[i], q.first)
			}
			id := verdict.RequestID{ID: q.id, Probe: series + "/fresh", By: q.by, What: q.what}
			if q.outcome != "whole" {
				r.IDs[q.outcome] = append(r.IDs[q.outcome], id)
			}
			if q.twice {
				*r.AnsweredTwice++
				r.IDs["answered_twice"] = append(r.IDs["answered_twice"], id)
			}
		}
	}
	for i, f := range firsts {
		slices.Sort(f)
		st := &r.Stages[i]
		st.FirstTokenP50, st.FirstTokenP95, st.FirstTokenP99 = ptr(f[len(f)/2]), ptr(f[len(f)*95/100]), ptr(f[len(f)*99/100])
	}
	return r
}

func (d llm) stage(at float64) int {
	switch {
	case at < -0.03:
		return 0
	case at < d.reverting:
		return 1
	}
	return 2
}

func tally(t *verdict.Tally, q request) {
	t.Requests++
	if q.first > 0 {
		t.Begun++
	}
	switch q.outcome {
	case "whole":
		t.Whole++
		t.By[q.by]++
	case "truncated":
		t.Truncated++
	case "wrong":
		t.Wrong++
	case "unanswered":
		t.Unanswered++
	default:
		t.Failed++
	}
}

func account(s *verdict.RequestStage, q request, series string) {
	tally(&s.Tally, q)
	if q.by == "" {
		return
	}
	in, out := tokens[0], tokens[1]
	price := (float64(in)*prices[q.by][0] + float64(out)*prices[q.by][1]) / 1e6
	if q.outcome != "truncated" { // what breaks off has not counted its tokens
		s.TokensIn, s.TokensOut, *s.Cost = s.TokensIn+in, s.TokensOut+out, *s.Cost+price
	}
	for times := 0; s.Billed != nil && (times == 0 || times == 1 && q.twice); times++ {
		*s.Billed, *s.BilledCost = *s.Billed+in+out, *s.BilledCost+price
	}
	if series == "chat-stream" {
		s.Stall = max(s.Stall, 0.3*(q.end-q.at-q.first))
	}
}

// judge compares the scenario's targets with what was counted.
func (d llm) judge(r *verdict.Result) {
	q := r.Requests[0]
	during, after := q.Stages[1], q.Stages[2]
	rto := verdict.ObjectiveResult{Name: "rto", Component: "llm", Target: 10, Fault: "vendor-gone", Verdict: verdict.Met}
	for _, p := range r.Probes {
		if rto.Actual == nil || p.Recovery.Hi == nil || p.Recovery.Lo > rto.Actual.Lo {
			rto.Actual, rto.Series = p.Recovery, p.Name+"/fresh"
		}
	}
	rto.Why = fmt.Sprintf("recovered in %s against a target of 10 s (slowest: %s)", si.Interval(rto.Actual.Lo, rto.Actual.Hi), rto.Series)
	if rto.Actual.Hi == nil {
		p := r.Probes[0].Partial[0]
		rto.Verdict = verdict.Missed
		rto.Why = fmt.Sprintf("%s had not recovered %s after the fault, when the drill stopped waiting (a partial outage: %.0f %% of %d requests failed)",
			rto.Series, si.Duration(rto.Actual.Lo), 100*p.Share, p.Samples)
	}
	r.Objectives = []verdict.ObjectiveResult{
		rto,
		least("availability", 0.95, during.Begun, during.Requests, "answered, or began to be, while the fault was in force"),
		least("fallback", 0.95, during.By["vendor-b"], during.Whole, "answered by vendor-b, which is next in order"),
		{
			Name: "first-token-p95", Component: "llm", Target: 2, Actual: span(*during.FirstTokenP95, *during.FirstTokenP95), Verdict: verdict.Met,
			Why: fmt.Sprintf("95 %% of the answers began within %s while the fault was in force (half of them within %s); target 2 s", si.UpTo(*during.FirstTokenP95), si.Duration(*during.FirstTokenP50)),
		},
		most("truncated", q.Truncated, "answers broke off and looked like a success"),
		most("wrong-embeddings", uint64(len(q.IDs["wrong"])), "embeddings were not those of the model that was asked for"),
		most("answered-twice", *q.AnsweredTwice, "requests were answered, and billed, more than once"),
		{
			Name: "fail-back", Component: "llm", Target: 30, Actual: q.FailBack, Verdict: verdict.Met,
			Why: fmt.Sprintf("the members of before answered again within %s of the fault's end; target 30 s", si.Duration(*q.FailBack.Hi)),
		},
	}
	if rto.Actual.Hi == nil { // the gateway asks nobody else
		fallback, back := &r.Objectives[2], &r.Objectives[7]
		fallback.Measured, fallback.Why = nil, fmt.Sprintf("none of the %s requests that the fault hit was answered in full", si.Count(during.Requests-during.Whole))
		r.Requests[0].FailBack, back.Actual = nil, nil
		back.Verdict, back.Why = verdict.Inconclusive, "requests never left vendor-a: there is nothing to come back from"
	}
	r.Objectives = append(r.Objectives, verdict.ObjectiveResult{Name: "rejoin", Component: "llm", Verdict: verdict.Met, Why: "every member is back"})
	if q.Truncated > 0 && after.By["vendor-b"] > 0 {
		o := &r.Objectives[7]
		r.Requests[0].Flaps = 1
		o.Verdict, o.Why = verdict.Missed, "requests did not go back for good at once; it went to others again 1 times in between"
	}
	d.conclude(r)
}

func least(name string, limit float64, part, whole uint64, what string) verdict.ObjectiveResult {
	o := verdict.ObjectiveResult{Name: name, Component: "llm", Limit: &limit, Measured: ptr(float64(part) / float64(whole)), Verdict: verdict.Met}
	if *o.Measured < limit {
		o.Verdict = verdict.Missed
	}
	o.Why = fmt.Sprintf("%s of %s requests were %s; at least %.0f %% is asked for", si.Count(part), si.Count(whole), what, 100*limit)
	return o
}

func most(name string, n uint64, what string) verdict.ObjectiveResult {
	o := verdict.ObjectiveResult{Name: name, Component: "llm", Limit: ptr(0.0), Measured: ptr(float64(n)), Verdict: verdict.Met}
	if n > 0 {
		o.Verdict = verdict.Missed
	}
	o.Why = fmt.Sprintf("%s %s; at most 0 allowed", si.Count(n), what)
	return o
}
