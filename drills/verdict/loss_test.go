package verdict

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
)

const tenth = second / 10

// podDrill is a drill with a fault at 10 s that is confirmed at 10.1 s, and is put
// back from 40 s on. A probe asks api ten times a second.
type podDrill struct {
	*judge
	asked []timeline.Sample
}

func newPodDrill() *podDrill {
	confirmed := 10*second + tenth
	x := &index{
		rec: &timeline.Record{Started: timeline.Started{StartedAt: time.Unix(1_800_000_000, 0)}},
		plan: timeline.Plan{Series: []timeline.Series{
			{Probe: "web", Client: "fresh", Component: "api", Kind: "http", Every: time.Second / 10, Judged: true},
			{Probe: "pods", Client: "fresh", Component: "api", Kind: "kubernetes", Every: time.Second, Judged: true},
		}},
		faults: []*fault{{
			Injecting: timeline.Injecting{Fault: "kill", Targets: []string{"api-1"}}, measured: true, component: "api",
			from: 10 * second, confirmed: &confirmed,
		}},
		roles: []rolesAt{{at: second, component: "api", members: []timeline.MemberSeen{
			{Member: "api-1", Role: "instance", Facts: map[string]string{"node": "node-a", "readiness": "every 5 s, first after 3 s", "preStop": "none", "grace": "10 s"}},
			{Member: "api-2", Role: "instance", Facts: map[string]string{"node": "node-b", "readiness": "none"}},
		}}},
		reverting: 40 * second, end: 50 * second,
	}
	d := &podDrill{judge: &judge{index: x}}
	d.head = x.faults[0]
	for n := range int64(500) {
		at := timeline.Offset(n) * tenth
		d.asked = append(d.asked, timeline.Sample{N: n, Due: at, Start: at, End: at + tenth/10, Class: timeline.OK})
	}
	return d
}

// tells adds what the platform told, as "10.2 api-1 deleting detail".
func (d *podDrill) tells(lines ...string) {
	for _, l := range lines {
		f := strings.SplitN(l, " ", 4)
		f = append(f, "")
		var at float64
		_, _ = fmt.Sscan(f[0], &at)
		e := toldAt{at: timeline.Offset(at * float64(time.Second))}
		e.Component, e.Member, e.What, e.Detail = "api", strings.TrimPrefix(f[1], "-"), f[2], f[3]
		d.told = append(d.told, e)
	}
}

// late makes what was told last late.
func (d *podDrill) late(by time.Duration) { d.told[len(d.told)-1].Lag = by }

func (d *podDrill) fails(from, to float64) {
	for i := int(from*10 + 0.5); i <= int(to*10+0.5); i++ {
		d.asked[i].Class = timeline.Refused
	}
}

func (d *podDrill) lost(t *testing.T, n int) []LossResult {
	t.Helper()
	d.judgeLosses([][]timeline.Sample{d.asked, {{Start: 10*second + 2*tenth, Class: timeline.Error}}})
	require.Len(t, d.res.Losses, n)
	return d.res.Losses
}

// names are the phases in short: name, begin and end, requests that failed.
func names(r LossResult) (out []string) {
	for _, p := range r.Phases {
		s := fmt.Sprintf("%s %.1f-%.1f %d/%d", p.Name, p.From, p.To, p.Failed, p.Samples)
		if p.Open {
			s += " open"
		}
		out = append(out, s)
	}
	return out
}

// replaced is a pod that is asked to end and replaced by another, slowly.
func replaced() *podDrill {
	d := newPodDrill()
	d.tells(
		"9.9 - echo", "10.2 api-1 deleting grace 10 s", "10.3 api-3 created by replicaset/api", "10.4 api-3 scheduled node-b",
		"10.5 api-1 unserving terminating", "10.9 api-3 started", "10.9 api-3 image image is there", "11.2 api-1 gone",
		"12 - echo", "15.1 api-3 ready", "15.2 api-3 serving", "16 - echo", "30 - echo",
	)
	for i, lag := range map[int]time.Duration{0: 3, 8: 7, 11: 5, 12: 900} {
		d.told[i].Lag = lag * time.Millisecond
	}
	return d
}

