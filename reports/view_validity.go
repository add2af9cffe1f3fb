package reports

import (
	"fmt"
	"strings"

	"firedrill/drills/si"
	"firedrill/drills/verdict"
)

// check is one thing that must hold before a number means anything. State is
// ok, bad or unknown.
type check struct{ Name, State, Text string }

func checks(r verdict.Result) []check {
	out := []check{recordCheck(r.Evidence), baselineCheck(r.Baseline)}
	for _, f := range r.Faults {
		out = append(out, faultCheck(f))
	}
	out = append(out, sampleCheck(r), gapCheck(r.Runner), clockCheck(r))
	out = append(out, readBackChecks(r)...)
	return append(out, cleanupCheck(r.Cleanup))
}

func recordCheck(e verdict.EvidenceResult) check {
	if !e.Whole {
		return check{"Record", "bad", fmt.Sprintf("The record is not whole: %s, and the chain does not close.", counted(e.Events, "event"))}
	}
	return check{"Record", "ok", fmt.Sprintf("Whole: %s, each chained to the one before by SHA-256.", counted(e.Events, "event"))}
}

func baselineCheck(b verdict.BaselineResult) check {
	c := check{Name: "Baseline", State: "unknown", Text: "Did not run."}
	if b.Samples == 0 {
		return c
	}
	c.Text = fmt.Sprintf("%s without a fault: %d of %s bad, which bounds false alarms to %s of samples (95 %% confidence).",
		si.Duration(b.Length), b.Bad, counted(b.Samples, "sample"), si.Percent(b.FalseAlarmHi))
	c.State = "ok"
	if !b.Held {
		c.State, c.Text = "bad", "Did not hold. "+c.Text
	}
	return c
}

func faultCheck(f verdict.FaultResult) check {
	c := check{Name: "Fault " + f.Name, State: "ok", Text: "Seen by a witness: " + f.ConfirmedBy + "."}
	switch {
	case f.Effective != nil && f.ConfirmedBy != "":
	case f.Error != "":
		c.State, c.Text = "bad", "Not confirmed: "+f.Error+"."
	case len(f.Targets) == 0:
		c.State, c.Text = "unknown", "Not injected."
	default:
		c.State, c.Text = "bad", "Not confirmed by a witness."
	}
	return c
}

func sampleCheck(r verdict.Result) check {
	var n, no int
	var late float64
	for _, p := range r.Probes {
		n, no, late = n+p.Samples, no+p.NoData, max(late, p.LateP99)
	}
	c := check{Name: "Samples", State: "ok"}
	if n == 0 {
		return check{"Samples", "bad", "None."}
	}
	c.Text = fmt.Sprintf("%s in %d series; %s without data (%s). Started at most %s late (99th percentile of the worst series).",
		si.Count(n), len(r.Probes), si.Count(no), si.Percent(float64(no)/float64(n)), si.Duration(late))
	return c
}

func gapCheck(r verdict.RunnerResult) check {
	if r.Gaps == 0 {
		return check{"Runner", "ok", "It was never paused."}
	}
	times := "time"
	if r.Gaps > 1 {
		times += "s"
	}
	return check{"Runner", "ok", fmt.Sprintf("Paused %d %s, %s in all, %s at the longest. Those stretches are no data, and bounds that they touch are wider.",
		r.Gaps, times, si.Duration(r.GapsSum), si.Duration(r.GapMax))}
}

func clockCheck(r verdict.Result) check {
	return check{"Clock", "ok", fmt.Sprintf("All durations come from one monotonic clock (%s). Wall-clock times only label.", dash(r.Runner.Host))}
}

func readBackChecks(r verdict.Result) []check {
	var out []check
	for _, l := range r.Ledgers {
		c := check{Name: "Read-back " + l.Name, State: "ok"}
		var read []string
		for _, b := range l.ReadBack {
			if b.Error != "" {
				c.State = "bad"
				read = append(read, b.Member+" failed: "+b.Error)
				continue
			}
			read = append(read, fmt.Sprintf("%s, %s (after it had %s)", b.Member, counted(b.Rows, "row"), b.When))
		}
		c.Text = strings.Join(read, "; ") + "."
		if len(read) == 0 {
			c.State, c.Text = "bad", "No member was read back: nothing is claimed about losses."
		}
		out = append(out, c)
	}
	return out
}

func cleanupCheck(c verdict.Cleanup) check {
	if c.Verdict == "clean" {
		return check{"Cleanup", "ok", "Everything was put back and read back."}
	}
	return check{"Cleanup", "bad", "Not proven: " + strings.Join(c.Leftovers, "; ") + "."}
}
