package verdict

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
)

const second = timeline.Offset(time.Second)

// drill is a drill in which vendor a is out from 10 s to 20 s, and a probe asks
// once a second for 40 s.
type drill struct {
	*judge
	asked []timeline.Sample
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	confirmed, reverting, reverted := 10*second+second/2, 20*second, 20*second+second/10
	x := &index{
		rec: &timeline.Record{Dir: t.TempDir(), Started: timeline.Started{StartedAt: time.Unix(1_800_000_000, 0)}},
		plan: timeline.Plan{
			Series: []timeline.Series{{Probe: "chat", Client: "fresh", Component: "models", Op: "chat", Every: time.Second}},
			Stable: timeline.Stable{For: 3 * time.Second},
			Prices: []timeline.Price{{Component: "models", Member: "a", In: 1, Out: 3}, {Component: "models", Member: "b", In: 2, Out: 6}},
		},
		faults: []*fault{{
			Injecting: timeline.Injecting{Fault: "gone", Targets: []string{"a"}}, measured: true, component: "models",
			from: 10 * second, confirmed: &confirmed, reverting: &reverting, reverted: &reverted,
		}},
		roles: []rolesAt{{component: "models", members: []timeline.MemberSeen{
			{Member: "a", Role: "primary"}, {Member: "b", Role: "replica"}, {Member: "c", Role: "replica"},
		}}},
		reverting: reverting, end: 40 * second,
	}
	d := &drill{judge: &judge{index: x}}
	for n := range int64(40) {
		at := timeline.Offset(n) * second
		s := timeline.Sample{
			N: n, Due: at, Start: at, End: at + second/5, Class: timeline.OK, By: "a",
			Request: &timeline.Request{ID: id(n), Op: "chat", Outcome: timeline.Whole, First: at + second/10, In: 10, Out: 5},
		}
		if at > 10*second && at < 20*second {
			s.By = "b"
		}
		d.asked = append(d.asked, s)
	}
	return d
}

func id(n int64) string { return "run-chat-" + string(rune('0'+n/10)) + string(rune('0'+n%10)) }

// ends has request n end otherwise.
func (d *drill) ends(n int, c timeline.Class, o timeline.Outcome) {
	d.asked[n].Class, d.asked[n].Request.Outcome = c, o
	if o != timeline.Cut {
		d.asked[n].Request.First = 0
	}
}

func (d *drill) judged(t *testing.T, exchanges ...timeline.Exchange) RequestsResult {
	t.Helper()
	if exchanges != nil {
		f, err := os.Create(filepath.Join(d.rec.Dir, timeline.ExchangesFile))
		require.NoError(t, err)
		for _, x := range exchanges {
			require.NoError(t, json.NewEncoder(f).Encode(x))
		}
		require.NoError(t, f.Close())
	}
	require.NoError(t, d.judgeRequests([][]timeline.Sample{d.asked}))
	require.Len(t, d.res.Requests, 1)
	return d.res.Requests[0]
}

// objective judges one target.
func (d *drill) objective(name string, target time.Duration, limit float64) ObjectiveResult {
	r := ObjectiveResult{Name: name, Component: "models", Target: target.Seconds(), Limit: &limit}
	d.judgeRequestObjective(&r)
	return r
}

