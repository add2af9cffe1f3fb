package reportstest

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// llm is a drill on a model that several vendors serve in order of priority.
type llm struct {
	// from, reverting and to are in seconds since the fault was effective.
	from, reverting, to, every float64
	fault                      string
	answer                     func(series string, at, chance float64) answer
}

// answer is what came of one request.
type answer struct {
	by, outcome, class, what string
	twice                    bool
}

// request is one request with its answer: when it was sent, how long its first
// token took (0: none came), and when it ended.
type request struct {
	answer
	id             string
	at, first, end float64
}

var llmSeries = []string{"chat-stream", "chat", "embedding"}

const llmRun = "20260214T091212Z-llm-vendor-outage-5c1d"

// tokens are those of every whole request; prices are for a million of them.
var (
	tokens = [2]int64{21, 8}
	prices = map[string][2]float64{"vendor-a": {0.15, 0.6}, "vendor-b": {0.25, 1.25}}
)

// LLMMet is a gateway that turned to the next vendor at once.
func LLMMet() verdict.Result {
	d := llm{
		from: -5.1, reverting: 20.3, to: 48.2, every: 0.2, fault: "status 503 for all requests to vendor-a",
		answer: func(_ string, at, _ float64) answer {
			a := answer{by: "vendor-a", outcome: "whole", class: "ok"}
			switch {
			case at > -0.05 && at < 0.3:
				return answer{outcome: "failed", class: "error", what: "503 Service Unavailable: upstream said 503"}
			case at > 0 && at < 23.1:
				a.by = "vendor-b"
			}
			return a
		},
	}
	return d.result()
}

// LLMMissed is a gateway that does not notice a stream that breaks off: whoever
// asked believes that the answer was whole.
func LLMMissed() verdict.Result {
	n := 0
	d := llm{
		from: -5.1, reverting: 20.3, to: 48.2, every: 0.2, fault: "streams of vendor-a end after 3 pieces, without [DONE]",
		answer: func(series string, at, _ float64) answer {
			a := answer{by: "vendor-a", outcome: "whole", class: "ok"}
			switch {
			case series == "chat-stream" && at > 0 && n < 3:
				n++
				return answer{by: "vendor-a", outcome: "truncated", class: "truncated", what: "the stream ended after 3 pieces, without a finish reason and without [DONE]"}
			case at > 0.6 && at < 23.7, at > 27.4 && at < 27.7:
				a.by = "vendor-b"
			}
			return a
		},
	}
	return d.result()
}

// LLMPartial is a vendor of which three answers in ten are errors, behind a gateway
// that asks nobody else.
func LLMPartial() verdict.Result {
	d := llm{
		from: -5.1, reverting: 41.3, to: 62.4, every: 0.1, fault: "status 500 for 30 % of the requests to vendor-a",
		answer: func(series string, at, chance float64) answer {
			a := answer{by: "vendor-a", outcome: "whole", class: "ok"}
			switch {
			case at < 0 || at >= 41.3:
			case chance < 0.3:
				return answer{outcome: "failed", class: "error", what: "500 Internal Server Error"}
			case chance < 0.302:
				return answer{outcome: "unanswered", class: "timeout", what: "no answer within 3 s"}
			case chance < 0.308 && series == "embedding":
				return answer{by: "vendor-b", outcome: "wrong", class: "wrong-answer", what: "768 dimensions, want 1536"}
			case chance < 0.313:
				a.twice = true
			}
			return a
		},
	}
	return d.result()
}

