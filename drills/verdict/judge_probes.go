package verdict

import (
	"fmt"
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// seriesJudged is one series and its recovery from each measured fault.
type seriesJudged struct {
	index    int
	readings Readings
	outages  []Downtime
	causes   []Cause
	recovery []faultRecovery
}

type faultRecovery struct {
	fault *fault
	RecoveryTime
}

// judgeProbes computes every series' outages and recoveries.
func (j *judge) judgeProbes(samples [][]timeline.Sample) {
	causes := j.causes()
	for i, s := range j.plan.Series {
		sj := seriesJudged{index: i, readings: Readings{Samples: samples[i], Gaps: j.gapsOf(s), Every: s.Every, Timeout: s.Timeout}}
		sj.outages = sj.readings.Outages()
		sj.causes = Attribute(sj.outages, causes)
		for k, f := range j.faults {
			eff, ok := f.effective()
			if !ok || !f.measured || !runsThrough(s.Mode) {
				continue
			}
			w := WindowOf(causes, k)
			w.Disruption, w.By = eff, j.reverting
			rec := sj.readings.Recovery(w, j.plan.Stable, 0)
			if !rec.Recovered {
				// What came after the revert began says nothing about the system.
				rec.Lo = min(rec.Lo, max(0, time.Duration(j.reverting-eff.Hi)))
			}
			sj.recovery = append(sj.recovery, faultRecovery{f, rec})
		}
		j.series = append(j.series, sj)
		j.res.Probes = append(j.res.Probes, j.probeResult(sj))
		j.enough(s, sj)
	}
}

// gapsOf are the stretches in which who samples a series did not run.
func (j *judge) gapsOf(s timeline.Series) []timeline.Gap {
	if s.From != "" {
		return j.agentGaps[s.From]
	}
	return j.gaps
}

// runsThrough tells whether a mode samples while a fault is in force.
func runsThrough(mode string) bool { return mode == "Continuous" || mode == "OnChaos" }

// enough refuses to judge by a series that has hardly any data after the fault.
func (j *judge) enough(s timeline.Series, sj seriesJudged) {
	if !s.Judged || !runsThrough(s.Mode) || len(sj.recovery) == 0 {
		return
	}
	from, n := sj.recovery[0].fault.from, 0
	for _, sm := range sj.readings.Samples {
		if sm.Start >= from && sm.Class != timeline.NoData {
			n++
		}
	}
	if lost, ok := j.lost[s.From]; ok && lost.at <= j.reverting && !sj.recovered() {
		j.invalid = append(j.invalid, fmt.Sprintf("probe %s has no data from %.1f s on, when its agent in %s was lost (%s): nobody can say whether it recovered",
			s.Name(), lost.at.Seconds(), s.From, lost.why))
	}
	if n < j.plan.Stable.Samples {
		j.invalid = append(j.invalid, fmt.Sprintf("probe %s has %d samples after the fault, want at least %d", s.Name(), n, j.plan.Stable.Samples))
	}
}

// recovered tells whether the series has recovered from every fault.
func (sj seriesJudged) recovered() bool {
	return !slices.ContainsFunc(sj.recovery, func(f faultRecovery) bool { return !f.Recovered })
}

func (j *judge) probeResult(sj seriesJudged) ProbeResult {
	s := j.plan.Series[sj.index]
	r := ProbeResult{
		Name: s.Probe, Kind: s.Kind, Component: s.Component, Client: s.Client, Via: s.Via, From: s.From, Judged: s.Judged,
		Every: s.Every.Seconds(), Samples: len(sj.readings.Samples), Classes: map[string]int{}, Outages: []Outage{},
	}
	var late, trips []float64
	for _, sm := range sj.readings.Samples {
		r.Classes[string(sm.Class)]++
		r.ClockError = max(r.ClockError, sm.Error.Seconds())
		switch {
		case sm.Class == timeline.NoData:
			r.NoData++
			continue
		case sm.Class.Good():
			r.OK++
			trips = append(trips, sm.Took().Seconds())
		}
		late = append(late, (sm.Start - sm.Due).Seconds())
	}
	r.LateP50, r.LateP99, r.RoundTrip = quantile(late, 0.5), quantile(late, 0.99), quantile(trips, 0.5)
	hi := 0.0
	r.Total.Hi = &hi
	for i, d := range sj.outages {
		r.Outages = append(r.Outages, j.outage(d, sj.causes[i]))
		lo, up, bounded := d.Length()
		r.Total.Lo += lo.Seconds()
		if hi += up.Seconds(); !bounded {
			r.Total.Hi = nil
		}
	}
	r.Partial = j.partial(sj)
	for _, f := range sj.recovery {
		if sec := f.seconds(); r.Recovery == nil || slower(sec, *r.Recovery) {
			r.Recovery = &sec
		}
	}
	return r
}

func (j *judge) outage(d Downtime, c Cause) Outage {
	lo, hi, bounded := d.Length()
	o := Outage{
		Start: j.instants(d.Start), End: Instants{Lo: j.wall(d.End.Lo)}, Length: Seconds{Lo: lo.Seconds()},
		Bad: d.Bad, Class: string(d.Class), Cause: c.Name,
	}
	if d.Ended {
		end := j.instants(d.End)
		o.End.Hi = end.Hi
	}
	if bounded {
		h := hi.Seconds()
		o.Length.Hi = &h
	}
	return o
}

// seconds turns a recovery time into what a result holds.
func (r RecoveryTime) seconds() Seconds {
	s := Seconds{Lo: r.Lo.Seconds()}
	if r.Recovered {
		hi := r.Hi.Seconds()
		s.Hi = &hi
	}
	return s
}

// slower tells whether a is worse than b: without an upper bound is worst.
func slower(a, b Seconds) bool {
	switch {
	case a.Hi == nil && b.Hi == nil:
		return a.Lo > b.Lo
	case a.Hi == nil || b.Hi == nil:
		return a.Hi == nil
	}
	return *a.Hi > *b.Hi
}

// quantile returns the q-quantile of values, 0 for none. It sorts them.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