func TestRequestsAreCountedByStageAndMember(t *testing.T) {
	d := newDrill(t)
	d.ends(10, timeline.Error, timeline.Failed)
	d.ends(12, timeline.Truncated, timeline.Cut)
	d.ends(13, timeline.Timeout, timeline.Unanswered)
	d.asked[14].Request, d.asked[14].Class = nil, timeline.Timeout // the sampler gave up on it
	d.ends(25, timeline.WrongAnswer, timeline.Wrong)
	r := d.judged(t)

	assert.Equal(t, "b", r.Expected)
	assert.Equal(t, Tally{
		Requests: 40, Whole: 35, Failed: 1, Truncated: 1, Wrong: 1, Unanswered: 2, Begun: 36,
		By: map[string]uint64{"a": 29, "b": 6},
	}, r.Tally)
	assert.Equal(t, uint64(10), r.Stages[0].Requests)
	assert.Equal(t, uint64(10), r.Stages[1].Requests)
	assert.Equal(t, uint64(7), r.Stages[1].Begun)
	assert.Equal(t, uint64(20), r.Stages[2].Requests)
	assert.Equal(t, []RequestID{{ID: id(12), Probe: "chat/fresh", By: "b"}}, r.IDs["truncated"])
	assert.Len(t, r.IDs["unanswered"], 2)
	assert.InDelta(t, 0.1, *r.Stages[0].FirstTokenP95, 1e-9)
	assert.InDelta(t, 10*(10*1+5*3)/1e6, *r.Stages[0].Cost, 1e-12)
	assert.Nil(t, r.AnsweredTwice, "nobody saw the wire")
	assert.Nil(t, r.Stages[0].Billed)
}

func TestObjectivesOfRequests(t *testing.T) {
	d := newDrill(t)
	d.ends(11, timeline.Error, timeline.Failed)
	d.ends(12, timeline.Truncated, timeline.Cut)
	d.judged(t)
	for _, c := range []struct {
		name     string
		target   time.Duration
		limit    float64
		verdict  string
		measured float64
	}{
		{"availability", 0, 0.9, Met, 0.9},
		{"availability", 0, 0.91, Missed, 0.9},
		{"fallback", 0, 1, Met, 1},
		{"truncated", 0, 0, Missed, 1},
		{"truncated", 0, 1, Met, 1},
		{"wrong-embeddings", 0, 0, Met, 0},
	} {
		o := d.objective(c.name, c.target, c.limit)
		assert.Equal(t, c.verdict, o.Verdict, "%s: %s", c.name, o.Why)
		require.NotNil(t, o.Measured, c.name)
		assert.InDelta(t, c.measured, *o.Measured, 1e-9, c.name)
	}
	assert.Empty(t, d.objective("answered-twice", 0, 0).Verdict, "not known, so neither met nor missed")
	d = newDrill(t)
	d.judged(t)
	assert.Equal(t, Met, d.objective("first-token-p95", time.Second, 0).Verdict)
	assert.Equal(t, Missed, d.objective("first-token-p95", time.Millisecond, 0).Verdict)
	d.ends(11, timeline.Error, timeline.Failed)
	d.ends(12, timeline.Truncated, timeline.Cut)
	d.asked[16].By = "c"
	d.res.Requests = nil
	d.judged(t)
	o := d.objective("fallback", 0, 0.99)
	assert.Equal(t, Missed, o.Verdict)
	assert.Equal(t, "6 of 7 requests (85.71 %) were answered by b, which is next in order; at least 99 % is asked for", o.Why)
}

func TestAnsweredTwiceIsSeenOnTheWire(t *testing.T) {
	d := newDrill(t)
	at := d.rec.Started.StartedAt
	r := d.judged(t,
		timeline.Exchange{ID: id(3), Member: "a", From: at.Add(3 * time.Second), To: at.Add(3*time.Second + 1), Billed: true, In: 10, Out: 5},
		timeline.Exchange{ID: id(12), Member: "a", From: at.Add(12 * time.Second), To: at.Add(12*time.Second + 1), Billed: true, In: 10, Out: 5},
		timeline.Exchange{ID: id(12), Member: "b", From: at.Add(13 * time.Second), To: at.Add(13*time.Second + 1), Billed: true, In: 10, Out: 5},
		timeline.Exchange{ID: id(15), Member: "a", From: at.Add(15 * time.Second), To: at.Add(15*time.Second + 1)}, // refused: costs nothing
		timeline.Exchange{ID: id(15), Member: "b", From: at.Add(15 * time.Second), To: at.Add(15*time.Second + 1), Billed: true},
		timeline.Exchange{ID: id(16), Member: "elsewhere", From: at.Add(16 * time.Second), To: at.Add(16*time.Second + 1), Billed: true},
	)
	require.NotNil(t, r.AnsweredTwice)
	assert.Equal(t, uint64(1), *r.AnsweredTwice)
	assert.Equal(t, id(12), r.IDs["answered_twice"][0].ID)
	assert.Nil(t, r.Stages[0].Billed, "nobody looked before the fault")
	assert.Equal(t, int64(30), *r.Stages[1].Billed)
	assert.InDelta(t, ((10*1+5*3)+(10*2+5*6))/1e6, *r.Stages[1].BilledCost, 1e-12, "both are paid")
	assert.Equal(t, Missed, d.objective("answered-twice", 0, 0).Verdict)
}

