package verdict

import (
	"fmt"
	"math"
	"slices"
	"time"

	"firedrill/drills/timeline"
)

// requests are the requests that were sent to a component's models.
type requests struct {
	*RequestsResult
	// asked are the samples in the order of their starts.
	asked []asked
	// order are the component's members, in order of priority.
	order []string
	// from is when the first fault was injected, effective when the last was proven,
	// reverting and reverted when they were taken back.
	from, effective, reverting, reverted timeline.Offset
	// faulted tells that a fault was injected and confirmed.
	faulted bool
	// priority tells that the members have an order: the first that works gets all.
	priority bool
	// unpriced tells that members answered whose prices are not known.
	unpriced bool
	// targets are the members that were faulted, narrowed tells that some fault hits
	// only a part of what they are asked.
	targets  map[string]bool
	narrowed bool
	wire     onWire
	// left tells that somebody answered from the fault on who did not before it.
	left bool
	home map[string]bool
}

// asked is a sample that asked a model, with its series.
type asked struct {
	timeline.Sample
	series timeline.Series
}

// judgeRequests accounts for every request of every component that was asked.
func (j *judge) judgeRequests(samples [][]timeline.Sample) error {
	j.requests = map[string]*requests{}
	var order []*requests
	for i, s := range j.plan.Series {
		if s.Op == "" {
			continue
		}
		rs := j.requests[s.Component]
		if rs == nil {
			rs = j.newRequests(s.Component)
			j.requests[s.Component] = rs
			order = append(order, rs)
		}
		for _, sm := range samples[i] {
			if sm.Class == timeline.NoData {
				continue
			}
			sm.Request = known(sm, s.Op)
			rs.asked = append(rs.asked, asked{sm, s})
		}
	}
	if len(order) == 0 {
		return nil
	}
	exchanges, wire, err := j.rec.ReadExchanges()
	if err != nil {
		return err
	}
	for _, rs := range order {
		slices.SortStableFunc(rs.asked, func(a, b asked) int { return ByStart(a.Sample, b.Sample) })
		rs.count()
		rs.stages(j)
		if wire {
			rs.sort(j, exchanges)
			rs.bill(j)
			rs.twice()
		}
		rs.failBack(j.plan.Stable.For, j.end)
		if rs.unpriced {
			j.res.Caveats = append(j.res.Caveats, fmt.Sprintf("the cost of %s leaves out members without a price", rs.Component))
		}
		j.res.Requests = append(j.res.Requests, *rs.RequestsResult)
	}
	return nil
}

// known is what is known of a request; of one that the sampler gave up on, that
// it was not answered.
func known(s timeline.Sample, op string) *timeline.Request {
	if s.Request == nil {
		return &timeline.Request{Op: op, Outcome: timeline.Unanswered}
	}
	r := *s.Request
	switch r.Outcome {
	case timeline.Whole, timeline.Cut, timeline.Wrong, timeline.Unanswered:
	default:
		r.Outcome = timeline.Failed
	}
	return &r
}

// newRequests learns who there is, and when the faults were in force.
func (j *judge) newRequests(component string) *requests {
	rs := &requests{
		RequestsResult: &RequestsResult{
			Component: component, Tally: Tally{By: map[string]uint64{}},
			IDs: map[string][]RequestID{}, Unlisted: map[string]uint64{},
		},
		from: j.end, reverting: j.reverting, reverted: j.reverting,
		targets: map[string]bool{}, home: map[string]bool{},
	}
	for _, r := range j.roles {
		if r.component == component && len(rs.order) == 0 {
			for _, m := range r.members {
				rs.order = append(rs.order, m.Member)
				rs.priority = rs.priority || m.Role == "primary"
			}
		}
	}
	for _, f := range j.faults {
		eff, ok := f.effective()
		if !ok || f.component != component {
			continue
		}
		rs.faulted = true
		rs.from, rs.effective = min(rs.from, eff.Lo), max(rs.effective, eff.Hi)
		for _, m := range f.Targets {
			rs.targets[m] = true
		}
		rs.narrowed = rs.narrowed || slices.ContainsFunc(j.plan.Faults, func(p timeline.PlannedFault) bool { return p.Name == f.Fault && p.Narrow })
		if f.reverting != nil {
			rs.reverting = min(rs.reverting, *f.reverting)
		}
		if f.reverted != nil {
			rs.reverted = max(rs.reverted, *f.reverted)
		}
	}
	for _, m := range rs.order {
		if rs.faulted && rs.priority && !rs.targets[m] {
			rs.Expected = m
			break
		}
	}
	return rs
}

// add counts one request.
func (t *Tally) add(s timeline.Sample) {
	t.Requests++
	if s.Request.First > 0 {
		t.Begun++
	}
	switch s.Request.Outcome {
	case timeline.Whole:
		t.Whole++
		t.By[s.By]++
	case timeline.Cut:
		t.Truncated++
	case timeline.Wrong:
		t.Wrong++
	case timeline.Unanswered:
		t.Unanswered++
	default:
		t.Failed++
	}
}

// idsListed is how many requests of a class are listed by name.
const idsListed = 1000

