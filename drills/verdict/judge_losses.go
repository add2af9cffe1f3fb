package verdict

import (
	"fmt"
	"slices"
	"time"

	"firedrill/drills/si"
	"firedrill/drills/timeline"
)

// platformProbe is the kind of probe that asks the platform, and sends no request to
// the service.
const platformProbe = "kubernetes"

// judgeLosses says which members were lost, what took their place, and which requests
// failed meanwhile.
func (j *judge) judgeLosses(samples [][]timeline.Sample) {
	var components []string
	for _, e := range j.told {
		if !slices.Contains(components, e.Component) {
			components = append(components, e.Component)
		}
	}
	for _, c := range components {
		l := j.lives(c)
		for _, e := range l.echoes {
			if s := e.late.Seconds(); j.res.WatchLag == nil || s > *j.res.WatchLag {
				j.res.WatchLag = &s
			}
		}
		for _, s := range l.silences {
			j.res.Caveats = append(j.res.Caveats, fmt.Sprintf(
				"The platform may not have told how the members of %s came and went for %s, from %s on.",
				c, si.Duration((s.Hi-s.Lo).Seconds()), si.At((s.Lo-j.zero()).Seconds())))
		}
		if len(j.faults) == 0 {
			continue
		}
		sent := j.requestsTo(c, samples)
		for _, x := range l.losses {
			j.res.Losses = append(j.res.Losses, j.lossResult(c, l, x, sent))
		}
	}
}

// zero is the moment that the offsets of phases count from.
func (j *judge) zero() timeline.Offset {
	switch {
	case j.head != nil:
		return *j.head.confirmed
	case len(j.faults) > 0:
		return j.faults[0].from
	}
	return 0
}

func (j *judge) lossResult(component string, l *lives, x *loss, sent requestsSent) LossResult {
	cause, began := j.blame(x.at.at)
	r := LossResult{
		Component: component, Member: x.of.name, Node: x.of.node, How: x.how, Cause: cause, At: j.wall(x.at.at),
		Phases: []LossPhase{},
	}
	switch {
	case x.next != nil:
		r.Replacement, r.ReplacementNode = x.next.name, x.next.node
	case !x.final() && x.back.ready != nil:
		r.Replacement, r.ReplacementNode = x.of.name, x.of.node
	}
	d := drawnLoss{j: j, l: l, loss: x, sent: sent, began: began}
	d.draw()
	r.Phases = d.phases
	lag := l.lag(began, d.until())
	if lag != nil {
		s := lag.Seconds()
		r.WatchLag = &s
	}
	r.Total = Seconds{Lo: (d.until() - began).Seconds()}
	if end := x.end(l.services); end != nil {
		hi := r.Total.Lo
		r.Total.Hi = &hi
		early := end.late
		if lag != nil {
			early = max(early, *lag)
		}
		r.Total.Lo = max(0, hi-early.Seconds())
	}
	r.Why = d.why()
	return r
}

// blame is the latest fault or remedy that had begun by then.
func (j *judge) blame(at timeline.Offset) (name string, began timeline.Offset) {
	for _, f := range j.faults {
		if f.from <= at && f.from >= began {
			name, began = f.Fault, f.from
		}
	}
	for _, m := range j.remedies {
		if m.from <= at && m.from >= began {
			name, began = m.Remedy, m.from
		}
	}
	return name, began
}

// lag is how late changes were told at most in a stretch: by the echoes in it, and
// the next ones before and after.
func (l *lives) lag(from, to timeline.Offset) *time.Duration {
	var most *time.Duration
	for i, e := range l.echoes {
		before := i+1 < len(l.echoes) && l.echoes[i+1].at <= from
		after := i > 0 && l.echoes[i-1].at >= to
		if !before && !after && (most == nil || e.late > *most) {
			most = &e.late
		}
	}
	return most
}

// drawnLoss is a loss whose phases are being listed.
type drawnLoss struct {
	*loss
	j     *judge
	l     *lives
	sent  requestsSent
	began timeline.Offset

	phases []LossPhase
}

// until is when the loss was over, or when the platform told anything last.
func (d *drawnLoss) until() timeline.Offset {
	if end := d.end(d.l.services); end != nil {
		return end.at
	}
	return max(d.l.last, d.at.at)
}

