package reportstest

import (
	"fmt"
	"strings"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

func (d drill) result() verdict.Result {
	r := verdict.Result{
		Schema: verdict.Schema, RunID: "20260214T091212Z-mysql-primary-loss-7f3k", Scenario: "mysql-primary-loss", Topology: "orders-lab",
		StartedAt: at(d.from - 1.7), FinishedAt: at(d.to + 2.2), Seed: 7,
		Objectives: d.objectives(), Recovery: d.recovery(), Faults: []verdict.FaultResult{d.fault()}, Remedies: d.remedies(),
		Ledgers: []verdict.LedgerResult{d.ledger()},
		Rejoin: []verdict.RejoinResult{{
			Component: "orders-db", Primary: "db-2", Replicas: []string{"db-1", "db-3"},
			KeptOut: map[string]string{}, Errant: map[string]string{}, Took: 2.41,
		}},
		Baseline: verdict.BaselineResult{Held: true, Length: 20, Samples: 1680, Bad: 0, FalseAlarmHi: 0.00178},
		Cleanup:  verdict.Cleanup{Verdict: "clean", Leftovers: []string{}},
		Caveats: []string{
			"The runner and the servers shared one host: a stall of the host stalls both.",
			"status-page informs only; it did not decide recovery.",
		},
		Runner: verdict.RunnerResult{Version: "0.1.0 (5e54ca5)", Host: "drill-1", Gaps: 1, GapsSum: 0.212, GapMax: 0.212},
		Evidence: verdict.EvidenceResult{
			PlanDigest:   strings.Repeat("3f9ac1d07b52e684", 4),
			RecordDigest: strings.Repeat("b81e40c7f2a9365d", 4),
			Files: map[string]string{
				"samples.bin": strings.Repeat("0c4be1f7a9d2", 5) + "77e1", "ledger.orders.bin": strings.Repeat("e19f60b2c8a7", 5) + "04da",
			},
			Events: 143, Whole: true,
		},
		Description: "The primary of the orders database is killed. The runner must promote a replica that has every acknowledged write.",
		Frequency:   "monthly", Owner: "team-orders", Operator: "mira", Controls: []string{"ISO 22301 8.5", "DORA Art. 25"},
		Picture: d.picture(),
	}
	for _, s := range d.series {
		r.Probes = append(r.Probes, d.probe(s))
	}
	return r
}

func (d drill) objectives() []verdict.ObjectiveResult {
	rto := verdict.ObjectiveResult{
		Name: "rto", Component: "orders-db", Target: d.target, Verdict: verdict.Met, Actual: span(d.end-0.015, d.end+0.015),
		Series: d.slowest(), Fault: "primary-loss",
		Why: fmt.Sprintf("recovered in %s against a target of %s (slowest: %s)", d.took(), si.Duration(d.target), d.slowest()),
	}
	if d.end > d.target {
		rto.Verdict, rto.Why = verdict.Missed, fmt.Sprintf("recovered in %s, target %s (slowest: %s)", d.took(), si.Duration(d.target), d.slowest())
	}
	rpo := verdict.ObjectiveResult{
		Name: "rpo", Component: "orders-db", Verdict: verdict.Met, Actual: span(0, 0), Lost: ptr(uint64(d.lost)),
		Why: "0 of 48,211 acknowledged writes lost",
	}
	if d.lost > 0 {
		rpo.Verdict, rpo.Actual = verdict.Missed, span(2.604, 2.611)
		rpo.Why = fmt.Sprintf("%s of %s acknowledged writes lost, the earliest %s before the fault; target 0 s", si.Count(d.lost), si.Count(d.acked), si.Interval(2.604, ptr(2.611)))
	}
	return []verdict.ObjectiveResult{rto, rpo, {
		Name: "rejoin", Component: "orders-db", Verdict: verdict.Met, Why: "every member is back and follows the primary",
	}}
}

func (d drill) took() si.Reading { return si.Interval(d.end-0.015, ptr(d.end+0.015)) }

func (d drill) slowest() string { return d.series[0].probe + "/" + d.series[0].client }

func (d drill) recovery() verdict.Recovery {
	if !d.runner {
		return verdict.Recovery{By: "topology", Phases: []verdict.Phase{
			{Name: "inject", From: -0.011, To: 0},
			{Name: "first client error", From: 0, To: 0.031},
			{Name: "detect", From: 0.031, To: 0.562},
			{Name: "first success", From: 0.562, To: d.end + 0.015},
			{Name: "stable", From: d.end + 0.015, To: d.end + 3},
		}}
	}
	return verdict.Recovery{By: "runner", Phases: []verdict.Phase{
		{Name: "inject", From: -0.011, To: 0},
		{Name: "first client error", From: 0, To: 0.031},
		{Name: "detect", From: 0.031, To: 0.562},
		{Name: "fence", From: 8.031, To: 8.642},
		{Name: "choose", From: 8.642, To: 8.801},
		{Name: "drain", From: 8.801, To: 9.93},
		{Name: "promote", From: 9.93, To: 10.402},
		{Name: "repoint", From: 10.402, To: 10.96},
		{Name: "switch route", From: 10.96, To: 11.211},
		{Name: "first success", From: 11.211, To: d.end + 0.015},
		{Name: "stable", From: d.end + 0.015, To: d.end + 3},
	}}
}

func (d drill) fault() verdict.FaultResult {
	f := verdict.FaultResult{
		Name: "primary-loss", Kind: "process-kill", Component: "orders-db", Targets: []string{"db-1"},
		Doing: "SIGKILL to mariadbd (pid 4711) and its supervisor on db-1", Effective: ptr(instants(-0.011, 0)),
		ConfirmedBy: "tcp 127.0.11.1:3306 refused a connection, and pid 4711 is gone", RevertedAt: ptr(at(d.to - 16.1)), Revert: "clean",
	}
	if !d.confirmed {
		f.Effective, f.ConfirmedBy = nil, ""
		f.Error = "confirm process-kill on db-1: 127.0.11.1:3306 still answers after 5 s"
	}
	return f
}

func (d drill) remedies() []verdict.RemedyResult {
	if !d.runner {
		return nil
	}
	step := func(name, member string, from, to float64, detail string) verdict.StepResult {
		return verdict.StepResult{Name: name, Member: member, From: from - 8.031, Took: to - from, Detail: detail}
	}
	return []verdict.RemedyResult{{
		Name: "promote-replica", Kind: "mysql-promote", Target: "orders-db", StartedAt: at(8.031), Took: 3.18, Outcome: "done",
		Steps: []verdict.StepResult{
			step("fence", "db-1", 8.031, 8.642, "does not answer; route closed first"),
			step("choose", "", 8.642, 8.801, "db-2 received 0-1-48211, db-3 0-1-48207"),
			step("drain", "db-2", 8.801, 9.93, "MASTER_GTID_WAIT('0-1-48211', 30) = 0"),
			step("promote", "db-2", 9.93, 10.402, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0"),
			step("repoint", "db-3", 10.402, 10.96, "CHANGE MASTER TO MASTER_HOST='127.0.11.2'"),
			step("switch route", "orders-rw", 10.96, 11.211, "haproxy: db-2 up, db-1 maint; 14 sessions cut"),
		},
	}}
}

func (d drill) ledger() verdict.LedgerResult {
	l := verdict.LedgerResult{
		Name: "orders-write", Component: "orders-db", Attempted: d.acked + 8, Acknowledged: d.acked, Rejected: 5, Indeterminate: 3,
		Lost: uint64(d.lost), LostIDs: []string{}, Stale: 41, StaleLongest: 0.183,
		IDs: map[string][]string{"indeterminate": {"1:12055", "2:12051", "4:12057"}},
		ReadBack: []verdict.ReadBackResult{
			{Member: "db-2", When: "recovered", Primary: true, Rows: d.acked + 1 - uint64(d.lost), Took: 0.38},
			{Member: "db-3", When: "recovered", Rows: d.acked + 1 - uint64(d.lost), Took: 0.41},
			{Member: "db-1", When: "rejoined", Rows: d.acked + 1, Took: 0.40},
		},
		RecoveryPoint: span(0, 0),
	}
	if d.lost > 0 {
		l.LostIDs = []string{"1:11652-12052", "2:11650-12050", "3:11655-12055", "4:11653-12053"}
		l.FirstLostAt, l.LastLostAt = ptr(at(-2.6074)), ptr(at(-0.0012))
		l.RecoveryPoint = span(2.604, 2.611)
	}
	return l
}

// every is how many samples fit between two moments.
func every(from, to, step float64) int { return int((to - from) / step) }

func (d drill) probe(s series) verdict.ProbeResult {
	n := every(d.from, d.to, s.every)
	p := verdict.ProbeResult{
		Name: s.probe, Kind: s.kind, Component: "orders-db", Client: s.client, Via: s.via, Judged: s.judged, Every: s.every,
		Samples: n, OK: n, NoData: 4, LateP50: 0.00007, LateP99: 0.0013, RoundTrip: s.rtt, Classes: map[string]int{},
		Total: *span(0, 0), Outages: []verdict.Outage{},
	}
	p.OK -= p.NoData
	if d.end > 0 {
		end := d.endOf(s)
		bad := every(d.begin, end, s.every)
		p.OK -= bad
		p.Classes[s.class] = bad
		p.Outages = append(p.Outages, verdict.Outage{
			Start: instants(-0.012, 0.031), End: instants(end-0.015, end+0.015), Length: *span(end-0.046, end+0.027), Bad: bad, Class: s.class, Cause: "primary-loss",
		})
		p.Total, p.Recovery = *span(end-0.046, end+0.027), span(end-0.015, end+0.015)
	}
	p.Classes["ok"], p.Classes["no-data"] = p.OK, p.NoData
	return p
}
