package truthtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// truth is a fact on the runner's clock.
type truth struct {
	mode     string
	down, up timeline.Interval
}

// score is what comparing reports with the truth came to.
type score struct {
	matched, merged, missed, wrong int
	// excused are statements that are wrong where the machine broke the premise of
	// all bounds (see lagged): the servers wrote down which requests it held up.
	excused int
	modes   map[string]int
	// ratios are the widths of the lengths' intervals as parts of what is allowed.
	ratios []float64
	// judged by the best case: nothing but the rhythm and the median round trip.
	strict []float64
}

// judge compares what the verdict reports on one series with the truth.
type judge struct {
	t *testing.T
	verdict.Readings
	truths []truth
	// lags are the requests that reached the server late: from sent to judged.
	lags []timeline.Interval
	*score
	// trip and typical are the longest and the median good round trip.
	trip, typical time.Duration
}

func newJudge(t *testing.T, l look, rec recording, i int, served *servers, sc *score) *judge {
	j := &judge{t: t, score: sc, Readings: verdict.Readings{
		Samples: rec.Samples[i], Gaps: rec.Gaps, Every: l.Every, Timeout: l.Timeout,
	}}
	for _, f := range served.facts[i] {
		j.truths = append(j.truths, truth{f.Mode, rec.Relation.interval(f.Down), rec.Relation.interval(f.Up)})
	}
	for _, f := range served.lags[i] {
		sent, judged := rec.Relation.interval(f.Down), rec.Relation.interval(f.Up)
		j.lags = append(j.lags, timeline.Interval{Lo: sent.Lo, Hi: judged.Hi})
	}
	var trips []timeline.Offset
	for _, s := range j.Samples {
		if s.Class.Good() && !j.downDuring(s) && !j.paused(s.Start, s.End) {
			trips = append(trips, s.End-s.Start)
		}
	}
	slices.Sort(trips)
	if n := len(trips); n > 0 {
		j.trip, j.typical = time.Duration(trips[n-1]), time.Duration(trips[n/2])
	}
	return j
}

// held tells whether the machine held up a request near an interval for longer
// than a server that is up may take: a quarter of the rhythm. The bounds take for
// granted that this does not happen.
func (j *judge) held(near timeline.Interval) bool {
	around := timeline.Offset(2 * j.Every)
	return slices.ContainsFunc(j.lags, func(l timeline.Interval) bool {
		return time.Duration(l.Hi-l.Lo) > j.Every/4 && l.Hi > near.Lo-around && l.Lo < near.Hi+around
	})
}

// late returns the largest lateness of the samples around an interval; one that was
// not sent at all, because the runner was late, is a whole rhythm late.
func (j *judge) late(near timeline.Interval) (late time.Duration) {
	around := timeline.Offset(10 * j.Every)
	for _, s := range j.Samples {
		if s.Due >= near.Lo-around && s.Due <= near.Hi+around && !j.paused(s.Due, s.Start) {
			late = max(late, time.Duration(s.Start-s.Due))
			if s.Class == timeline.NoData {
				late = max(late, j.Every)
			}
		}
	}
	return late
}

func (j *judge) downDuring(s timeline.Sample) bool {
	return slices.ContainsFunc(j.truths, func(tr truth) bool { return s.End >= tr.down.Lo && s.Start <= tr.up.Hi })
}

// paused tells whether the runner did not run at some moment of a stretch.
func (j *judge) paused(from, to timeline.Offset) bool {
	return slices.ContainsFunc(j.Gaps, func(g timeline.Gap) bool { return g.To > from && g.From < to })
}

// away does so, give or take a sample.
func (j *judge) away(from, to timeline.Offset) bool {
	every := timeline.Offset(j.Every)
	return j.paused(from-every, to+every)
}

// missable tells whether the samples need not show an outage: it is shorter than
// two samples' distance, clients got their answers after all, or nobody looked.
func (j *judge) missable(tr truth) bool {
	need := 2 * j.Every
	if tr.mode == thaw {
		need += j.Timeout
	}
	return time.Duration(tr.up.Hi-tr.down.Lo) < need || j.away(tr.down.Lo, tr.up.Hi)
}

// mergeable tells whether two outages need not be told apart.
func (j *judge) mergeable(a, b truth) bool {
	return j.away(a.up.Lo, b.down.Hi) || j.missable(a) || j.missable(b)
}