// What users, a witness and a remedy are billed for is not the drill's; what broke off
// on its way to the drill's probes is, though no answer counted its tokens.
func TestBilledIsWhatTheDrillAsked(t *testing.T) {
	d := newDrill(t)
	d.rec.Started.RunID = "run"
	d.ends(12, timeline.Truncated, timeline.Cut)
	d.asked[12].By, d.asked[12].Request.In, d.asked[12].Request.Out = "", 0, 0
	var all []timeline.Exchange
	for _, id := range []string{id(12), "run-chat1-99", "", "jane", "firedrill-witness-1", "runner-1"} {
		at := d.rec.Started.StartedAt.Add(12 * time.Second)
		all = append(all, timeline.Exchange{ID: id, Member: "a", From: at, To: at.Add(1), Billed: true, In: 100, Out: 50})
	}
	r := d.judged(t, all...)
	during := r.Stages[1]
	assert.Equal(t, int64(300), *during.Billed, "the probes' own, that one included which the sampler gave up on")
	assert.InDelta(t, 2*(100*1+50*3)/1e6, *during.BilledCost, 1e-12)
	assert.Equal(t, int64(600), *during.Other)
	assert.InDelta(t, 9*(10*2+5*6)/1e6, *during.Cost, 1e-4)
	assert.Nil(t, r.Stages[0].Other)
	assert.Nil(t, r.Stages[2].BilledCost)
}

// Behind a gateway that strips what names a request nobody can say that none was
// answered twice.
func TestRequestsWithoutNamesOnTheWire(t *testing.T) {
	d := newDrill(t)
	at := d.rec.Started.StartedAt.Add(12 * time.Second)
	x := timeline.Exchange{Member: "b", From: at, To: at.Add(1), Billed: true, In: 10, Out: 5}
	r := d.judged(t, x)
	assert.Nil(t, r.AnsweredTwice)
	assert.Nil(t, r.Stages[1].Billed)
	assert.Equal(t, int64(15), *r.Stages[1].Other)
	require.Len(t, d.res.Caveats, 1)
	assert.Contains(t, d.res.Caveats[0], "neither the body's field user nor the header X-Request-Id")
	o := ObjectiveResult{Name: "answered-twice", Component: "models", Verdict: Inconclusive}
	d.judgeRequestObjective(&o)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.Contains(t, o.Why, "neither in the body's field user nor in the header X-Request-Id")

	d = newDrill(t)
	x.Billed, x.Status = false, 503
	r = d.judged(t, x)
	require.NotNil(t, r.AnsweredTwice, "nobody answered at all")
	assert.Zero(t, *r.AnsweredTwice)
	assert.Empty(t, d.res.Caveats)
}