func (d llm) result() verdict.Result {
	o := orders()
	o.from, o.to, o.end, o.runner = d.from, d.to, 0, false
	r := o.result()
	r.RunID, r.Scenario, r.Topology = llmRun, "llm-vendor-outage", "assistants"
	r.Description, r.Owner = "The first vendor of a model goes away; the next in order answers.", "AI platform"
	r.Controls = []string{"ISO/IEC 42001:2023 A.10.3"}
	r.Ledgers, r.Remedies, r.Probes, r.Caveats = nil, nil, nil, []string{}
	r.Baseline = verdict.BaselineResult{Held: true, Length: 5, Samples: 3 * every(0, 5, d.every), FalseAlarmHi: 3 / (15 / d.every)}
	r.Runner.Gaps, r.Runner.GapsSum, r.Runner.GapMax = 0, 0, 0
	delete(r.Evidence.Files, "ledger.orders.bin")
	r.Rejoin = []verdict.RejoinResult{{Component: "llm", Primary: "vendor-a", Replicas: []string{"vendor-b", "own"}, Took: 0.11}}
	r.Faults = []verdict.FaultResult{{
		Name: "vendor-gone", Kind: "llm-fault", Component: "llm", Targets: []string{"vendor-a"}, Doing: d.fault, Effective: ptr(instants(-0.03, 0)),
		ConfirmedBy: "a request of its own to 127.0.21.1:8101 met it", RevertedAt: ptr(at(d.reverting + 0.04)), Revert: "clean",
	}}
	r.Recovery = verdict.Recovery{By: "none", Phases: []verdict.Phase{}}
	r.Picture = d.picture()
	asked := map[string][]request{}
	for i, s := range llmSeries {
		asked[s] = d.requests(s, uint64(i))
		p, lane := d.probe(s, asked[s])
		r.Probes, r.Picture.Lanes = append(r.Probes, p), append(r.Picture.Lanes, lane)
	}
	r.Requests = []verdict.RequestsResult{d.accounted(asked)}
	d.judge(&r)
	return r
}

// requests asks on a fixed schedule.
func (d llm) requests(series string, seed uint64) []request {
	rnd := rand.New(rand.NewPCG(seed, 31))
	var out []request
	for i := range every(d.from, d.to, d.every) {
		x := d.from + float64(i)*d.every + 0.011*float64(seed)
		q := request{answer: d.answer(series, x, rnd.Float64()), id: fmt.Sprintf("%s-%s-%d", llmRun, series, i), at: x}
		took := 0.09 * math.Exp(0.3*rnd.NormFloat64())
		switch q.outcome {
		case "whole", "truncated", "wrong":
			q.first, q.end = took, x+1.4*took
		case "unanswered":
			q.end = x + 3
		default:
			q.end = x + 0.02
		}
		out = append(out, q)
	}
	return out
}

// probe is the series with its outages, and its lane in the picture.
func (d llm) probe(series string, asked []request) (verdict.ProbeResult, verdict.Lane) {
	kind := map[string]string{"embedding": "llm-embedding"}[series]
	p := verdict.ProbeResult{
		Name: series, Kind: cmp.Or(kind, "llm-chat"), Component: "llm", Client: "fresh", Via: "gateway", Judged: true, Every: d.every,
		Samples: len(asked), LateP99: 0.0011, RoundTrip: 0.126, Classes: map[string]int{}, Outages: []verdict.Outage{}, Total: *span(0, 0),
	}
	lane := verdict.Lane{Name: series + "/fresh", Judged: true, Timeout: 3}
	good, from := asked[0], d.from
	var first, last *request // of the outage under way
	for i, q := range asked {
		p.Classes[q.class]++
		lane.Points = append(lane.Points, verdict.Point{At: q.at, Took: q.end - q.at, Class: q.class})
		switch {
		case q.class != "ok" && first == nil:
			first, last = &asked[i], &asked[i]
		case q.class != "ok":
			last = &asked[i]
		case first != nil:
			p.Outages = append(p.Outages, verdict.Outage{
				Start: instants(good.at, first.end), End: instants(last.at, q.end), Bad: int((last.at-first.at)/d.every+0.5) + 1,
				Length: *span(max(last.at-first.end, 0), q.end-good.at), Class: first.class, Cause: "vendor-gone",
			})
			lane.Bands = append(lane.Bands, verdict.Band{State: "good", From: from, To: good.at}, verdict.Band{
				State: "bad", Class: first.class, From: first.end, FromWidth: first.end - good.at, To: max(last.at, first.end), ToWidth: q.end - max(last.at, first.end),
			})
			first, good, from = nil, q, q.end
		default:
			good = q
		}
	}
	lane.Bands = append(lane.Bands, verdict.Band{State: "good", From: from, To: d.to})
	p.OK = p.Classes["ok"]
	if n := len(p.Outages); n > 5 {
		d.partial(&p, asked)
	} else if n > 0 {
		p.Recovery = span(since(p.Outages[n-1].End.Lo), since(*p.Outages[n-1].End.Hi)+0.03)
	} else {
		p.Recovery = span(0, 2*d.every+0.1)
	}
	return p, lane
}

