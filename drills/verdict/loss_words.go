package verdict

import (
	"fmt"
	"strings"

	"firedrill/drills/si"
)

// why says what took the time and which requests it cost, and nothing that the record
// does not show.
func (d *drawnLoss) why() string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	add(d.whyLost())
	add(d.whyTraffic())
	add(d.whyAway())
	add(d.whySlow())
	add(d.whyFailing())
	if end := d.end(d.l.services); end != nil {
		if n, failed := d.sent.between(d.began, end.at); n > 0 && failed == 0 {
			add(fmt.Sprintf("none of %s requests failed", si.Count(n)))
		}
	}
	return strings.Join(parts, "; ")
}

// whyLost repeats what the platform said of a member that nobody asked to end.
func (d *drawnLoss) whyLost() string {
	if d.how == lostUnready && d.at.detail != "" {
		return "it was unready: " + d.at.detail
	}
	return ""
}

// phase returns a phase that was drawn; nil if it was not.
func (d *drawnLoss) phase(name string) *LossPhase {
	for i := range d.phases {
		if d.phases[i].Name == name {
			return &d.phases[i]
		}
	}
	return nil
}

// fact is what was found about how the members come and go: about the replacement, or
// else about the one that it replaces.
func (d *drawnLoss) fact(name string) string {
	if d.loss.next != nil {
		if f := d.l.facts[d.loss.next.name][name]; f != "" {
			return f
		}
	}
	return d.l.facts[d.of.name][name]
}

// whyTraffic is about the time in which the member was lost and still got traffic.
func (d *drawnLoss) whyTraffic() string {
	if d.unserving == nil {
		return ""
	}
	to := max(d.unserving.at, d.at.at)
	sent, failed := d.sent.between(d.began, to)
	out := "it was among the endpoints until " + si.Duration((to - d.began).Seconds()) + " after the call"
	switch {
	case failed > 0:
		out += ": " + d.requests(failed, sent) + " failed by then"
		if d.how == lostDeleted && d.fact("preStop") == "none" {
			out += ", and it has no preStop hook"
		}
	case d.how == lostDeleted && d.gone != nil && d.gone.at > to && sent > 0:
		out += " and ended " + si.Duration((d.gone.at - to).Seconds()) + " later"
		if hook := d.fact("preStop"); hook != "" && hook != "none" {
			out += " (preStop " + hook + ")"
		}
	}
	return out
}

// whyAway is about the time without the member and without its replacement.
func (d *drawnLoss) whyAway() string {
	from, to := max(d.at.at, d.began), d.until()
	if d.unserving != nil {
		from = max(from, d.unserving.at)
	}
	if sent, failed := d.sent.between(from, to); failed > 0 {
		return d.requests(failed, sent) + " failed from then until " + d.then()
	}
	return ""
}

// then names the end of the loss.
func (d *drawnLoss) then() string {
	switch {
	case d.end(d.l.services) == nil:
		return "the drill stopped looking"
	case !d.final():
		return "it was back"
	case d.l.services:
		return "its replacement was among the endpoints"
	}
	return "its replacement was ready"
}

// explained is from when on a stage is worth a word.
const explained = 0.5

// whySlow is about the stage of the replacement that took longest.
func (d *drawnLoss) whySlow() string {
	var slow *LossPhase
	for i, p := range d.phases {
		switch p.Name {
		case LossKill, LossEndpoint, LossEnded, LossFailing:
			continue
		}
		if slow == nil || p.To-p.From > slow.To-slow.From {
			slow = &d.phases[i]
		}
	}
	if slow == nil {
		return ""
	}
	took := si.Duration(slow.To - slow.From)
	if slow.Open {
		return d.stuck(slow.Name) + " for the " + took + " until the drill stopped looking"
	}
	if slow.To-slow.From < explained {
		return ""
	}
	switch slow.Name {
	case LossCreated:
		return "a replacement was created after " + took + d.ending(slow)
	case LossScheduled:
		return "the replacement had a node " + took + " after it was created"
	case LossImage:
		return "the replacement's image was there " + took + " after it had a node" + d.pulled()
	case LossStarted:
		return d.who() + " ran after " + took
	case LossReady:
		out := d.who() + " was ready " + took + " after it ran"
		if r := d.fact("readiness"); r != "" && r != "none" {
			out += ": its readiness probe is asked " + r
		}
		return out
	}
	return d.who() + " was among the endpoints " + took + " after it was ready"
}

// who is the one that comes into service.
func (d *drawnLoss) who() string {
	if d.final() {
		return "the replacement"
	}
	return "it"
}

// stuck says what did not come.
func (d *drawnLoss) stuck(stage string) string {
	switch stage {
	case LossCreated:
		return "no replacement was created"
	case LossScheduled:
		return "the replacement had no node"
	case LossStarted:
		return d.who() + " did not run"
	case LossReady:
		return d.who() + " was not ready"
	}
	return d.who() + " was not among the endpoints"
}

// ending explains a replacement that was not created before the member had ended.
func (d *drawnLoss) ending(created *LossPhase) string {
	e := d.phase(LossEnded)
	if e == nil || e.Open || e.To > created.To || e.To-e.From < (created.To-created.From)/2 {
		return ""
	}
	out := ": the one before took " + si.Duration(e.To-e.From) + " to end"
	if g := d.fact("grace"); g != "" {
		out += ", of " + g + " that it may"
	}
	return out
}

// pulled is what the node said about the image.
func (d *drawnLoss) pulled() string {
	if m := d.back.image; m != nil && m.detail != "" {
		return ": " + firstLine(m.detail)
	}
	return ""
}

// whyFailing is about requests that failed although the replacement was in service.
func (d *drawnLoss) whyFailing() string {
	p := d.phase(LossFailing)
	if p == nil {
		return ""
	}
	out := d.requests(p.Failed, p.Samples) + " failed in the " + si.Duration(p.To-p.From) + " after that"
	if d.fact("readiness") == "none" {
		out += ": without a readiness probe, a pod gets traffic as soon as it runs"
	}
	return out
}

// requests is "4 of 12 requests".
func (d *drawnLoss) requests(failed, sent int) string {
	return fmt.Sprintf("%s of %s requests", si.Count(failed), si.Count(sent))
}
