package verdict

import (
	"slices"

	"firedrill/drills/timeline"
)

// rolesTold is who every member was as discovered, and as the platform told of those
// that come and go.
func (j *judge) rolesTold() []rolesAt {
	out := slices.Clone(j.roles)
	last := map[[2]string]string{}
	for _, r := range j.roles {
		for _, m := range r.members {
			if m.Role != "down" {
				last[[2]string{r.component, m.Member}] = m.Role
			}
		}
	}
	for _, e := range j.told {
		m := timeline.MemberSeen{Member: e.Member, Role: "down", Problem: e.Detail}
		switch e.What {
		case timeline.MemberReady:
			m.Problem = ""
			if m.Role = last[[2]string{e.Component, e.Member}]; m.Role == "" {
				m.Role = "instance"
			}
		case timeline.MemberCreated, timeline.MemberUnready, timeline.MemberDeleting, timeline.MemberGone:
		default:
			continue
		}
		out = append(out, rolesAt{e.at, e.Component, []timeline.MemberSeen{m}})
	}
	slices.SortStableFunc(out, func(a, b rolesAt) int { return int(a.at - b.at) })
	return out
}

// lossMarks are when the first member was lost and when the last loss was over.
func (j *judge) lossMarks() []Mark {
	losses := j.res.Losses
	if len(losses) == 0 {
		return nil
	}
	var first, last float64
	name, whole := "", true
	for i, l := range losses {
		at, over := l.lost(), l.over()
		if i == 0 || at < first {
			first, name = at, l.Member
		}
		last = max(last, over)
		whole = whole && l.Total.Hi != nil
	}
	ms := []Mark{{Name: name + " lost", At: first}}
	if whole {
		ms = append(ms, Mark{Name: "replaced", At: last})
	}
	return ms
}

// lost is when a member was told to be lost, on the axis of the phases.
func (l LossResult) lost() float64 {
	for _, p := range l.Phases {
		if p.Name == LossKill {
			return p.To
		}
	}
	return 0
}

// over is when the replacement was in service, on the same axis.
func (l LossResult) over() float64 {
	for _, name := range []string{LossServing, LossReady} {
		for _, p := range l.Phases {
			if p.Name == name && !p.Open {
				return p.To
			}
		}
	}
	return 0
}
