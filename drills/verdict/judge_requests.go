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
		rs.stages(j, exchanges, wire)
		if wire {
			rs.twice(exchanges)
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
	}
	for _, r := range j.roles {
		if r.component == component && len(rs.order) == 0 {
			for _, m := range r.members {
				rs.order = append(rs.order, m.Member)
				rs.priority = rs.priority || m.Role == "primary"
			}
		}
	}
	hit := map[string]bool{}
	for _, f := range j.faults {
		eff, ok := f.effective()
		if !ok || f.component != component {
			continue
		}
		rs.faulted = true
		rs.from, rs.effective = min(rs.from, eff.Lo), max(rs.effective, eff.Hi)
		for _, m := range f.Targets {
			hit[m] = true
		}
		if f.reverting != nil {
			rs.reverting = min(rs.reverting, *f.reverting)
		}
		if f.reverted != nil {
			rs.reverted = max(rs.reverted, *f.reverted)
		}
	}
	for _, m := range rs.order {
		if rs.faulted && rs.priority && !hit[m] {
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
func (rs *requests) stages(j *judge, exchanges []timeline.Exchange, wire bool) {
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
		if wire && i > 0 { // fault points are asked for what they saw from the fault on
			st.Billed = new(int64)
		}
	}
	for _, x := range exchanges {
		if rs.has(x.Member) && x.Billed {
			from, to := x.From.Sub(j.rec.Started.StartedAt), x.To.Sub(j.rec.Started.StartedAt)
			if st := rs.Stages[rs.stage(timeline.Offset(from), timeline.Offset(to))]; st.Billed != nil {
				*st.Billed += x.In + x.Out
			}
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
	price, ok := j.price(rs.Component, a.By)
	if !ok {
		rs.unpriced = rs.unpriced || a.By != "" && len(j.plan.Prices) > 0
		return
	}
	if st.Cost == nil {
		st.Cost = new(float64)
	}
	*st.Cost += (float64(a.Request.In)*price.In + float64(a.Request.Out)*price.Out) / 1e6
}

func (j *judge) price(component, member string) (timeline.Price, bool) {
	for _, p := range j.plan.Prices {
		if p.Component == component && p.Member == member {
			return p, true
		}
	}
	return timeline.Price{}, false
}

func (rs *requests) has(member string) bool { return slices.Contains(rs.order, member) }

// twice finds the requests that more than one exchange answered in full: a gateway
// that asked a second vendor after the first had done its work pays for both.
func (rs *requests) twice(exchanges []timeline.Exchange) {
	billed := map[string]uint64{}
	for _, x := range exchanges {
		if x.ID != "" && x.Billed && rs.has(x.Member) {
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

// failBack bounds the time from the end of the faults until the members of before
// answered again: all of them, and nobody else from then on. It needs the answers
// of stable more to say so.
func (rs *requests) failBack(stable time.Duration, end timeline.Offset) {
	home := map[string]bool{}
	for _, a := range rs.asked {
		if a.Class.Good() && a.By != "" && a.End < rs.from {
			home[a.By] = true
		}
	}
	if !rs.faulted || len(home) == 0 {
		return
	}
	back := map[string]timeline.Offset{} // when each was first back
	var away timeline.Offset             // when somebody else last answered
	var hi timeline.Offset
	settled := false
	for _, a := range rs.asked {
		switch {
		case a.Start < rs.reverted || !a.Class.Good() || a.By == "":
		case !home[a.By]:
			if settled {
				rs.Flaps++
			}
			away, settled, hi = a.Start, false, 0
			clear(back)
		case back[a.By] == 0:
			back[a.By] = a.End
			fallthrough
		default:
			if !settled && len(back) == len(home) {
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
