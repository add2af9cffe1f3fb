package verdict

import (
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// toldAt is what a platform told, and when.
type toldAt struct {
	timeline.MemberChanged
	at timeline.Offset
}

// How a member can be lost.
const (
	lostDeleted = "deleted"
	lostGone    = "gone"
	lostUnready = "unready"
)

// moment is when something was told, and by how much it may be earlier because the
// platform told nothing for a while.
type moment struct {
	at     timeline.Offset
	late   time.Duration
	detail string
}

// course is how a member came into service.
type course struct{ created, scheduled, image, started, ready, serving *moment }

// life is a member from its creation to its end; a later one can have its name.
type life struct {
	name, node string
	// up tells that it is or was ready and is not lost since.
	up bool
	// first is its course since its creation, now that since it was lost last.
	first, now *course
	// unserving is set while it is not among the endpoints, having been.
	unserving *moment
	loss      *loss
}

// loss is a member that was in service and is not any more.
type loss struct {
	of  *life
	how string
	at  moment
	// deleting and gone are set for a member that does not come back.
	unserving, deleting, gone *moment
	// back is how the member came back by itself, or its replacement came.
	back *course
	next *life
}

// lives follows the members of one component.
type lives struct {
	// from and until bound when a loss counts.
	from, until timeline.Offset
	// facts are what was found of members, by name, last.
	facts    map[string]map[string]string
	current  map[string]*life
	born     []*life // in the order of their creation
	losses   []*loss // in the order in which they were told
	echoes   []moment
	silences []timeline.Interval
	silent   *moment
	last     timeline.Offset // when anything was told last
	// services tells that anything was told about endpoints.
	services bool
}

// lives follows the members of a component from when they were discovered to the end
// of the record.
func (j *judge) lives(component string) *lives {
	l := &lives{until: j.reverting, current: map[string]*life{}, facts: map[string]map[string]string{}}
	if len(j.faults) > 0 {
		l.from = j.faults[0].from
	}
	for _, seen := range j.roles {
		if seen.component != component {
			continue
		}
		for _, m := range seen.members {
			l.facts[m.Member] = m.Facts
			if seen.at > l.from {
				continue
			}
			if l.current[m.Member] == nil {
				l.current[m.Member] = newLife(m.Member)
			}
			p := l.current[m.Member]
			p.up, p.node = p.up || m.Problem == "", m.Facts["node"]
		}
	}
	for _, e := range j.told {
		if e.Component == component {
			l.take(e)
		}
	}
	if l.silent != nil {
		l.silences = append(l.silences, timeline.Interval{Lo: l.silent.at, Hi: j.end})
	}
	l.replace()
	return l
}

func newLife(name string) *life {
	c := &course{}
	return &life{name: name, first: c, now: c}
}

// take follows one change.
func (l *lives) take(e toldAt) {
	m := &moment{at: e.at, late: e.Lag, detail: e.Detail}
	l.last = e.at
	switch e.What {
	case timeline.MemberEcho:
		l.echoes = append(l.echoes, *m)
	case timeline.MemberSilence:
		l.silent = m
	case timeline.MemberHeard:
		l.silent = nil
		l.silences = append(l.silences, timeline.Interval{Lo: max(0, e.at-timeline.Offset(e.Lag)), Hi: e.at})
	case timeline.MemberCreated:
		p := newLife(e.Member)
		p.now.created = m
		l.current[e.Member] = p
		l.born = append(l.born, p)
	default:
		l.change(l.member(e), e.What, m)
	}
}

// member is the one that a change is about. One that nobody has seen before was there
// all the time if the first that is told of it is its end.
func (l *lives) member(e toldAt) *life {
	p := l.current[e.Member]
	if p == nil {
		p = newLife(e.Member)
		switch e.What {
		case timeline.MemberUnready, timeline.MemberDeleting, timeline.MemberGone, timeline.MemberUnserving:
			p.up = true
		}
		l.current[e.Member] = p
	}
	return p
}

func (l *lives) change(p *life, what string, m *moment) {
	switch what {
	case timeline.MemberScheduled:
		p.node, p.now.scheduled = m.detail, m
	case timeline.MemberImage:
		p.now.image = m
	case timeline.MemberStarted:
		if p.up { // its containers were started again
			l.lose(p, lostUnready, m)
		}
		p.now.started = m
	case timeline.MemberReady:
		p.up, p.now.ready = true, m
	case timeline.MemberServing:
		l.services, p.unserving, p.now.serving = true, nil, m
	case timeline.MemberUnserving:
		l.services, p.unserving = true, m
		if p.loss != nil && p.loss.unserving == nil {
			p.loss.unserving = m
		}
	case timeline.MemberUnready:
		l.lose(p, lostUnready, m)
	case timeline.MemberDeleting:
		l.lose(p, lostDeleted, m)
		if p.loss != nil {
			p.loss.deleting = m
		}
	case timeline.MemberGone:
		l.lose(p, lostGone, m)
		if p.loss != nil {
			p.loss.gone = m
		}
	}
}

// lose notes that a member is not in service any more, if it was.
func (l *lives) lose(p *life, how string, m *moment) {
	if !p.up {
		return
	}
	p.up, p.now = false, &course{}
	p.loss = &loss{of: p, how: how, at: *m, unserving: p.unserving, back: p.now}
	if m.at >= l.from && m.at < l.until {
		l.losses = append(l.losses, p.loss)
	}
}

// replace finds who took the place of those that do not come back: a member of the
// same name, or the first that was created since and took nobody else's.
func (l *lives) replace() {
	taken := map[*life]bool{}
	find := func(x *loss, fits func(*life) bool) {
		for _, p := range l.born {
			if x.next == nil && !taken[p] && p.first.created.at >= x.at.at && fits(p) {
				x.next, x.back, taken[p] = p, p.first, true
			}
		}
	}
	ends := slices.DeleteFunc(slices.Clone(l.losses), func(x *loss) bool { return !x.final() })
	for _, x := range ends {
		x.back = &course{}
		find(x, func(p *life) bool { return p.name == x.of.name })
	}
	for _, x := range ends {
		find(x, func(*life) bool { return true })
	}
}

// final tells that the member does not come back.
func (x *loss) final() bool { return x.deleting != nil || x.gone != nil }

// leaves tells that the member is to be put among the endpoints again: one that comes
// back by itself may never have been taken out.
func (x *loss) leaves() bool { return x.final() || x.unserving != nil }

// end is when the loss was over: the replacement was in service; nil if it was not.
func (x *loss) end(services bool) *moment {
	if services && x.leaves() {
		return x.back.serving
	}
	return x.back.ready
}