// run judges every outage of the series.
func (j *judge) run() {
	left := j.truths
	for _, got := range j.Outages() {
		for len(left) > 0 && j.before(left[0], got) {
			j.miss(left[0])
			left = left[1:]
		}
		if len(left) == 0 || left[0].down.Lo > got.End.Hi {
			j.fail("false outage", got, left)
			continue
		}
		first := left[0]
		if !meet(first.down, got.Start) || got.Open {
			j.fail("start", got, left)
		}
		n := 1
		for n < len(left) && !meet(left[n-1].up, got.End) && j.mergeable(left[n-1], left[n]) {
			n++
		}
		if last := left[n-1]; !got.Ended || !meet(last.up, got.End) {
			j.fail("end", got, left)
		} else {
			j.length(got, first, last, n)
		}
		j.matched += n
		j.merged += n - 1
		j.modes[first.mode]++
		left = left[n:]
	}
	for _, tr := range left {
		j.miss(tr)
	}
}

// before tells whether a truth is not what is reported, but was over before.
func (j *judge) before(tr truth, got verdict.Downtime) bool {
	return tr.up.Hi < got.Start.Lo || tr.up.Lo < got.Start.Hi && !meet(tr.down, got.Start) && j.missable(tr)
}

// length judges the interval of an outage's length, and its width: at most
// 1.3 times two distances between samples and two round trips. The distance is the
// rhythm plus the largest lateness of a sample near the outage's begin and end,
// the round trip the longest good one of the series while the service was up.
// If round trips are longer than the rhythm, samples overlap while all is well;
// which of two reached the server first is not known then, and it may be 1.5
// times. Where the runner was away just then, only that the truth is inside is judged;
// so it is for thaw, where one of the two round trips is that of a sample that
// waited for the answer. A sample that left after the service was up, but before a
// bad one had ended, cannot date the end, as either may have reached the server
// first; the next one does, a rhythm later.
func (j *judge) length(got verdict.Downtime, first, last truth, n int) {
	lo, hi, bounded := got.Length()
	if !bounded || time.Duration(last.up.Hi-first.down.Lo) < lo || time.Duration(last.up.Lo-first.down.Hi) > hi {
		j.fail("length", got, []truth{first, last})
	}
	if n > 1 || first.mode == thaw || j.away(got.Start.Lo, got.Start.Hi) || j.away(got.End.Lo, got.End.Hi) {
		return
	}
	late := max(j.late(got.Start), j.late(got.End))
	if j.crossed(last.up, late) {
		hi -= j.Every
	}
	ratio := float64(hi-lo) / float64(2*(j.Every+late+j.trip))
	allowed := 1.3
	if j.trip > j.Every {
		allowed = 1.5
	}
	if ratio > allowed {
		j.fail(fmt.Sprintf("width of the length is %.2f × 2(%v+%v+%v)", ratio, j.Every, late, j.trip), got, []truth{first})
	}
	j.ratios = append(j.ratios, ratio)
	j.strict = append(j.strict, float64(hi-lo)/float64(2*(j.Every+j.typical)))
}

// crossed tells whether a good sample left when the service was up already and a
// bad one had not ended yet: one that did not take so long that it says nothing of
// its end (timeouts).
func (j *judge) crossed(up timeline.Interval, late time.Duration) bool {
	slow := timeline.Offset(2 * (j.trip + max(j.Every/4, late)))
	return slices.ContainsFunc(j.Samples, func(good timeline.Sample) bool {
		return good.Class.Good() && good.Start >= up.Lo && good.Start < up.Hi+timeline.Offset(j.Every) &&
			slices.ContainsFunc(j.Samples, func(bad timeline.Sample) bool {
				return bad.Class.Bad() && bad.Start < good.Start && good.Start < bad.End && bad.End-bad.Start < slow
			})
	})
}

func (j *judge) miss(tr truth) {
	j.missed++
	if !j.missable(tr) {
		j.fail("missed", verdict.Downtime{}, []truth{tr})
	}
}

// fail reports one wrong statement, and the samples around begin and end of what
// it is about.
func (j *judge) fail(what string, got verdict.Downtime, left []truth) {
	for _, tr := range left[:min(1, len(left))] {
		if j.held(tr.down) || j.held(tr.up) {
			j.excused++
			j.t.Logf("%s, where requests reached the server late: reported %+v, truth %+v", what, got, tr)
			return
		}
	}
	j.wrong++
	j.t.Errorf("%s:\n  reported %+v\n  truth %+v", what, got, left[:min(2, len(left))])
	if len(left) == 0 {
		return
	}
	for _, s := range j.Samples {
		for _, edge := range []timeline.Interval{left[0].down, left[0].up} {
			if s.End > edge.Lo-timeline.Offset(2*j.Every) && s.Start < edge.Hi+timeline.Offset(3*j.Every) {
				j.t.Logf("  %+v", s)
				break
			}
		}
	}
}

func meet(a, b timeline.Interval) bool { return a.Lo <= b.Hi && b.Lo <= a.Hi }
