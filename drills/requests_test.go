package drills_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/kind"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// models is a world in which a answers until the fault, b instead of it half a
// second later, and a again some time after the revert.
type models struct {
	*world
	asked    int
	hit      time.Time // zero before the fault
	back     time.Time // zero before the revert
	backIn   time.Duration
	heldErr  error
	everSeen []timeline.Exchange
	others   []timeline.Exchange
	dir      string // of the record
}

// Op implements drills.RequestKind.
func (*models) Op() string { return "chat" }

// Open implements drills.ProbeKind.
func (m *models) Open(context.Context, drills.Subject) (drills.Probe, error) { return m, nil }

// Observe implements drills.Probe.
func (m *models) Observe(context.Context) drills.Observation {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	r := &timeline.Request{ID: fmt.Sprint("r1-", m.asked), Op: "chat", Outcome: timeline.Whole, First: 1}
	o := drills.Observation{Class: timeline.OK, By: "a", Request: r}
	switch now := time.Now(); {
	case m.hit.IsZero() || !m.back.IsZero() && now.Sub(m.back) >= m.backIn:
	case now.Sub(m.hit) < 500*time.Millisecond:
		o.Class, o.By, r.Outcome = timeline.Error, "", timeline.Failed
	default:
		o.By = "b"
	}
	if r.Outcome == timeline.Whole {
		m.everSeen = append(m.everSeen, timeline.Exchange{ID: r.ID, Member: o.By, From: time.Now(), Billed: true})
	}
	return o
}

// Inject implements drills.Injector.
func (m *models) Inject(context.Context, drills.Target, drills.Undo) error {
	m.set(func() { m.hit = time.Now() })
	return nil
}

// Revert implements drills.Injector.
func (m *models) Revert(context.Context, drills.Undo) error {
	m.set(func() { m.back = time.Now() })
	return nil
}

// Held implements drills.Holder.
func (m *models) Held(context.Context, drills.Undo) error { return m.heldErr }

// Exchanges implements drills.Wire. The second request was asked twice.
func (m *models) Exchanges(context.Context, drills.Undo) iter.Seq2[timeline.Exchange, error] {
	return func(yield func(timeline.Exchange, error) bool) {
		twice := m.everSeen[1]
		twice.Member = "b"
		for _, x := range append(append(m.everSeen, twice), m.others...) {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// outage runs a drill that is judged by the time until a answers again.
func (m *models) outage(t *testing.T) verdict.Result {
	t.Helper()
	m.world = &world{noRemedy: true}
	res, clean := m.run(t, func(d *drills.Drill, o *drills.Options) {
		m.dir = o.Dir
		o.Plugins.Injectors = kind.Of("fault", kind.New("break", "", struct{}{}, func(struct{}) (drills.Injector, error) { return m, nil }))
		d.Series[0].Kind, d.Faults[0].Injector = m, m
		d.Plan.Series[0].Op = "chat"
		zero := 0.0
		d.Plan.Objectives = append(d.Plan.Objectives,
			timeline.Objective{Name: "fail-back", Component: "svc", Target: 10 * time.Second},
			timeline.Objective{Name: "answered-twice", Component: "svc", Limit: &zero})
	})
	assert.True(t, clean)
	return res
}

func objective(t *testing.T, r verdict.Result, name string) verdict.ObjectiveResult {
	t.Helper()
	for _, o := range r.Objectives {
		if o.Name == name {
			return o
		}
	}
	require.Fail(t, "no objective", name)
	return verdict.ObjectiveResult{}
}

func TestFailBackIsWaitedForAndJudged(t *testing.T) {
	res := (&models{backIn: 6 * time.Second}).outage(t)
	back := objective(t, res, "fail-back")
	assert.Equal(t, verdict.Met, back.Verdict, back.Why)
	require.NotNil(t, back.Actual.Hi)
	assert.LessOrEqual(t, back.Actual.Lo, 6.0)
	assert.GreaterOrEqual(t, *back.Actual.Hi, 6.0)
	assert.Equal(t, verdict.Met, objective(t, res, "rto").Verdict)
	require.Len(t, res.Requests, 1)
	assert.Equal(t, "b", res.Requests[0].Expected)
	assert.NotZero(t, res.Requests[0].Stages[1].By["b"])

	res = (&models{backIn: 11 * time.Second}).outage(t)
	assert.Equal(t, verdict.Missed, objective(t, res, "fail-back").Verdict)
	res = (&models{backIn: time.Hour}).outage(t)
	assert.Equal(t, verdict.Missed, objective(t, res, "fail-back").Verdict, "it was not waited for without end")
}

func TestWhatTheWireSawIsPartOfTheRecord(t *testing.T) {
	res := (&models{}).outage(t)
	twice := objective(t, res, "answered-twice")
	assert.Equal(t, verdict.Missed, twice.Verdict, twice.Why)
	assert.InDelta(t, 1, *twice.Measured, 0)
	assert.Contains(t, res.Evidence.Files, timeline.ExchangesFile)
	assert.Equal(t, "r1-2", res.Requests[0].IDs["answered_twice"][0].ID)
}

// Whoever asks a model puts into the field "user" who its user is.
func TestRecordHasNobodyElsesIDs(t *testing.T) {
	m := &models{}
	for _, id := range []string{"jane@example.com", "r11-7", "firedrill-witness-7-1", "firedrill-canary-X"} {
		m.others = append(m.others, timeline.Exchange{ID: id, Member: "a", From: time.Unix(int64(len(m.others)), 0), Billed: true})
	}
	m.outage(t)
	b, err := os.ReadFile(filepath.Join(m.dir, timeline.ExchangesFile))
	require.NoError(t, err)
	assert.NotContains(t, string(b), "jane")
	assert.NotContains(t, string(b), "r11-7")
	rec, err := timeline.Read(m.dir)
	require.NoError(t, err)
	all, _, err := rec.ReadExchanges()
	require.NoError(t, err)
	var ids []string
	for _, x := range all[len(all)-4:] {
		ids = append(ids, x.ID)
	}
	assert.Equal(t, []string{"", "", "firedrill-witness-7-1", "firedrill-canary-X"}, ids, "they are there, without a name")
}

func TestFaultThatWasNotInForceAllTheTimeProvesNothing(t *testing.T) {
	res := (&models{heldErr: errors.New("the fault point was started anew meanwhile")}).outage(t)
	assert.Equal(t, verdict.Inconclusive, res.Verdict)
	assert.Contains(t, res.Reasons[0], "fault break was not in force until it was reverted: the fault point was started anew")
}