// A vendor that fails three requests in ten answers the others rightly.
func TestFallbackOfAFaultThatHitsAPart(t *testing.T) {
	narrow := func(t *testing.T) (*drill, func(n int, member, fault string) timeline.Exchange) {
		d := newDrill(t)
		d.plan.Faults = []timeline.PlannedFault{{Name: "gone", Component: "models", Measured: true, Narrow: true}}
		for n := 13; n < 20; n++ {
			d.asked[n].By = "a"
		}
		return d, func(n int, member, fault string) timeline.Exchange {
			at := d.rec.Started.StartedAt.Add(time.Duration(n) * time.Second)
			return timeline.Exchange{ID: id(int64(n)), Member: member, From: at, To: at.Add(1), Fault: fault, Delivered: fault == "", Billed: fault == ""}
		}
	}
	judged := func(d *drill) ObjectiveResult {
		o := ObjectiveResult{Name: "fallback", Component: "models", Verdict: Inconclusive, Limit: new(0.99)}
		d.judgeRequestObjective(&o)
		return o
	}
	d, x := narrow(t)
	var all []timeline.Exchange
	for n := 11; n < 13; n++ {
		all = append(all, x(n, "a", "status"), x(n, "b", ""))
	}
	for n := 13; n < 20; n++ {
		all = append(all, x(n, "a", ""))
	}
	d.judged(t, all...)
	o := judged(d)
	assert.Equal(t, Met, o.Verdict, o.Why)
	assert.Equal(t, "2 of 2 requests (100 %) were answered by b, which is next in order; at least 99 % is asked for "+
		"(7 more were answered by a faulted member that the fault let answer)", o.Why)

	// The gateway asks the same vendor once more.
	d, x = narrow(t)
	d.asked[11].By = "a"
	d.judged(t, append(all, x(11, "a", ""))...)
	assert.Equal(t, Missed, judged(d).Verdict)

	// It asks nobody else.
	d, _ = narrow(t)
	d.ends(11, timeline.Error, timeline.Failed)
	d.ends(12, timeline.Error, timeline.Failed)
	d.judged(t, all...)
	o = judged(d)
	assert.Equal(t, Missed, o.Verdict)
	assert.Equal(t, "none of the 2 requests that the fault hit was answered in full", o.Why)

	d, _ = narrow(t)
	d.judged(t)
	o = judged(d)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.Contains(t, o.Why, "no fault point saw which by their ids")
}

// An answer without any embedding corrupts no index.
func TestWrongEmbeddingsHaveADimension(t *testing.T) {
	d := newDrill(t)
	d.plan.Series[0].Op = "embedding"
	d.ends(12, timeline.WrongAnswer, timeline.Wrong)
	d.ends(13, timeline.WrongAnswer, timeline.Wrong)
	d.asked[13].Request.Dimension = 384
	d.judged(t)
	o := d.objective("wrong-embeddings", 0, 0)
	assert.Equal(t, Missed, o.Verdict)
	assert.InDelta(t, 1, *o.Measured, 0)
}

// What is written covers what was measured.
func TestBoundsAreWrittenRoundedUp(t *testing.T) {
	d := newDrill(t)
	for n := 10; n < 20; n++ {
		d.asked[n].Request.First = d.asked[n].Start + timeline.Offset(101_400*time.Microsecond)
	}
	d.asked[21].End = d.asked[21].Start + timeline.Offset(234_100*time.Microsecond)
	d.judged(t)
	assert.Contains(t, d.objective("first-token-p95", time.Second, 0).Why, "began within 102 ms")
	o := d.objective("fail-back", time.Minute, 0)
	assert.InDelta(t, 1.2341, *o.Actual.Hi, 1e-9)
	assert.Contains(t, o.Why, "within 1.24 s of the fault's end")
}

// What a fault met half way belongs to the fault's time, or a truncated answer
// would not count.
func TestRequestUnderWayWhenTheFaultCameCounts(t *testing.T) {
	d := newDrill(t)
	d.asked[9].End = 10*second + second/4
	d.ends(9, timeline.Truncated, timeline.Cut)
	r := d.judged(t)
	assert.Equal(t, uint64(1), r.Stages[1].Truncated)
	assert.Equal(t, Missed, d.objective("truncated", 0, 0).Verdict)
}

// An answer that never began is later than any target.
func TestAnswersThatNeverBeginAreTheSlowest(t *testing.T) {
	d := newDrill(t)
	d.ends(12, timeline.Timeout, timeline.Unanswered)
	d.judged(t)
	o := d.objective("first-token-p95", time.Second, 0)
	assert.Equal(t, Missed, o.Verdict)
	assert.Equal(t, "1 of 10 answers never began while the fault was in force", o.Why)
	assert.Nil(t, o.Actual)
}