func (d *drawnLoss) add(name string, from, to moment, open bool) {
	to.at = max(to.at, from.at)
	p := LossPhase{
		Name: name, From: (from.at - d.j.zero()).Seconds(), To: (to.at - d.j.zero()).Seconds(), Open: open,
		Late: max(from.late, to.late).Seconds(),
	}
	p.Samples, p.Failed = d.sent.between(from.at, to.at)
	if failed := d.sent.failedBetween(from.at, to.at); len(failed) > 0 {
		p.FailedFrom = new((failed[0].Start - d.j.zero()).Seconds())
		p.FailedTo = new((failed[len(failed)-1].Start - d.j.zero()).Seconds())
	}
	d.phases = append(d.phases, p)
}

func (d *drawnLoss) draw() {
	stop := moment{at: max(d.l.last, d.at.at)}
	d.add(LossKill, moment{at: d.began}, d.at, false)
	if d.unserving != nil {
		d.add(LossEndpoint, d.at, *d.unserving, false)
	}
	switch {
	case d.deleting != nil && d.gone != nil:
		d.add(LossEnded, *d.deleting, *d.gone, false)
	case d.deleting != nil:
		d.add(LossEnded, *d.deleting, stop, true)
	}
	last, open := d.at, ""
	for _, s := range d.stages() {
		if s.moment == nil {
			if open == "" && !s.optional {
				open = s.name
			}
			continue
		}
		// What one stream tells can overtake what another does.
		s.moment.at = max(s.moment.at, last.at)
		d.add(s.name, last, *s.moment, false)
		last, open = *s.moment, ""
	}
	if open != "" {
		d.add(open, last, stop, true)
		return
	}
	if failed := d.sent.failedBetween(last.at, d.quiet()); len(failed) > 0 {
		d.add(LossFailing, last, moment{at: failed[len(failed)-1].Start + 1}, false)
	}
}

// quiet ends when somebody is lost once more, or the drill begins to revert.
func (d *drawnLoss) quiet() timeline.Offset {
	next := d.l.until
	for _, x := range d.l.losses {
		if x.at.at > d.until() {
			next = min(next, x.at.at)
		}
	}
	return next
}

// stage is a step of a replacement into service.
type stage struct {
	name     string
	moment   *moment
	optional bool
}

// stages are those of the replacement, or of the member itself if it comes back.
func (d *drawnLoss) stages() []stage {
	c := *d.back
	// The event that says so can be late.
	if c.image != nil && c.started != nil && c.image.at > c.started.at {
		c.image = &moment{at: c.started.at, late: c.image.late, detail: c.image.detail}
	}
	own := !d.final()
	all := []stage{
		{LossCreated, c.created, own},
		{LossScheduled, c.scheduled, own},
		{LossImage, c.image, true},
		{LossStarted, c.started, own},
		{LossReady, c.ready, false},
	}
	if d.l.services {
		all = append(all, stage{LossServing, c.serving, !d.leaves()})
	}
	for i := range all {
		if m := all[i].moment; m != nil {
			copied := *m
			all[i].moment = &copied
		}
	}
	return all
}

// requestsSent are the samples that say whether the service of a component answers.
type requestsSent struct {
	all    []timeline.Offset // when they were sent
	failed []timeline.Sample
}

func (j *judge) requestsTo(component string, samples [][]timeline.Sample) (r requestsSent) {
	for i, s := range j.plan.Series {
		if !s.Judged || s.Component != component || s.Kind == platformProbe || i >= len(samples) {
			continue
		}
		for _, sm := range samples[i] {
			if sm.Class == timeline.NoData {
				continue
			}
			r.all = append(r.all, sm.Start)
			if sm.Class.Bad() {
				r.failed = append(r.failed, sm)
			}
		}
	}
	slices.Sort(r.all)
	slices.SortFunc(r.failed, func(a, b timeline.Sample) int { return int(a.Start - b.Start) })
	return r
}

// between counts what was sent in a stretch.
func (r requestsSent) between(from, to timeline.Offset) (sent, failed int) {
	i, _ := slices.BinarySearch(r.all, from)
	k, _ := slices.BinarySearch(r.all, to)
	return k - i, r.failures(to) - r.failures(from)
}

// failures counts what failed and was sent before.
func (r requestsSent) failures(before timeline.Offset) int {
	n, _ := slices.BinarySearchFunc(r.failed, before, func(s timeline.Sample, o timeline.Offset) int {
		if s.Start < o {
			return -1
		}
		return 1
	})
	return n
}

// failedBetween are those that were sent in a stretch and failed.
func (r requestsSent) failedBetween(from, to timeline.Offset) []timeline.Sample {
	i := r.failures(from)
	return r.failed[i:max(i, r.failures(to))]
}
