// Package reportstest makes realistic results for the tests of everything that
// shows them. The same call always gives the same result.
package reportstest

import (
	"fmt"
	"time"

	"firedrill/drills/verdict"
)

// Fixture is a result with a name.
type Fixture struct {
	Name   string
	Result verdict.Result
}

// All returns every fixture.
func All() []Fixture {
	return []Fixture{
		{"met", Met()},
		{"missed", Missed()},
		{"inconclusive", Inconclusive()},
		{"dirty", Dirty()},
		{"aborted", Aborted()},
		{"native", Native()},
		{"big", Big()},
		{"llm-met", LLMMet()},
		{"llm-missed", LLMMissed()},
		{"llm-partial", LLMPartial()},
		{"pods-lost", PodsLost()},
	}
}

// T0 is when the fault was effective in every fixture.
var t0 = time.Date(2026, 2, 14, 9, 12, 33, 301_224_118, time.UTC)

// at returns the instant s seconds after the fault.
func at(s float64) time.Time { return t0.Add(time.Duration(s * float64(time.Second))) }

// since is the inverse of at.
func since(t time.Time) float64 { return t.Sub(t0).Seconds() }

func ptr[T any](v T) *T { return &v }

func span(lo, hi float64) *verdict.Seconds { return &verdict.Seconds{Lo: lo, Hi: &hi} }

// instants is an interval of instants around s seconds after the fault.
func instants(lo, hi float64) verdict.Instants {
	return verdict.Instants{Lo: at(lo), Hi: ptr(at(hi))}
}

// drill is what the fixtures have in common, to be varied.
type drill struct {
	from, to   float64
	begin, end float64 // of the outage as fresh clients see it; end 0: it never ends
	runner     bool    // the runner heals it
	series     []series
	rate       float64 // acknowledged writes per second
	lost       int
	acked      uint64
	confirmed  bool
	target     float64
}

type series struct {
	probe, kind, client, via string
	judged                   bool
	every, rtt, timeout      float64
	lag                      float64 // how much later than the first this client recovers
	writes                   bool
	class                    string // of the bad samples
}

// endOf is when the outage ends for one client.
func (d drill) endOf(s series) float64 { return max(d.end+s.lag, 0.4) }

func orders() drill {
	return drill{
		from: -20.4, to: 58.7, begin: 0.004, end: 11.425, runner: true, rate: 614, confirmed: true, target: 300, acked: 48_211,
		series: []series{
			{"orders-write", "sql-write", "fresh", "orders-rw", true, 0.05, 0.0021, 1, 0, true, "refused"},
			{"orders-write", "sql-write", "pooled", "orders-rw", true, 0.05, 0.0008, 1, -0.08, true, "reset"},
			{"orders-read", "sql-read", "fresh", "orders-rw", true, 0.05, 0.0014, 1, -0.31, false, "refused"},
			{"orders-read", "sql-read", "pooled", "orders-rw", true, 0.05, 0.0005, 1, -0.28, false, "timeout"},
			{"status-page", "http", "fresh", "status", false, 0.25, 0.0041, 2, -9.8, false, "error"},
		},
	}
}

// Met is a primary that was killed and a runner that promoted a replica in time.
func Met() verdict.Result {
	d := orders()
	r := d.result()
	r.Verdict, r.ExitCode = verdict.Met, verdict.ExitMet
	r.Sentence = "Orders-db recovered in 11.43 s (± 0.02 s) against a target of 5 min; the runner promoted db-2; 0 of 48,211 acknowledged writes lost; everything was put back."
	r.Reasons = []string{"every objective was met", "the fault was confirmed by a witness", "everything was put back"}
	return r
}

// Missed is the same with an asynchronous replica that lagged: writes are lost.
func Missed() verdict.Result {
	d := orders()
	d.lost, d.end, d.target = 1604, 11.425, 5
	r := d.result()
	r.Verdict, r.ExitCode = verdict.Missed, verdict.ExitMissed
	r.Sentence = "Orders-db recovered in 11.43 s (± 0.02 s) against a target of 5 s; the runner promoted db-2; 1,604 of 48,211 acknowledged writes lost; everything was put back."
	r.Reasons = []string{
		"rto of orders-db: 11.43 s (± 0.02 s) is longer than the target of 5 s",
		"rpo of orders-db: 1,604 acknowledged writes are absent from db-2, the earliest acknowledged 2.61 s before the fault",
	}
	l := &r.Ledgers[0]
	l.Diverged, l.IDs["diverged"] = 1604, l.LostIDs
	r.Rejoin[0].Replicas = []string{"db-3"}
	r.Objectives[2].Verdict, r.Objectives[2].Why = verdict.Missed, "db-1 was kept out: its binary log holds 1,604 transactions that db-2 lacks"
	r.Rejoin[0].KeptOut = map[string]string{"db-1": "its binary log holds 1,604 transactions that db-2 lacks"}
	r.Rejoin[0].Errant = map[string]string{"db-1": "0-1-46608..48211"}
	return r
}

