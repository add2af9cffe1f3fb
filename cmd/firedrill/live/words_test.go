package live_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"firedrill/cmd/firedrill/live"
	tl "firedrill/drills/timeline"
)

func TestWords(t *testing.T) {
	for _, c := range []struct {
		payload any
		want    string
	}{
		{tl.Started{RunID: "r1", PlanDigest: "abc", Plan: tl.Plan{Scenario: "s", Topology: "t"}}, "s on t, run r1, plan sha256 abc"},
		{tl.PhaseBegan{Phase: "fault"}, "fault"},
		{tl.RolesSeen{Component: "db", Members: []tl.MemberSeen{{Member: "a", Role: "primary"}, {Member: "b", Role: "down", Problem: "refused"}}}, "db: a primary, b down (refused)"},
		{tl.Journaled{Intent: "i7", Kind: "fault", For: "loss"}, "fault i7 for loss"},
		{tl.Injecting{Fault: "loss", Kind: "process-kill", Targets: []string{"db-1"}, Doing: "SIGKILL"}, "loss (process-kill) on db-1: SIGKILL"},
		{tl.Injecting{Fault: "loss", Kind: "process-kill", Targets: []string{"db-1"}}, "loss (process-kill) on db-1"},
		{tl.Injected{Fault: "loss"}, "loss"},
		{tl.Confirmed{Fault: "loss", By: "pid gone"}, "loss: pid gone"},
		{tl.Confirmed{Fault: "loss", Err: "timeout"}, "loss FAILED: timeout"},
		{tl.Held{Fault: "loss"}, "loss was in force until now"},
		{tl.Held{Fault: "loss", Err: "the proxy is gone"}, "loss was not in force all the time: the proxy is gone"},
		{tl.Reverting{Fault: "loss"}, "loss"},
		{tl.Reverted{Fault: "loss", Outcome: "clean"}, "loss: clean"},
		{tl.Reverted{Fault: "loss", Outcome: "failed", Err: "exit 1"}, "loss FAILED: exit 1"},
		{tl.Detected{Series: "w/fresh"}, "w/fresh fails"},
		{tl.RemedyBegan{Remedy: "promote", Kind: "mysql-promote", Target: "db"}, "promote (mysql-promote) on db"},
		{tl.RemedyStep{Remedy: "promote", Step: "drain", Member: "db-2", Detail: "0"}, "promote: drain db-2: 0"},
		{tl.RemedyEnded{Remedy: "promote", Outcome: "done"}, "promote: done"},
		{tl.Healed{By: "topology"}, "by the topology itself"},
		{tl.Healed{By: "none"}, "nothing has healed it"},
		{tl.Gap{From: 0, To: 212e6}, "the runner was paused for 212 ms: no data"},
		{tl.Gap{From: 0, To: 212e6, Of: "zone b"}, "the agent in zone b was paused for 212 ms: no data"},
		{tl.ClockRelated{From: "zone b", Error: 400e3}, "agent in zone b: known to ± 400 µs"},
		{tl.AgentLost{From: "zone b", Why: "the pod was deleted"}, "in zone b: the pod was deleted"},
		{tl.StopRequested{Why: "SIGINT"}, "stopping: SIGINT"},
		{tl.ReadBack{Ledger: "w", Member: "db-2", When: "recovered", Rows: 48212}, "w from db-2 (recovered): 48,212 rows"},
		{tl.Rejoined{Component: "db", Members: []tl.MemberSeen{{Member: "a", Role: "replica"}}, KeptOut: map[string]string{"b": "errant"}}, "db: a replica; kept out b: errant"},
		{tl.Caveat{Text: "one host"}, "one host"},
		{tl.CleanedUp{Verdict: "clean"}, "clean: everything was put back"},
		{tl.CleanedUp{Verdict: "dirty", Leftovers: []string{"db-1"}}, "dirty: not proven to be put back: db-1"},
		{tl.Ended{}, "record closed"},
		{struct{ A int }{3}, `{"A":3}`},
	} {
		assert.Equal(t, c.want, live.Words(c.payload), "%T", c.payload)
	}
}