func TestLossOfAPod(t *testing.T) {
	d := replaced()
	d.fails(10.2, 10.5)
	r := d.lost(t, 1)[0]
	assert.Equal(t, []string{
		"kill -0.1-0.1 0/2", "endpoint removed 0.1-0.4 3/3", "ended 0.1-1.1 4/10", "replacement created 0.1-0.2 1/1", "scheduled 0.2-0.3 1/1",
		"image 0.3-0.8 2/5", "started 0.8-0.8 0/0", "ready 0.8-5.0 0/42", "in endpoints 5.0-5.1 0/1",
	}, names(r))
	assert.Equal(t, "api-1", r.Member)
	assert.Equal(t, "node-a", r.Node)
	assert.Equal(t, "api-3", r.Replacement)
	assert.Equal(t, "node-b", r.ReplacementNode)
	assert.Equal(t, "kill", r.Cause)
	assert.Equal(t, lostDeleted, r.How)
	assert.InDelta(t, 0.007, *r.WatchLag, 1e-9, "not that of long after")
	assert.InDelta(t, 0.9, *d.res.WatchLag, 1e-9)
	assert.InDelta(t, 5.2, *r.Total.Hi, 1e-9)
	assert.InDelta(t, 5.193, r.Total.Lo, 1e-9)
	assert.Equal(t, "it was among the endpoints until 500 ms after the call: 3 of 5 requests failed by then, and it has no preStop hook; "+
		"1 of 47 requests failed from then until its replacement was among the endpoints; "+
		"the replacement was ready 4.2 s after it ran: its readiness probe is asked every 5 s, first after 3 s", r.Why)
	assert.Empty(t, d.res.Caveats)
}

func TestLossThatCostsNothing(t *testing.T) {
	d := replaced()
	d.roles[0].members[0].Facts["preStop"] = "sleep 2 s"
	r := d.lost(t, 1)[0]
	assert.Contains(t, r.Why, "it was among the endpoints until 500 ms after the call and ended 700 ms later (preStop sleep 2 s); ")
	assert.Contains(t, r.Why, "; none of 52 requests failed")
}

// The first is matched with the first that was created, a pod of the same name before
// any other.
func TestLossesAreMatchedInOrder(t *testing.T) {
	d := newPodDrill()
	d.tells(
		"10.1 api-1 gone", "10.2 api-2 gone", "10.3 api-9 created", "10.4 api-2 created", "10.5 api-8 created",
		"11 api-2 ready", "11 api-9 ready", "11 api-8 ready",
	)
	r := d.lost(t, 2)
	assert.Equal(t, "api-9", r[0].Replacement)
	assert.Equal(t, "api-2", r[1].Replacement)
	assert.Equal(t, lostGone, r[0].How)
	assert.Nil(t, r[0].WatchLag, "nobody measured")
	last := r[0].Phases[len(r[0].Phases)-1]
	assert.Equal(t, LossReady, last.Name, "nobody tells about endpoints")
	assert.InDelta(t, 1, *r[0].Total.Hi, 1e-9)
	assert.InDelta(t, 1, r[0].Total.Lo, 1e-9)
}

func TestLossWithoutReplacement(t *testing.T) {
	for told, want := range map[string]string{
		"":                 "no replacement was created for the 29.9 s until the drill stopped looking",
		"11 api-3 created": "the replacement had no node for the 29 s until the drill stopped looking",
		"11 api-3 created;11.5 api-3 scheduled n;12 api-3 started": "the replacement was not ready for the 28 s until the drill stopped looking",
	} {
		d := newPodDrill()
		d.tells("10.1 api-1 gone")
		if told != "" {
			d.tells(strings.Split(told, ";")...)
		}
		d.tells("40 - echo")
		r := d.lost(t, 1)[0]
		assert.Equal(t, want, r.Why)
		assert.Nil(t, r.Total.Hi)
		assert.InDelta(t, 30, r.Total.Lo, 1e-9)
		assert.True(t, r.Phases[len(r.Phases)-1].Open)
	}
}