// Inconclusive is a fault that no witness saw.
func Inconclusive() verdict.Result {
	d := orders()
	d.confirmed, d.begin, d.end, d.runner = false, 0, 0, false
	r := d.result()
	r.Verdict, r.ExitCode = verdict.Inconclusive, verdict.ExitInconclusive
	r.Sentence = "Nothing is proven about orders-db: the fault primary-loss was never seen to act; everything was put back."
	r.Reasons = []string{"the fault primary-loss was not confirmed: db-1 still answered on 127.0.11.1:3306 after 5 s"}
	r.Recovery = verdict.Recovery{By: "none"}
	r.Picture.Marks = nil
	for i := range r.Objectives {
		o := &r.Objectives[i]
		o.Verdict, o.Actual, o.Lost, o.Series = verdict.Inconclusive, nil, nil, ""
		o.Why = "The fault that it counts from was not confirmed."
	}
	r.Remedies = nil
	return r
}

// Dirty is a drill whose revert failed.
func Dirty() verdict.Result {
	r := Met()
	r.Verdict, r.ExitCode = verdict.Dirty, verdict.ExitDirty
	r.Sentence = "Orders-db recovered in 11.43 s (± 0.02 s) against a target of 5 min, but db-1 is not proven to be put back."
	r.Cleanup = verdict.Cleanup{Verdict: verdict.Dirty, Leftovers: []string{
		"fault primary-loss on db-1: start mariadbd: exit status 1 after 30 s; run \"firedrill recover\"",
		"table firedrill_7f3k.orders on db-1: not reachable",
	}}
	r.Reasons = []string{"the revert of primary-loss failed: db-1 did not start within 30 s"}
	r.Faults[0].Revert, r.Faults[0].RevertedAt = "failed", nil
	r.Faults[0].Error = "revert process-kill db-1: start mariadbd: exit status 1 after 30 s"
	r.Objectives[2].Verdict, r.Objectives[2].Why = verdict.Missed, "rejoin db-1: dial 127.0.11.1:3306: connection refused"
	r.Rejoin[0].Error = "rejoin db-1: dial 127.0.11.1:3306: connection refused"
	return r
}

// Aborted is a drill that was stopped before any fault.
func Aborted() verdict.Result {
	d := orders()
	d.to, d.begin, d.end, d.runner = 0, 0, 0, false
	r := d.result()
	r.Verdict, r.ExitCode = verdict.Aborted, verdict.ExitAborted
	r.Sentence = "The drill on orders-db was stopped in the baseline, before any fault; everything was put back."
	r.Reasons = []string{"stopped by SIGINT during the baseline"}
	r.Recovery = verdict.Recovery{By: "none"}
	r.Faults[0] = verdict.FaultResult{Name: "primary-loss", Kind: "process-kill", Component: "orders-db", Targets: []string{}}
	r.Remedies, r.Rejoin, r.Ledgers = nil, nil, nil
	r.Picture.Faults, r.Picture.Marks, r.Picture.Phases, r.Picture.Gaps = nil, nil, nil, nil
	r.Baseline.Held = false
	r.Runner.Gaps, r.Runner.GapsSum, r.Runner.GapMax = 0, 0, 0
	for i := range r.Objectives {
		o := &r.Objectives[i]
		o.Verdict, o.Actual, o.Lost, o.Series = verdict.Inconclusive, nil, nil, ""
		o.Why = "The drill was stopped before the fault."
	}
	return r
}

// Native is a topology that healed itself.
func Native() verdict.Result {
	d := orders()
	d.runner, d.end, d.target = false, 3.218, 30
	r := d.result()
	r.Scenario, r.Topology = "patroni-leader-kill", "orders-patroni"
	r.Verdict, r.ExitCode = verdict.Met, verdict.ExitMet
	r.Sentence = "Orders-db recovered by itself in 3.22 s (± 0.02 s) against a target of 30 s; 0 of 48,211 acknowledged writes lost; everything was put back."
	r.Reasons = []string{"every objective was met"}
	return r
}

// Big is ten minutes with a dozen probes and scattered losses.
func Big() verdict.Result {
	d := orders()
	d.from, d.to, d.end, d.lost, d.target, d.acked = -60.2, 541.7, 48.61, 100_000, 60, 368_400
	d.series = nil
	for i := range 12 {
		s := series{
			probe: fmt.Sprintf("shop-%02d", i+1), kind: []string{"http", "tcp", "sql-read", "sql-write"}[i%4], via: "shop-rw",
			judged: i < 8, every: 0.05, rtt: 0.0006 * float64(i+1), timeout: 1, lag: -2.3 * float64(i), class: []string{"refused", "timeout", "read-only"}[i%3],
		}
		for _, c := range []string{"fresh", "pooled"} {
			s.client = c
			d.series = append(d.series, s)
		}
	}
	r := d.result()
	r.Verdict, r.ExitCode = verdict.Missed, verdict.ExitMissed
	r.Sentence = "Orders-db recovered in 48.61 s (± 0.02 s) against a target of 60 s; the runner promoted db-2; 100,000 of 368,400 acknowledged writes lost; everything was put back."
	l := &r.Ledgers[0]
	l.LostIDs = make([]string, 0, 100_000)
	for i := range 100_000 { // every other one: nothing to join into ranges
		l.LostIDs = append(l.LostIDs, fmt.Sprintf("%d:%d", i%4+1, 120_000+i/4*2))
	}
	return r
}