func (rs *requests) list(class string, id RequestID) {
	if len(rs.IDs[class]) < idsListed {
		rs.IDs[class] = append(rs.IDs[class], id)
	} else {
		rs.Unlisted[class]++
	}
}

// count tallies all requests and lists those that did not end well.
func (rs *requests) count() {
	for _, a := range rs.asked {
		rs.Tally.add(a.Sample)
		if o := a.Request.Outcome; o != timeline.Whole {
			rs.list(string(o), RequestID{ID: a.Request.ID, Probe: a.series.Name(), By: a.By, What: a.Detail})
		}
	}
}

// stage tells in which stage of the drill a request was under way: what a fault
// met half way belongs to the fault's time.
func (rs *requests) stage(start, end timeline.Offset) int {
	switch {
	case end < rs.from:
		return 0
	case start < rs.reverting:
		return 1
	}
	return 2
}

// stages tallies requests before, during and after the faults.
func (rs *requests) stages(j *judge) {
	rs.Stages = []RequestStage{{Name: "before"}, {Name: "during"}, {Name: "after"}}
	firsts := make([][]float64, len(rs.Stages))
	for _, a := range rs.asked {
		i := rs.stage(a.Start, a.End)
		st := &rs.Stages[i]
		if st.By == nil {
			st.By = map[string]uint64{}
		}
		st.Tally.add(a.Sample)
		st.TokensIn, st.TokensOut = st.TokensIn+a.Request.In, st.TokensOut+a.Request.Out
		st.Stall = max(st.Stall, time.Duration(a.Request.Stall).Seconds())
		rs.cost(j, st, a)
		if a.series.Op == "chat" && a.Request.First > 0 {
			firsts[i] = append(firsts[i], time.Duration(a.Request.First-a.Start).Seconds())
		}
	}
	for i := range rs.Stages {
		st := &rs.Stages[i]
		if st.By == nil {
			st.By = map[string]uint64{}
		}
		if len(firsts[i]) > 0 {
			p50, p95, p99 := upper(firsts[i], 0.5), upper(firsts[i], 0.95), upper(firsts[i], 0.99)
			st.FirstTokenP50, st.FirstTokenP95, st.FirstTokenP99 = &p50, &p95, &p99
		}
	}
}

// upper returns the q-quantile of values: the least of them that at least the
// share q does not exceed. It sorts them.
func upper(values []float64, q float64) float64 {
	slices.Sort(values)
	return values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
}

// cost adds the price of an answer to a stage's.
func (rs *requests) cost(j *judge, st *RequestStage, a asked) {
	st.Cost = rs.plus(st.Cost, j, a.By, a.Request.In, a.Request.Out)
}

// plus adds what a member asks for tokens to a sum, which is nil as long as no price
// is known.
func (rs *requests) plus(sum *float64, j *judge, member string, in, out int64) *float64 {
	price, ok := j.price(rs.Component, member)
	if !ok {
		rs.unpriced = rs.unpriced || member != "" && len(j.plan.Prices) > 0
		return sum
	}
	if sum == nil {
		sum = new(float64)
	}
	*sum += (float64(in)*price.In + float64(out)*price.Out) / 1e6
	return sum
}

func (j *judge) price(component, member string) (timeline.Price, bool) {
	for _, p := range j.plan.Prices {
		if p.Component == component && p.Member == member {
			return p, true
		}
	}
	return timeline.Price{}, false
}

// failBack bounds the time from the end of the faults until the members of before
// answered again: all of them, and nobody else from then on. It needs the answers
// of stable more to say so. Where members have an order and requests never went to
// another than before, there is nothing to come back from, and no such time.
func (rs *requests) failBack(stable time.Duration, end timeline.Offset) {
	for _, a := range rs.asked {
		if a.Class.Good() && a.By != "" && a.End < rs.from {
			rs.home[a.By] = true
		}
	}
	for _, a := range rs.asked {
		// An answer that does not tell who gave it may be anybody's.
		rs.left = rs.left || a.Class.Good() && a.End >= rs.from && !rs.home[a.By]
	}
	// Where each member gets its share, one that is out comes back to its own.
	if !rs.faulted || len(rs.home) == 0 || rs.priority && !rs.left {
		return
	}
	back := map[string]timeline.Offset{} // when each was first back
	var away timeline.Offset             // when somebody else last answered
	var hi timeline.Offset
	settled := false
	for _, a := range rs.asked {
		switch {
		case a.Start < rs.reverted || !a.Class.Good() || a.By == "":
		case !rs.home[a.By]:
			if settled && a.Start > hi { // of two at once, nobody knows which came first
				rs.Flaps++
			}
			away, settled, hi = a.Start, false, 0
			clear(back)
		case back[a.By] == 0:
			back[a.By] = a.End
			fallthrough
		default:
			if !settled && len(back) == len(rs.home) {
				settled, hi = true, a.End
			}
		}
	}
	lo := max(0, time.Duration(away-rs.reverted)).Seconds()
	if away == 0 {
		lo = 0
	}
	rs.FailBack = &Seconds{Lo: lo}
	if settled && time.Duration(end-hi) >= stable {
		h := time.Duration(hi - rs.reverting).Seconds()
		rs.FailBack.Hi = &h
	}
}
