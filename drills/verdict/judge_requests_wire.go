package verdict

import (
	"fmt"
	"slices"
	"strings"

	"firedrill/drills/timeline"
)

// onWire is what fault points saw of what a component's members were asked.
type onWire struct {
	// seen tells that some looked, named that some of what they saw has an id of the
	// drill's own.
	seen, named bool
	// own and others are the exchanges with and without such an id.
	own, others []timeline.Exchange
	// hit are the ids of requests that a fault did something to, spared those that a
	// faulted member answered unharmed.
	hit, spared map[string]bool
}

// sort tells the drill's own requests from everybody else's: users, witnesses, and
// remedies that try members.
func (rs *requests) sort(j *judge, exchanges []timeline.Exchange) {
	ids := map[string]bool{}
	for _, a := range rs.asked {
		ids[a.Request.ID] = a.Request.ID != ""
	}
	own := func(id string) bool { // a request that the sampler gave up on has left no id
		return ids[id] || j.rec.Started.RunID != "" && strings.HasPrefix(id, j.rec.Started.RunID+"-")
	}
	w := &rs.wire
	w.seen, w.hit, w.spared = true, map[string]bool{}, map[string]bool{}
	for _, x := range exchanges {
		switch {
		case !slices.Contains(rs.order, x.Member):
			continue
		case !own(x.ID):
			w.others = append(w.others, x)
			continue
		}
		w.own, w.named = append(w.own, x), true
		w.hit[x.ID] = w.hit[x.ID] || x.Fault != ""
		w.spared[x.ID] = w.spared[x.ID] || x.Fault == "" && x.Delivered && rs.targets[x.Member]
	}
	if rs.stripped() {
		j.res.Caveats = append(j.res.Caveats, fmt.Sprintf("the fault point of %s saw answers, and no id of this drill's requests: what stands before it passes on "+
			"neither the body's field user nor the header X-Request-Id, so nobody can say which requests were answered twice, or what they cost", rs.Component))
	}
}

// stripped tells that members answered, and that nobody can say whom.
func (rs *requests) stripped() bool {
	return !rs.wire.named && slices.ContainsFunc(rs.wire.others, func(x timeline.Exchange) bool { return x.Billed })
}

// bill adds up what members will ask money for, by stage. Fault points are asked for
// what they saw from the fault on.
func (rs *requests) bill(j *judge) {
	at := func(x timeline.Exchange) *RequestStage {
		from, to := x.From.Sub(j.rec.Started.StartedAt), x.To.Sub(j.rec.Started.StartedAt)
		return &rs.Stages[rs.stage(timeline.Offset(from), timeline.Offset(to))]
	}
	for i := 1; i < len(rs.Stages); i++ {
		if rs.Stages[i].Other = new(int64); !rs.stripped() {
			rs.Stages[i].Billed = new(int64)
		}
	}
	for _, x := range rs.wire.own {
		if st := at(x); x.Billed && st.Billed != nil {
			*st.Billed += x.In + x.Out
			st.BilledCost = rs.plus(st.BilledCost, j, x.Member, x.In, x.Out)
		}
	}
	for _, x := range rs.wire.others {
		if st := at(x); x.Billed && st.Other != nil {
			*st.Other += x.In + x.Out
		}
	}
}

// twice finds the requests that more than one exchange answered in full: a gateway
// that asked a second vendor after the first had done its work pays for both. Where no
// request is known by its id, nobody can tell.
func (rs *requests) twice() {
	if rs.stripped() {
		return
	}
	billed := map[string]uint64{}
	for _, x := range rs.wire.own {
		if x.Billed {
			billed[x.ID]++
		}
	}
	rs.AnsweredTwice = new(uint64)
	for _, a := range rs.asked {
		if billed[a.Request.ID] > 1 {
			*rs.AnsweredTwice++
			rs.list("answered_twice", RequestID{ID: a.Request.ID, Probe: a.series.Name(), By: a.By})
		}
	}
}
