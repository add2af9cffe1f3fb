package verdict

import (
	"fmt"
	"strings"

	"firedrill/drills/timeline"
)

// Judge computes the result of a run from its record. It fails only if the
// record's files cannot be read; a record that is not whole is a result too.
//
// Validity comes before the verdict, in this order: the record is whole, the
// baseline held, a witness confirmed each fault, enough was measured. Only then
// are objectives compared. What is not proven to be put back wins over all.
func Judge(rec *timeline.Record) (Result, error) {
	j := &judge{index: newIndex(rec)}
	samples, err := rec.ReadSamples()
	if err != nil {
		return Result{}, fmt.Errorf("judge %s: %w", rec.Dir, err)
	}
	j.res = j.header()
	j.judgeFaults()
	j.judgeBaseline(samples)
	j.judgeProbes(samples)
	if err := j.judgeLedgers(); err != nil {
		return Result{}, fmt.Errorf("judge %s: %w", rec.Dir, err)
	}
	if err := j.judgeRequests(samples); err != nil {
		return Result{}, fmt.Errorf("judge %s: %w", rec.Dir, err)
	}
	j.judgeRemedies()
	j.judgeObjectives()
	j.judgeRejoin()
	j.judgeSteadyState()
	j.judgeCleanup()
	j.recoveryPhases()
	j.judgeLosses(samples)
	j.decide()
	j.res.Sentence = j.sentence()
	j.res.Picture = j.picture(samples)
	return j.res, nil
}

// judge is a judgement under way.
type judge struct {
	*index
	res Result
	// head is the fault that the headline's recovery counts from; nil if none was
	// confirmed.
	head *fault
	// series are the measured recoveries, by series and then by measured fault.
	series []seriesJudged
	// invalid are the reasons why nothing can be concluded.
	invalid []string
	points  []ackPoint
	// requests are the samples that asked a model, by component.
	requests map[string]*requests
}

func (j *judge) header() Result {
	s, p := j.rec.Started, j.plan
	r := Result{
		Schema: Schema, RunID: s.RunID, Scenario: p.Scenario, Topology: p.Topology,
		StartedAt: s.StartedAt.UTC(), FinishedAt: j.wall(j.end), Seed: s.Seed,
		Reasons: []string{}, Objectives: []ObjectiveResult{}, Faults: []FaultResult{}, Remedies: []RemedyResult{},
		Probes: []ProbeResult{}, Ledgers: []LedgerResult{}, Rejoin: []RejoinResult{}, Caveats: j.caveats,
		Description: p.Description, Frequency: p.Frequency, Owner: p.Owner, Operator: s.Operator, Controls: p.Controls,
		Runner: RunnerResult{Version: s.Version, Host: s.Host, Gaps: len(j.gaps)},
		Evidence: EvidenceResult{
			PlanDigest: s.PlanDigest, RecordDigest: j.rec.Digest, Files: map[string]string{},
			Events: j.events, Whole: len(j.rec.Broken) == 0,
		},
	}
	if r.Caveats == nil {
		r.Caveats = []string{}
	}
	if e := j.rec.Ended; e != nil {
		r.FinishedAt, r.Evidence.Files = e.FinishedAt.UTC(), e.Files
	}
	for _, g := range j.gaps {
		d := (g.To - g.From).Seconds()
		r.Runner.GapsSum += d
		r.Runner.GapMax = max(r.Runner.GapMax, d)
	}
	return r
}

// decide turns what was found into the verdict.
func (j *judge) decide() {
	r := &j.res
	r.Valid = len(j.invalid) == 0
	switch {
	case r.Cleanup.Verdict == Dirty:
		r.Verdict, r.Reasons = Dirty, append(append(r.Reasons, r.Cleanup.Leftovers...), j.stops...)
	case len(j.stops) > 0:
		r.Verdict, r.Reasons = Aborted, append(r.Reasons, j.stops...)
	case len(j.invalid) > 0:
		r.Verdict, r.Reasons = Inconclusive, append(r.Reasons, j.invalid...)
		// What was measured stays there to be read; it proves nothing.
		for i := range r.Objectives {
			r.Objectives[i].Verdict = Inconclusive
		}
	default:
		r.Verdict = j.objectives()
		if m := j.failed(); m != nil && r.Verdict != Met {
			r.Reasons = append(r.Reasons, fmt.Sprintf("the remedy %s failed: %s", m.Name, m.Error))
		}
	}
	r.ExitCode = map[string]int{
		Met: ExitMet, Missed: ExitMissed, Aborted: ExitAborted, Inconclusive: ExitInconclusive, Dirty: ExitDirty,
	}[r.Verdict]
}

// objectives sums up the objectives' verdicts: one that is missed decides, then
// one that is inconclusive.
func (j *judge) objectives() string {
	verdict := Met
	if len(j.res.Objectives) == 0 {
		j.res.Reasons = append(j.res.Reasons, "no objective was set, so nothing can be met")
		return Inconclusive
	}
	for _, o := range j.res.Objectives {
		if o.Verdict == Missed || o.Verdict == Inconclusive && verdict == Met {
			verdict = o.Verdict
		}
	}
	for _, o := range j.res.Objectives {
		if verdict == Met || o.Verdict != Met {
			name := o.Name
			if name == "rto" || name == "rpo" {
				name = strings.ToUpper(name)
			}
			j.res.Reasons = append(j.res.Reasons, fmt.Sprintf("%s of %s: %s", name, o.Component, o.Why))
		}
	}
	return verdict
}

// judgeCleanup says whether everything is put back; without the record's own
// word nothing is.
func (j *judge) judgeCleanup() {
	c := Cleanup{Verdict: "clean", Leftovers: []string{}}
	switch {
	case j.cleaned == nil:
		c.Verdict = Dirty
		c.Leftovers = append(c.Leftovers, "the record does not say what was put back: run `firedrill recover`")
	case j.cleaned.Verdict != "clean":
		c.Verdict, c.Leftovers = Dirty, append(c.Leftovers, j.cleaned.Leftovers...)
	}
	for _, f := range j.faults {
		if f.outcome != timeline.RevertClean && f.outcome != timeline.RevertGone {
			c.Verdict = Dirty
			c.Leftovers = append(c.Leftovers, fmt.Sprintf("fault %s is not proven to be reverted", f.Fault))
		}
	}
	j.res.Cleanup = c
	if len(j.rec.Broken) > 0 {
		j.invalid = append([]string{"the record is not whole: " + strings.Join(j.rec.Broken, "; ")}, j.invalid...)
	}
}
