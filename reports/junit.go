package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"firedrill/drills/verdict"
)

// JUnit writes junit.xml: one suite each for objectives, faults, probes and
// cleanup, with one case per objective, per fault's confirmation, per probe's
// validity, and for the cleanup. A missed objective is a failure; dirty and
// inconclusive are errors; what did not run is skipped. What was measured is in
// each suite's properties, because a case has none in this format.
func JUnit(w io.Writer, r verdict.Result) error {
	r = plainly(r)
	all := junit.Testsuites{Name: xmlText(r.Scenario), Time: jsec(r.FinishedAt.Sub(r.StartedAt).Seconds())}
	for i, s := range []junit.Testsuite{junitObjectives(r), junitFaults(r), junitProbes(r), junitCleanup(r)} {
		s.ID, s.Hostname = i, xmlText(r.Runner.Host)
		s.Name = "firedrill." + xmlText(r.Scenario) + "." + s.Name
		s.SetTimestamp(r.StartedAt.UTC())
		if s.Time == "" {
			s.Time = "0.000"
		}
		for k := range s.Testcases {
			s.Testcases[k].Classname = s.Name
		}
		all.AddSuite(s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit report of run %s: %w", r.RunID, err)
	}
	if err := all.WriteXML(w); err != nil {
		return fmt.Errorf("write JUnit report of run %s: %w", r.RunID, err)
	}
	return nil
}

func junitObjectives(r verdict.Result) junit.Testsuite {
	s := junit.Testsuite{Name: "objectives"}
	props(&s, "run_id", r.RunID, "topology", r.Topology, "verdict", r.Verdict, "sentence", sentence(r))
	for _, o := range r.Objectives {
		c := junit.Testcase{Name: xmlText(o.Name + " " + o.Component), Status: o.Verdict}
		key := o.Name + "." + o.Component + "."
		switch {
		case o.Limit != nil:
			props(&s, key+"limit", number(*o.Limit))
		case !untimed(o):
			props(&s, key+"target_s", number(o.Target))
		}
		if o.Measured != nil {
			props(&s, key+"measured", number(*o.Measured))
		}
		if o.Actual != nil {
			props(&s, key+"actual.lo_s", number(o.Actual.Lo))
			if o.Actual.Hi != nil {
				props(&s, key+"actual.hi_s", number(*o.Actual.Hi))
				if o.Name == "rto" {
					c.Time = jsec(*o.Actual.Hi)
				}
			}
		}
		if o.Lost != nil {
			props(&s, key+"lost", fmt.Sprint(*o.Lost))
		}
		outcome(&c, r, o)
		s.AddTestcase(c)
	}
	for _, q := range r.Requests {
		junitRequests(&s, q)
	}
	return s
}

// junitRequests says what became of the requests that the objectives are about.
func junitRequests(s *junit.Testsuite, q verdict.RequestsResult) {
	key := "requests." + q.Component + "."
	for _, o := range outcomes(q.Tally) {
		props(s, key+o.key, fmt.Sprint(o.n))
	}
	if q.AnsweredTwice != nil {
		props(s, key+"answered_twice", fmt.Sprint(*q.AnsweredTwice))
	}
	if q.FailBack != nil {
		props(s, key+"fail_back.lo_s", number(q.FailBack.Lo))
		if q.FailBack.Hi != nil {
			props(s, key+"fail_back.hi_s", number(*q.FailBack.Hi))
		}
		props(s, key+"flaps", fmt.Sprint(q.Flaps))
	}
}

// outcome fills in how a case ended.
func outcome(c *junit.Testcase, r verdict.Result, o verdict.ObjectiveResult) {
	switch {
	case o.Verdict == verdict.Met:
	case o.Verdict == verdict.Missed:
		c.Failure = result("missed", o.Why)
	case r.Verdict == verdict.Aborted && o.Actual == nil && o.Measured == nil:
		c.Skipped = result("not run", o.Why)
	default:
		c.Error = result("inconclusive", o.Why)
	}
	if untimed(o) {
		return
	}
	against := number(o.Target) + " s"
	if o.Limit != nil {
		against = target(o)
	}
	c.SystemOut = &junit.Output{Data: xmlText(fmt.Sprintf("actual %s, target %s", actual(o), against))}
}

func junitFaults(r verdict.Result) junit.Testsuite {
	s := junit.Testsuite{Name: "faults"}
	for _, f := range r.Faults {
		c := junit.Testcase{Name: xmlText("fault " + f.Name + " confirmed")}
		switch k := faultCheck(f); k.State {
		case "bad":
			c.Error = result("inconclusive", k.Text)
		case "unknown":
			c.Skipped = result("not run", k.Text)
		default:
			c.SystemOut = &junit.Output{Data: xmlText(k.Text)}
			props(&s, f.Name+".targets", strings.Join(f.Targets, " "), f.Name+".effective.lo", f.Effective.Lo.UTC().Format(time.RFC3339Nano))
			if f.Effective.Hi != nil {
				props(&s, f.Name+".effective.hi", f.Effective.Hi.UTC().Format(time.RFC3339Nano))
			}
		}
		s.AddTestcase(c)
	}
	junitLosses(&s, r)
	return s
}

func junitProbes(r verdict.Result) junit.Testsuite {
	s := junit.Testsuite{Name: "probes"}
	for _, p := range r.Probes {
		name := p.Name + "/" + p.Client
		c := junit.Testcase{Name: xmlText("probe " + name + " valid")}
		props(&s, name+".samples", fmt.Sprint(p.Samples), name+".ok", fmt.Sprint(p.OK), name+".no_data", fmt.Sprint(p.NoData),
			name+".late_p99_s", number(p.LateP99), name+".outages", fmt.Sprint(len(p.Outages)))
		if p.Recovery != nil && p.Recovery.Hi != nil {
			props(&s, name+".recovery.lo_s", number(p.Recovery.Lo), name+".recovery.hi_s", number(*p.Recovery.Hi))
		}
		switch {
		case p.Samples == 0:
			c.Skipped = result("not run", "no samples were taken")
		case p.Samples == p.NoData:
			c.Error = result("inconclusive", "no sample has data")
		}
		s.AddTestcase(c)
	}
	return s
}

func junitCleanup(r verdict.Result) junit.Testsuite {
	s := junit.Testsuite{Name: "cleanup"}
	c := junit.Testcase{Name: "everything put back"}
	if r.Cleanup.Verdict != "clean" {
		c.Error = result("dirty", cleanupCheck(r.Cleanup).Text)
	}
	s.AddTestcase(c)
	return s
}