// What is still waiting when the fault is taken back is not charged to the fault,
// unless it had waited long enough to be.
func TestRequestsUnderWayAtTheRevert(t *testing.T) {
	d := newDrill(t)
	for _, n := range []int{18, 19} {
		d.asked[n].By, d.asked[n].Request.First, d.asked[n].End = "a", 20*second+second/5, 20*second+second/4
	}
	d.asked[19].Start = 20*second - second/20 // had waited for 50 ms, where 100 ms are usual
	d.judged(t)
	o := d.objective("availability", 0, 1)
	assert.Equal(t, "8 of 9 requests (88.88 %) were answered, or began to be, while the fault was in force; at least 100 % is asked for", o.Why)
	assert.Equal(t, Met, d.objective("fallback", 0, 1).Verdict, "a answered, but when the fault was over")

	// Another one was answered after as long a wait as theirs.
	d = newDrill(t)
	for _, n := range []int{18, 19} {
		d.asked[n].By, d.asked[n].Request.First, d.asked[n].End = "a", 20*second+second/5, 20*second+second/4
	}
	d.asked[15].Request.First = d.asked[15].Start + 3*second
	d.judged(t)
	o = d.objective("availability", 0, 1)
	assert.Contains(t, o.Why, " requests (100 %) were answered", "both may still have been")
}

func TestFailBack(t *testing.T) {
	// A is back from the 24th second on: b answers until then.
	late := func(d *drill) {
		for n := 20; n < 24; n++ {
			d.asked[n].By = "b"
		}
	}
	for name, c := range map[string]struct {
		change func(*drill)
		lo, hi float64
		flaps  int
	}{
		"at once": {func(*drill) {}, 0, 1.2, 0}, // the first answer after the revert, at 21 s
		"late":    {late, 2.9, 4.2, 0},
		"flaps":   {func(d *drill) { late(d); d.asked[27].By = "b" }, 6.9, 8.2, 1},
		"two at once, one still elsewhere": {func(d *drill) {
			late(d)
			d.asked[25].By, d.asked[25].Start = "b", d.asked[24].End-second/1000
		}, 4.099, 6.2, 0},
		"errors say nothing": {func(d *drill) {
			late(d)
			d.ends(26, timeline.Error, timeline.Failed)
			d.asked[26].By = ""
		}, 2.9, 4.2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrill(t)
			c.change(d)
			r := d.judged(t)
			require.NotNil(t, r.FailBack)
			assert.InDelta(t, c.lo, r.FailBack.Lo, 1e-9)
			require.NotNil(t, r.FailBack.Hi)
			assert.InDelta(t, c.hi, *r.FailBack.Hi, 1e-9)
			assert.Equal(t, c.flaps, r.Flaps)
		})
	}
	d := newDrill(t)
	for n := 20; n < 38; n++ {
		d.asked[n].By = "b"
	}
	r := d.judged(t)
	assert.Nil(t, r.FailBack.Hi, "2 s of the old order are too few to say that it is back for good")
	assert.Equal(t, Missed, d.objective("fail-back", time.Minute, 0).Verdict)
	d = newDrill(t)
	late(d)
	d.judged(t)
	assert.Equal(t, Met, d.objective("fail-back", 5*time.Second, 0).Verdict)
	assert.Equal(t, Missed, d.objective("fail-back", 2*time.Second, 0).Verdict)
	assert.Contains(t, d.objective("fail-back", 4*time.Second, 0).Why, "within the bounds")
}

