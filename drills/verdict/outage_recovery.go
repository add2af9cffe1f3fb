package verdict

import (
	"slices"
	"sort"
	"time"

	"firedrill/drills/timeline"
)

// Window says what recovery is looked for.
type Window struct {
	// Disruption contains the moment at which the fault was effective: from the
	// begin of the inject call to the witness's confirmation.
	Disruption timeline.Interval
	// Until ends the window: an outage that began at Until or later has another
	// cause (the next fault, the revert). 0 means that nothing else happened.
	Until timeline.Offset
	// By is when the series must have proven stable, for the recovery to count as
	// this fault's: where healing by the drill's own revert must not count, that
	// is the begin of the revert. 0 means at any time.
	By timeline.Offset
}

// RecoveryTime is how long one series took from a disruption to recovery.
type RecoveryTime struct {
	// Lo and Hi contain the true time; without Recovered there is no upper bound
	// and Hi is meaningless.
	Lo, Hi    time.Duration
	Recovered bool
	// Outages are those of the window, in order; without any, clients saw none.
	Outages []Downtime
	// End contains the moment of recovery: the end of the last of the outages.
	// Without outages it is meaningless.
	End timeline.Interval
	// StableAt is when the series had proven stable, if Recovered.
	StableAt timeline.Offset
}

// Recovery returns how long the series took to recover from a disruption.
//
// The outages of the window are all that began before Until (at the latest
// moment that their bounds allow) and were not over before the disruption. The
// last of them counts, not the first: a fault may show late, after a stretch that
// looks stable (a pool that still holds its old connections, a cache that runs
// out), and a service that fails again has not recovered. Recovery is the end of
// the last outage, provided that after it the series proves stable: st.Samples
// consecutive good samples over at least st.For, without a hole (timeline.Hole),
// at st.Share of baseline good samples per second at least (0: every sample that
// is due). That proof starts after the disruption in any case, may be interrupted
// and start over, and must be complete by w.By.
//
// The time is [End.Lo - Disruption.Hi, End.Hi - Disruption.Lo], not below 0.
// Without any outage it is 0, and at most the longest outage that the samples can
// have missed: 2·Every and a round trip, or the longest stretch from the start of
// one good sample to the end of the next, if that is longer.
func (r Readings) Recovery(w Window, st timeline.Stable, baseline float64) RecoveryTime {
	if w.Until <= 0 {
		w.Until = never
	}
	if w.By <= 0 {
		w.By = never
	}
	from := w.Disruption.Hi
	outages, bad := r.read()
	rec := RecoveryTime{Outages: slices.DeleteFunc(outages, func(d Downtime) bool {
		return d.Start.Hi >= w.Until || (d.Ended && d.End.Hi < w.Disruption.Lo)
	})}
	if n := len(rec.Outages); n > 0 {
		last := rec.Outages[n-1]
		rec.End = last.End
		rec.Lo = time.Duration(max(0, last.End.Lo-w.Disruption.Hi))
		if !last.Ended {
			return rec
		}
		from = max(from, last.End.Lo+1)
	}
	rec.StableAt, rec.Recovered = r.stable(from, bad, st, baseline)
	if rec.Recovered = rec.Recovered && rec.StableAt <= w.By; !rec.Recovered {
		return rec
	}
	rec.Hi = time.Duration(rec.End.Hi - w.Disruption.Lo)
	if len(rec.Outages) == 0 {
		rec.Hi = r.unseen(w.Disruption.Lo, rec.StableAt)
	}
	return rec
}

// unseen returns the length of the longest outage that the samples between two
// moments can have missed.
func (r Readings) unseen(from, to timeline.Offset) time.Duration {
	i := sort.Search(len(r.Samples), func(i int) bool { return r.Samples[i].Start >= from })
	for i > 0 && !(r.Samples[i-1].Class.Good() && r.Samples[i-1].End <= from) {
		i-- // back to the last good sample before
	}
	var last *timeline.Sample
	var longest, trip timeline.Offset
	for i = max(i-1, 0); i < len(r.Samples) && r.Samples[i].Start <= to; i++ {
		s := &r.Samples[i]
		if !s.Class.Good() {
			continue
		}
		trip = max(trip, s.End-s.Start)
		if last != nil {
			longest = max(longest, s.End-last.Start)
		}
		last = s
	}
	return max(time.Duration(longest), 2*r.Every+time.Duration(trip))
}

// stable returns when the series had first proven stable, counting only samples
// that started at from or later; bad are the indexes of those that prove it down.
func (r Readings) stable(from timeline.Offset, bad []int, st timeline.Stable, baseline float64) (at timeline.Offset, ok bool) {
	if baseline <= 0 {
		baseline = 1 / r.Every.Seconds()
	}
	run := proof{Stable: st, rate: baseline * st.Share}
	hole := timeline.Offset(timeline.Hole(r.Every))
	i := sort.Search(len(r.Samples), func(i int) bool { return r.Samples[i].Start >= from })
	for ; i < len(r.Samples); i++ {
		switch s := r.Samples[i]; {
		case s.Class.Bad():
			if _, proves := slices.BinarySearch(bad, i); proves {
				run.startOver()
			}
		case s.Class.Good():
			if n := len(run.starts); n > 0 && s.Start-run.starts[n-1] > hole {
				run.startOver()
			}
			if run.add(s) {
				return run.end, true
			}
		}
	}
	return 0, false
}

// proof is a run of consecutive good samples.
type proof struct {
	timeline.Stable
	rate   float64 // good samples per second asked for
	starts []timeline.Offset
	end    timeline.Offset // when all of them were answered
	// first counts the samples that a stable stretch up to the latest one may
	// begin with; best is the least number of a sample among them minus what rate
	// asks for by its start: the stretch that begins with it has the best rate.
	first int
	best  float64
}

func (p *proof) startOver() { p.starts, p.first, p.end = p.starts[:0], 0, 0 }

// add adds a good sample and tells whether a stretch that ends with it is stable.
func (p *proof) add(s timeline.Sample) bool {
	p.starts = append(p.starts, s.Start)
	p.end = max(p.end, s.End)
	n := len(p.starts)
	for p.first <= n-p.Samples && p.first < n && time.Duration(s.Start-p.starts[p.first]) >= p.For {
		if surplus := p.surplus(p.first); p.first == 0 || surplus < p.best {
			p.best = surplus
		}
		p.first++
	}
	return p.first > 0 && p.surplus(n-1)+1 >= p.best // n samples, not the n-1 steps between them
}

// surplus is by how many samples the run is ahead of the rate at sample i.
func (p *proof) surplus(i int) float64 {
	return float64(i) - p.rate*time.Duration(p.starts[i]-p.starts[0]).Seconds()
}
