package verdict

import (
	"fmt"

	"firedrill/drills/si"
	"firedrill/drills/timeline"
)

// partlyGood is the least share of good samples in a stretch of failures for it
// to be called partial.
const partlyGood = 0.05

// partial finds the stretches in which some requests failed and others did not:
// outages that follow each other sooner than a client would count as served again
// are one stretch.
func (j *judge) partial(sj seriesJudged) []PartialResult {
	var out []PartialResult
	for from := 0; from < len(sj.outages); {
		to := from + 1
		for to < len(sj.outages) && sj.outages[to-1].Ended &&
			sj.outages[to].Start.Lo-sj.outages[to-1].End.Lo < timeline.Offset(j.plan.Stable.For) {
			to++
		}
		if to-from > 1 {
			if p := j.stretch(sj, sj.outages[from:to]); 1-p.Share >= partlyGood {
				out = append(out, p)
			}
		}
		from = to
	}
	return out
}

func (j *judge) stretch(sj seriesJudged, outages []Downtime) PartialResult {
	first, last := outages[0], outages[len(outages)-1]
	p := PartialResult{Start: j.instants(first.Start), End: Instants{Lo: j.wall(last.End.Lo)}}
	if last.Ended {
		p.End = j.instants(last.End)
	}
	classes := map[timeline.Class]int{}
	for _, s := range sj.readings.Samples {
		if s.Start < first.Start.Lo || s.Start > last.End.Lo || s.Class == timeline.NoData {
			continue
		}
		p.Samples++
		if !s.Class.Bad() {
			continue
		}
		p.Bad++
		if classes[s.Class]++; classes[s.Class] > classes[timeline.Class(p.Class)] {
			p.Class = string(s.Class)
		}
	}
	if p.Samples > 0 {
		p.Share = float64(p.Bad) / float64(p.Samples)
	}
	return p
}

// partly says in words that the outage of a series was a partial one, if it was.
func (j *judge) partly(series string) string {
	for _, p := range j.res.Probes {
		if p.Name+"/"+p.Client != series || len(p.Partial) == 0 {
			continue
		}
		last := p.Partial[len(p.Partial)-1]
		return fmt.Sprintf(" (a partial outage: %.0f %% of %s requests failed)", 100*last.Share, si.Count(last.Samples))
	}
	return ""
}
