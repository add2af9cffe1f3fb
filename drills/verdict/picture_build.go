package verdict

import (
	"cmp"
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// pointsPerLane bounds the latency scatter of a lane.
const pointsPerLane = 600

// picture turns the record into what a timeline is drawn from. Drawing is
// downsampled, judging never is.
func (j *judge) picture(samples [][]timeline.Sample) Picture {
	var zero timeline.Offset
	if j.head != nil {
		zero = *j.head.confirmed
	} else if len(j.faults) > 0 {
		zero = j.faults[0].from
	}
	at := func(o timeline.Offset) float64 { return time.Duration(o - zero).Seconds() }
	p := Picture{T0: j.wall(zero), From: at(0), To: at(j.end)}
	if base, ok := j.phase(timeline.PhaseBaseline); ok {
		p.From = at(base.from)
	}
	for _, sj := range j.series {
		s := j.plan.Series[sj.index]
		p.Lanes = append(p.Lanes, Lane{
			Name: s.Name(), Judged: s.Judged, Timeout: s.Timeout.Seconds(),
			Bands: bands(sj.readings, sj.outages, at), Points: j.scatter(samples[sj.index], at),
		})
	}
	for _, f := range j.faults {
		p.Faults = append(p.Faults, j.faultSpan(f, at))
	}
	for _, m := range j.remedies {
		for _, s := range m.steps {
			p.Remedies = append(p.Remedies, Span{Name: s.Step, Kind: "step", Detail: s.Member + " " + s.Detail, From: at(s.From), To: at(s.to)})
		}
	}
	for _, ph := range j.phases {
		p.Phases = append(p.Phases, Span{Name: ph.name, Kind: ph.name, From: at(ph.from), To: at(ph.to)})
	}
	for _, g := range j.gaps {
		p.Gaps = append(p.Gaps, Span{Name: "the runner did not run", Kind: "gap", From: at(g.From), To: at(g.To)})
	}
	p.Roles = j.roleLanes(at)
	p.Writes = rates(j.points, at)
	p.Marks = j.marks(at)
	return p
}

func (j *judge) faultSpan(f *fault, at func(timeline.Offset) float64) Span {
	s := Span{Name: f.Fault, Kind: f.Kind, Detail: f.Doing, From: at(f.from), To: at(j.end)}
	if f.reverted != nil {
		s.To = at(*f.reverted)
	}
	return s
}

func (j *judge) marks(at func(timeline.Offset) float64) []Mark {
	var ms []Mark
	for _, f := range j.faults {
		if f.confirmed != nil {
			ms = append(ms, Mark{Name: f.Fault + " effective", At: at(*f.confirmed)})
		}
	}
	if j.detected != nil {
		ms = append(ms, Mark{Name: "detected", At: at(*j.detected)})
	}
	if j.healedAt != nil && j.healedBy != "none" {
		ms = append(ms, Mark{Name: "stable", At: at(*j.healedAt)})
	}
	return append(ms, j.lossMarks()...)
}

// bands are the stretches of a series: its outages, what lies between them, and
// where there was no data.
func bands(r Readings, outages []Downtime, at func(timeline.Offset) float64) []Band {
	if len(r.Samples) == 0 {
		return nil
	}
	first, last := r.Samples[0].Start, r.Samples[len(r.Samples)-1].Start
	var bs []Band
	from := first
	for _, d := range outages {
		if d.Start.Lo > from {
			bs = append(bs, Band{State: "good", From: at(from), To: at(d.Start.Lo)})
		}
		b := Band{
			State: "bad", Class: string(d.Class), From: at(d.Start.Hi), FromWidth: d.Start.Width().Seconds(),
			To: at(max(d.End.Lo, d.Start.Hi)),
		}
		from = max(last, d.End.Lo)
		if d.Ended {
			b.ToWidth = time.Duration(d.End.Hi - max(d.End.Lo, d.Start.Hi)).Seconds()
			from = d.End.Hi
		}
		bs = append(bs, b)
	}
	if last > from {
		bs = append(bs, Band{State: "good", From: at(from), To: at(last)})
	}
	return append(bs, blind(r, at)...)
}

// blind are the runs of samples without data.
func blind(r Readings, at func(timeline.Offset) float64) []Band {
	var bs []Band
	run := -1
	for i := 0; i <= len(r.Samples); i++ {
		if i < len(r.Samples) && r.Samples[i].Class == timeline.NoData {
			if run < 0 {
				run = i
			}
			continue
		}
		if run >= 0 {
			bs = append(bs, Band{State: "no-data", From: at(r.Samples[run].Start), To: at(r.Samples[i-1].Start + timeline.Offset(r.Every))})
			run = -1
		}
	}
	return bs
}

// scatter thins a series' samples, less around the recovery than elsewhere.
func (j *judge) scatter(samples []timeline.Sample, at func(timeline.Offset) float64) []Point {
	if j.head == nil || j.healedAt == nil {
		return thin(samples, at)
	}
	cut := func(o timeline.Offset) int {
		i, _ := slices.BinarySearchFunc(samples, o, func(s timeline.Sample, o timeline.Offset) int { return cmp.Compare(s.Start, o) })
		return i
	}
	from, to := cut(j.head.from), cut(*j.healedAt)
	if from > to {
		return thin(samples, at)
	}
	return slices.Concat(thin(samples[:from], at), thin(samples[from:to], at), thin(samples[to:], at))
}

// thin keeps the slowest sample of each stretch, and every stretch's worst class.
func thin(samples []timeline.Sample, at func(timeline.Offset) float64) []Point {
	per := max(1, (len(samples)+pointsPerLane-1)/pointsPerLane)
	var ps []Point
	for chunk := range slices.Chunk(samples, per) {
		worst := chunk[0]
		for _, s := range chunk[1:] {
			if s.Class.Bad() != worst.Class.Bad() && s.Class.Bad() || s.Class.Bad() == worst.Class.Bad() && s.End-s.Start > worst.End-worst.Start {
				worst = s
			}
		}
		if worst.Class != timeline.NoData {
			ps = append(ps, Point{At: at(worst.Start), Took: worst.Took().Seconds(), Class: string(worst.Class)})
		}
	}
	return ps
}

// roleLanes says who each member was, from one discovery to the next.
func (j *judge) roleLanes(at func(timeline.Offset) float64) []RoleLane {
	var lanes []RoleLane
	find := func(component, member string) *RoleLane {
		for i := range lanes {
			if lanes[i].Component == component && lanes[i].Member == member {
				return &lanes[i]
			}
		}
		lanes = append(lanes, RoleLane{Component: component, Member: member})
		return &lanes[len(lanes)-1]
	}
	for _, seen := range j.rolesTold() {
		for _, m := range seen.members {
			l := find(seen.component, m.Member)
			if n := len(l.Spans); n > 0 {
				l.Spans[n-1].To = at(seen.at)
				if l.Spans[n-1].Kind == m.Role {
					continue
				}
			}
			l.Spans = append(l.Spans, Span{Name: m.Role, Kind: m.Role, Detail: m.Problem, From: at(seen.at), To: at(j.end)})
		}
	}
	for i := range lanes {
		lanes[i].Spans[len(lanes[i].Spans)-1].To = at(j.end)
	}
	return lanes
}

// rates counts acknowledged and lost writes per second.
func rates(points []ackPoint, at func(timeline.Offset) float64) []Rate {
	bySecond := map[int]*Rate{}
	for _, p := range points {
		t := at(p.at)
		sec := int(t)
		if t < 0 {
			sec--
		}
		r := bySecond[sec]
		if r == nil {
			r = &Rate{At: float64(sec)}
			bySecond[sec] = r
		}
		r.Acknowledged++
		if p.lost {
			r.Lost++
		}
	}
	out := make([]Rate, 0, len(bySecond))
	for _, r := range bySecond {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Rate) int { return int(a.At - b.At) })
	return out
}