// Where nothing went to anybody else nothing comes back, and where firedrill led it away
// firedrill leads it back.
func TestFailBackOfWhatNeverLeft(t *testing.T) {
	d := newDrill(t)
	for n := 11; n < 20; n++ {
		d.ends(n, timeline.Error, timeline.Failed)
		d.asked[n].By = ""
	}
	r := d.judged(t)
	assert.Nil(t, r.FailBack)
	o := ObjectiveResult{Name: "fail-back", Component: "models", Verdict: Inconclusive, Target: 30}
	d.judgeRequestObjective(&o)
	assert.Equal(t, Inconclusive, o.Verdict)
	assert.Equal(t, "requests never left a: there is nothing to come back from", o.Why)

	d = newDrill(t)
	d.remedies = []*remedy{{RemedyBegan: timeline.RemedyBegan{Remedy: "fail-over", Target: "members of models"}}}
	d.judged(t)
	assert.NotContains(t, d.objective("fail-back", time.Minute, 0).Why, "firedrill", "it has changed nothing")
	d.rec.Events = []timeline.Moment{{Payload: timeline.Journaled{Kind: "remedy", For: "fail-over: switch route gateway"}}}
	o = d.objective("fail-back", time.Minute, 0)
	assert.Equal(t, Met, o.Verdict)
	assert.Contains(t, o.Why, "of the fault's end, led back by firedrill's undo of the remedy fail-over; target")
}

// The headline does not make a partial outage a whole one.
func TestSentenceSaysThatAnOutageWasPartial(t *testing.T) {
	j := &judge{index: &index{rec: &timeline.Record{}, cleaned: &timeline.CleanedUp{Verdict: "clean"}, intents: 1}}
	j.res.Cleanup.Verdict = "clean"
	j.res.Objectives = []ObjectiveResult{{Name: "rto", Component: "models", Series: "chat/fresh", Target: 10, Actual: &Seconds{Lo: 12}}}
	j.res.Probes = []ProbeResult{{Name: "chat", Client: "fresh", Partial: []PartialResult{{Bad: 120, Samples: 400, Share: 0.3}}}}
	assert.Equal(t, "Models had not recovered after 12 s against a target of 10 s (a partial outage: 30 % of 400 requests failed); everything was put back.", j.sentence())
	j.res.Objectives[0].Actual = &Seconds{Lo: 4, Hi: new(4.2)}
	assert.Contains(t, j.sentence(), "Models recovered in 4.1 s (± 0.1 s) against a target of 10 s (a partial outage: 30 % of 400 requests failed)")
	j.res.Probes[0].Partial = nil
	assert.NotContains(t, j.sentence(), "partial")
}

// every100 is a series of 100 samples, 100 ms apart, of which some fail.
func every100(fails func(n int) bool) seriesJudged {
	r := Readings{Every: 100 * time.Millisecond, Timeout: time.Second}
	for n := range 100 {
		at := timeline.Offset(n) * second / 10
		s := timeline.Sample{N: int64(n), Due: at, Start: at, End: at + second/500, Class: timeline.OK}
		if fails(n) {
			s.Class = timeline.Error
		}
		r.Samples = append(r.Samples, s)
	}
	return seriesJudged{readings: r, outages: r.Outages()}
}

// A service that fails three requests in ten is neither up nor down.
func TestPartialOutage(t *testing.T) {
	j := &judge{index: &index{rec: &timeline.Record{}, plan: timeline.Plan{Stable: timeline.Stable{For: 3 * time.Second}}}}
	got := j.partial(every100(func(n int) bool { return n >= 40 && n < 80 && n%10 < 3 }))
	require.Len(t, got, 1)
	assert.Equal(t, 12, got[0].Bad)
	assert.InDelta(t, 0.36, got[0].Share, 0.03)
	assert.Equal(t, "error", got[0].Class)

	assert.Empty(t, j.partial(every100(func(n int) bool { return n >= 40 && n < 60 })), "that is down")
}

func TestPercentNeverRoundsUp(t *testing.T) {
	for share, want := range map[float64]string{1: "100 %", 0.99999: "99.99 %", 0.5: "50 %", 0.995: "99.5 %", 0: "0 %"} {
		assert.Equal(t, want, percent(share))
	}
}