// A container that dies is started again, in the same pod.
func TestLossThatComesBack(t *testing.T) {
	d := newPodDrill()
	d.fails(10.3, 13.1)
	d.tells(
		"10.2 api-2 unready container api has ended: exit code 137", "10.3 api-2 unserving not ready",
		"11 api-2 started", "11.1 api-2 ready", "11.3 api-2 serving", "20 - echo",
	)
	r := d.lost(t, 1)[0]
	assert.Equal(t, []string{
		"kill -0.1-0.1 0/2", "endpoint removed 0.1-0.2 0/1", "started 0.1-0.9 7/8", "ready 0.9-1.0 1/1", "in endpoints 1.0-1.2 2/2", "still failing 1.2-3.0 19/19",
	}, names(r)[:6])
	assert.Equal(t, "api-2", r.Replacement)
	assert.Equal(t, "it was unready: container api has ended: exit code 137; it was among the endpoints until 300 ms after the call; "+
		"10 of 10 requests failed from then until it was back; it ran after 800 ms; "+
		"19 of 19 requests failed in the 1.8 s after that: without a readiness probe, a pod gets traffic as soon as it runs", r.Why)
}

// Without a readiness probe nobody need notice but the kubelet.
func TestLossThatKeepsItsEndpoint(t *testing.T) {
	d := newPodDrill()
	d.tells("9 api-1 serving", "10.2 api-2 unready", "10.2 api-2 started", "10.2 api-2 ready", "10.8 api-2 unready", "11 api-2 ready", "12 - echo")
	r := d.lost(t, 2)
	assert.Equal(t, "api-2", r[0].Replacement)
	assert.InDelta(t, 0.2, *r[0].Total.Hi, 1e-9, "it was never taken out")
	assert.InDelta(t, 1.0, *r[1].Total.Hi, 1e-9)
}

// Only what is lost between the first fault and the revert counts, and only members
// that were up.
func TestWhatIsNoLoss(t *testing.T) {
	d := newPodDrill()
	d.roles[0].members[1].Problem = "container api waits"
	d.tells(
		"9 api-1 deleting", "9.5 api-5 created", "10.2 api-1 gone", "10.3 api-2 gone", "11 api-6 created", "12 api-6 gone",
		"13 api-5 ready", "41 api-5 deleting",
	)
	d.lost(t, 0)
}

func TestLossInASilence(t *testing.T) {
	d := newPodDrill()
	d.tells("10.5 - silence no answer", "14 - heard")
	d.late(3500 * time.Millisecond)
	for _, l := range []string{"14 api-1 gone", "14 api-3 created", "14 api-3 scheduled node-b"} {
		d.tells(l)
		d.late(3500 * time.Millisecond)
	}
	d.tells("14.5 api-3 started", "15 api-3 ready", "30 - silence no answer")
	r := d.lost(t, 1)[0]
	assert.InDelta(t, 3.5, r.Phases[0].Late, 1e-9)
	assert.Zero(t, r.Phases[len(r.Phases)-1].Late)
	assert.Equal(t, []string{
		"The platform may not have told how the members of api came and went for 3.5 s, from +0.40 s on.",
		"The platform may not have told how the members of api came and went for 20 s, from +19.90 s on.",
	}, d.res.Caveats)
}

// What is blamed is the latest that had begun.
func TestLossesByARemedy(t *testing.T) {
	d := newPodDrill()
	d.remedies = []*remedy{{RemedyBegan: timeline.RemedyBegan{Remedy: "restart"}, from: 20 * second}}
	d.tells("10.2 api-1 gone", "10.3 api-3 created", "11 api-3 ready", "20.5 api-2 deleting", "20.6 api-4 created", "21 api-4 ready")
	r := d.lost(t, 2)
	assert.Equal(t, "kill", r[0].Cause)
	assert.Equal(t, "restart", r[1].Cause)
	assert.InDelta(t, 1, *r[1].Total.Hi, 1e-9)
	p := d.picture([][]timeline.Sample{d.asked, nil})
	assert.Equal(t, []Mark{{Name: "kill effective"}, {Name: "api-1 lost", At: 0.1}, {Name: "replaced", At: 10.9}}, p.Marks)
	kinds := map[string][]string{}
	for _, l := range p.Roles {
		for _, s := range l.Spans {
			kinds[l.Member] = append(kinds[l.Member], s.Kind)
		}
	}
	assert.Equal(t, []string{"instance", "down"}, kinds["api-1"])
	assert.Equal(t, []string{"down", "instance"}, kinds["api-3"])
}