// partial makes one stretch of all outages.
func (d llm) partial(p *verdict.ProbeResult, asked []request) {
	last := p.Outages[len(p.Outages)-1]
	s := verdict.PartialResult{Start: p.Outages[0].Start, End: last.End, Class: "error"}
	for _, q := range asked {
		if q.at < since(s.Start.Lo) || q.at > since(s.End.Lo) {
			continue
		}
		if s.Samples++; q.class != "ok" {
			s.Bad++
		}
	}
	s.Share = float64(s.Bad) / float64(s.Samples)
	p.Partial = []verdict.PartialResult{s}
	p.Recovery = &verdict.Seconds{Lo: d.reverting}
}

// conclude sums up the objectives.
func (d llm) conclude(r *verdict.Result) {
	r.Verdict, r.ExitCode, r.Reasons = verdict.Met, verdict.ExitMet, []string{"every objective was met"}
	for _, o := range r.Objectives {
		if o.Verdict != verdict.Missed {
			continue
		}
		if r.Verdict == verdict.Met {
			r.Verdict, r.ExitCode, r.Reasons = verdict.Missed, verdict.ExitMissed, nil
		}
		r.Reasons = append(r.Reasons, o.Name+" of llm: "+o.Why)
	}
	q, rto := r.Requests[0], r.Objectives[0]
	recovered, healed := "recovered in "+si.Interval(rto.Actual.Lo, rto.Actual.Hi).String()+" against a target of 10 s", "; the topology healed itself"
	if rto.Actual.Hi == nil {
		p := r.Probes[0].Partial[0]
		recovered = fmt.Sprintf("had not recovered after %s against a target of 10 s (a partial outage: %.0f %% of %s requests failed)",
			si.Duration(rto.Actual.Lo), 100*p.Share, si.Count(p.Samples))
		healed = "; nothing healed it"
	} else {
		r.Recovery = verdict.Recovery{By: "topology", Phases: []verdict.Phase{
			{Name: "inject", From: -0.03, To: 0},
			{Name: "first client error", From: 0, To: 0.1},
			{Name: "first success", From: 0.1, To: *rto.Actual.Hi},
			{Name: "stable", From: *rto.Actual.Hi, To: *rto.Actual.Hi + 3},
		}}
	}
	r.Sentence = fmt.Sprintf("Llm %s%s; %s of %s requests were not answered whole; everything was put back.",
		recovered, healed, si.Count(q.Requests-q.Whole), si.Count(q.Requests))
}

func (d llm) picture() verdict.Picture {
	p := verdict.Picture{
		T0: t0, From: d.from, To: d.to,
		Faults: []verdict.Span{{Name: "vendor-gone", Kind: "llm-fault", Detail: d.fault, From: -0.03, To: d.reverting + 0.04}},
		Marks:  []verdict.Mark{{Name: "vendor-gone effective", At: 0}},
	}
	for i, m := range []string{"vendor-a", "vendor-b", "own"} {
		role := []string{"primary", "replica", "replica"}[i]
		p.Roles = append(p.Roles, verdict.RoleLane{Component: "llm", Member: m, Spans: []verdict.Span{{Name: role, Kind: role, From: d.from, To: d.to}}})
	}
	for _, ph := range []verdict.Phase{
		{Name: "baseline", From: d.from, To: -0.2},
		{Name: "fault", From: -0.2, To: 0.01},
		{Name: "stabilise", From: 0.01, To: d.reverting},
		{Name: "revert", From: d.reverting, To: d.reverting + 0.1},
		{Name: "steady", From: d.reverting + 0.1, To: d.to},
	} {
		p.Phases = append(p.Phases, verdict.Span{Name: ph.Name, Kind: ph.Name, From: ph.From, To: ph.To})
	}
	return p
}
