package reportstest

import "firedrill/drills/verdict"

// PodsLost are two pods that were killed at once: one is replaced soon, the other by
// one that is asked late whether it is ready.
func PodsLost() verdict.Result {
	d := orders()
	d.from, d.to, d.end, d.target, d.runner = -10.2, 32.1, 1.612, 30, false
	d.series = []series{
		{"shop-api", "http", "fresh", "api-service", true, 0.05, 0.0021, 1, 0, false, "refused"},
		{"shop-api", "http", "pooled", "api-service", true, 0.05, 0.0011, 1, -0.6, false, "reset"},
	}
	r := d.result()
	r.RunID, r.Scenario, r.Topology = "20260214T091212Z-pod-kill-91ab", "pod-kill", "shop"
	r.Description, r.Owner = "Two of three pods of the API are killed without grace; Kubernetes replaces them.", "team-shop"
	r.Verdict, r.ExitCode = verdict.Met, verdict.ExitMet
	r.Sentence = "Api recovered in 1.61 s (± 0.02 s) against a target of 30 s; the topology healed itself; everything was put back."
	r.Reasons = []string{"RTO of api: recovered in 1.61 s (± 0.02 s) against a target of 30 s (slowest: shop-api/fresh)"}
	r.Objectives = append(r.Objectives[:1], r.Objectives[2])
	r.Objectives[1].Why = "every member answers"
	r.Ledgers, r.Controls, r.Caveats = nil, nil, []string{}
	delete(r.Evidence.Files, "ledger.orders.bin")
	r.Runner.Gaps, r.Runner.GapsSum, r.Runner.GapMax, r.Picture.Gaps, r.Picture.Writes = 0, 0, 0, nil, nil
	f := &r.Faults[0]
	f.Name, f.Kind, f.Targets = "kill-pods", "pod-kill", []string{"api-6d9f-2xk8q", "api-6d9f-vw4nt"}
	f.Doing, f.ConfirmedBy, f.Revert = "delete 2 of 3 pods of deployment/api, grace 0", "the API server: the pods are gone, by their uid", "gone"
	r.Rejoin = []verdict.RejoinResult{{Component: "api", Replicas: []string{}, KeptOut: map[string]string{}, Errant: map[string]string{}, Took: 0.2}}
	r.Picture.Faults[0].Name, r.Picture.Faults[0].Kind, r.Picture.Faults[0].Detail = f.Name, f.Kind, f.Doing
	for i := range r.Objectives {
		r.Objectives[i].Component = "api"
	}
	for i := range r.Probes {
		r.Probes[i].Component = "api"
		for k := range r.Probes[i].Outages {
			r.Probes[i].Outages[k].Cause = f.Name
		}
	}
	r.Objectives[0].Fault = f.Name
	r.WatchLag = ptr(0.011)
	r.Losses = []verdict.LossResult{podSoon(), podLate()}
	r.Picture.Roles = podRoles(d.from, d.to, f.Targets)
	r.Picture.Marks = []verdict.Mark{
		{Name: "kill-pods effective"}, {Name: f.Targets[0] + " lost", At: -0.008}, {Name: "replaced", At: 9.402}, {Name: "stable", At: d.end + 3},
	}
	return r
}

func podSoon() verdict.LossResult {
	return verdict.LossResult{
		Component: "api", Member: "api-6d9f-2xk8q", Node: "node-a", How: "gone", Cause: "kill-pods", At: at(-0.008),
		Replacement: "api-6d9f-s7qzd", ReplacementNode: "node-b", Total: *span(1.612, 1.623), WatchLag: ptr(0.011),
		Phases: []verdict.LossPhase{
			{Name: verdict.LossKill, From: -0.021, To: -0.008},
			{Name: verdict.LossEndpoint, From: -0.008, To: 0.202, Samples: 9, Failed: 3, FailedFrom: ptr(0.004), FailedTo: ptr(0.107)},
			{Name: verdict.LossCreated, From: -0.008, To: 0.011, Samples: 1},
			{Name: verdict.LossScheduled, From: 0.011, To: 0.019, Samples: 1},
			{Name: verdict.LossImage, From: 0.019, To: 0.31, Samples: 12, Failed: 3, FailedFrom: ptr(0.057), FailedTo: ptr(0.211)},
			{Name: verdict.LossStarted, From: 0.31, To: 0.52, Samples: 8},
			{Name: verdict.LossReady, From: 0.52, To: 1.58, Samples: 42},
			{Name: verdict.LossServing, From: 1.58, To: 1.602, Samples: 1},
		},
		Why: "it was among the endpoints until 223 ms after the call: 3 of 9 requests failed by then; the replacement was ready 1.06 s after it ran: its readiness probe is asked every 1 s",
	}
}

func podLate() verdict.LossResult {
	return verdict.LossResult{
		Component: "api", Member: "api-6d9f-vw4nt", Node: "node-b", How: "gone", Cause: "kill-pods", At: at(-0.006),
		Replacement: "api-6d9f-x2m9r", ReplacementNode: "node-a", Total: *span(9.412, 9.423), WatchLag: ptr(0.011),
		Phases: []verdict.LossPhase{
			{Name: verdict.LossKill, From: -0.021, To: -0.006},
			{Name: verdict.LossEndpoint, From: -0.006, To: 0.207, Samples: 9, Failed: 3, FailedFrom: ptr(0.004), FailedTo: ptr(0.107)},
			{Name: verdict.LossCreated, From: -0.006, To: 0.014, Samples: 1},
			{Name: verdict.LossScheduled, From: 0.014, To: 0.022, Samples: 1},
			{Name: verdict.LossImage, From: 0.022, To: 8.13, Late: 0.4, Samples: 324, Failed: 3, FailedFrom: ptr(0.057), FailedTo: ptr(0.211)},
			{Name: verdict.LossStarted, From: 8.13, To: 8.34, Late: 0.4, Samples: 8},
			{Name: verdict.LossReady, From: 8.34, To: 9.38, Samples: 42},
			{Name: verdict.LossServing, From: 9.38, To: 9.402, Samples: 1},
			{Name: verdict.LossFailing, From: 9.402, To: 9.98, Samples: 23, Failed: 2, FailedFrom: ptr(9.41), FailedTo: ptr(9.98)},
		},
		Why: "it was among the endpoints until 228 ms after the call: 3 of 9 requests failed by then; the replacement's image was there 8.11 s after it had a node: Successfully pulled image; 2 of 23 requests failed in the 578 ms after that",
	}
}

func podRoles(from, to float64, lost []string) []verdict.RoleLane {
	lane := func(member string, spans ...verdict.Span) verdict.RoleLane {
		return verdict.RoleLane{Component: "api", Member: member, Spans: spans}
	}
	is := func(role string, from, to float64) verdict.Span {
		return verdict.Span{Name: role, Kind: role, From: from, To: to}
	}
	return []verdict.RoleLane{
		lane(lost[0], is("instance", from, -0.008), is("down", -0.008, to)),
		lane("api-6d9f-jj2lp", is("instance", from, to)),
		lane(lost[1], is("instance", from, -0.006), is("down", -0.006, to)),
		lane("api-6d9f-s7qzd", is("down", 0.011, 1.58), is("instance", 1.58, to)),
		lane("api-6d9f-x2m9r", is("down", 0.014, 9.38), is("instance", 9.38, to)),
	}
}
