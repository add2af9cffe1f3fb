package reportstest

import (
	"math"
	"math/rand/v2"

	"firedrill/drills/verdict"
)

func (d drill) picture() verdict.Picture {
	p := verdict.Picture{
		T0: t0, From: d.from, To: d.to, Roles: d.roles(), Writes: d.writes(),
		Faults: []verdict.Span{{Name: "primary-loss", Kind: "process-kill", Detail: "SIGKILL to mariadbd on db-1", From: -0.02, To: d.to - 16.1}},
		Gaps:   []verdict.Span{{Name: "runner paused", Kind: "gap", From: -9.31, To: -9.098}},
		Marks:  []verdict.Mark{{Name: "primary-loss effective", At: 0}},
	}
	for i, s := range d.series {
		p.Lanes = append(p.Lanes, d.lane(s, uint64(i)))
	}
	if d.end == 0 {
		return p
	}
	back := d.to - 16.1
	for _, ph := range []verdict.Phase{
		{Name: "baseline", From: d.from, To: -0.4},
		{Name: "fault", From: -0.4, To: 0.01},
		{Name: "heal", From: 0.01, To: min(8.02, d.end)},
		{Name: "stabilise", From: d.end, To: back},
		{Name: "revert", From: back, To: back + 2.1},
		{Name: "rejoin", From: back + 2.1, To: back + 4.5},
		{Name: "audit", From: back + 4.5, To: back + 6},
		{Name: "steady", From: back + 6, To: d.to},
	} {
		p.Phases = append(p.Phases, verdict.Span{Name: ph.Name, Kind: ph.Name, From: ph.From, To: ph.To})
	}
	for _, r := range d.remedies() {
		for _, s := range r.Steps {
			p.Remedies = append(p.Remedies, verdict.Span{Name: s.Name, Kind: "step", Detail: s.Member + ": " + s.Detail, From: 8.031 + s.From, To: 8.031 + s.From + s.Took})
		}
		p.Phases = append(p.Phases, verdict.Span{Name: "remedy", Kind: "remedy", From: r.Steps[0].From + 8.02, To: d.end})
	}
	p.Marks = append(p.Marks, verdict.Mark{Name: "detected", At: 0.562}, verdict.Mark{Name: "stable", At: d.end + 3})
	return p
}

func (d drill) roles() []verdict.RoleLane {
	lane := func(member string, spans ...verdict.Span) verdict.RoleLane {
		return verdict.RoleLane{Component: "orders-db", Member: member, Spans: spans}
	}
	is := func(role string, from, to float64) verdict.Span {
		return verdict.Span{Name: role, Kind: role, From: from, To: to}
	}
	if d.end == 0 {
		return []verdict.RoleLane{lane("db-1", is("primary", d.from, d.to)), lane("db-2", is("replica", d.from, d.to)), lane("db-3", is("replica", d.from, d.to))}
	}
	up := d.end - 1.0
	return []verdict.RoleLane{
		lane("db-1", is("primary", d.from, 0), is("down", 0, d.to-14), is("replica", d.to-14, d.to)),
		lane("db-2", is("replica", d.from, up-0.5), is("detached", up-0.5, up), is("primary", up, d.to)),
		lane("db-3", is("replica", d.from, d.to)),
	}
}

func (d drill) writes() []verdict.Rate {
	r := rand.New(rand.NewPCG(3, 4))
	var out []verdict.Rate
	for s := math.Floor(d.from); s < d.to; s++ {
		w := verdict.Rate{At: s, Acknowledged: int(d.rate * (0.94 + 0.12*r.Float64()))}
		if d.end > 0 && s >= 0 && s < math.Floor(d.end) {
			w.Acknowledged = 0
		}
		if d.lost > 0 && s >= -3 && s < 0 {
			w.Lost = min(w.Acknowledged, d.lost/3)
		}
		out = append(out, w)
	}
	return out
}

func (d drill) lane(s series, seed uint64) verdict.Lane {
	l := verdict.Lane{Name: s.probe + "/" + s.client, Judged: s.judged, Timeout: s.timeout, Points: d.points(s, seed)}
	band := func(state, class string, from, to, fw, tw float64) {
		l.Bands = append(l.Bands, verdict.Band{State: state, Class: class, From: from, To: to, FromWidth: fw, ToWidth: tw})
	}
	if d.to > -9 {
		band("good", "", d.from, -9.31, 0, 0)
		band("no-data", "", -9.31, -9.098, 0, 0)
	}
	if d.end == 0 {
		band("good", "", -9.098, d.to, 0, 0)
		return l
	}
	end := d.endOf(s)
	band("good", "", -9.098, -0.012, 0, 0)
	band("bad", s.class, 0.031, end-0.015, 0.043, 0.03)
	band("good", "", end+0.015, d.to, 0, 0)
	return l
}

func (d drill) points(s series, seed uint64) []verdict.Point {
	r := rand.New(rand.NewPCG(seed, 99))
	var out []verdict.Point
	n := every(d.from, d.to, s.every)
	for i := range n {
		if n > 1500 && i%(n/1500+1) != 0 {
			continue
		}
		x := d.from + float64(i)*s.every
		p := verdict.Point{At: x, Took: s.rtt * math.Exp(0.35*r.NormFloat64()), Class: "ok"}
		if r.Float64() < 0.01 {
			p.Took *= 6
		}
		if d.end > 0 && x > d.begin && x < d.endOf(s) {
			p.Class, p.Took = s.class, s.rtt*0.4*math.Exp(0.3*r.NormFloat64())
			if s.class == "timeout" {
				p.Took = s.timeout
			}
		}
		if x > -9.31 && x < -9.098 {
			continue
		}
		out = append(out, p)
	}
	return out
}
