package drills_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

func TestRunnerHeals(t *testing.T) {
	w := &world{}
	res, clean := w.run(t, nil)
	assert.True(t, clean)
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	assert.Equal(t, 0, res.ExitCode)
	assert.Equal(t, "runner", res.Recovery.By)
	require.Len(t, res.Objectives, 2)
	rto := res.Objectives[0]
	require.NotNil(t, rto.Actual)
	require.NotNil(t, rto.Actual.Hi)
	assert.Less(t, *rto.Actual.Hi, 0.2)
	assert.Equal(t, "rejoin", res.Objectives[1].Name)
	assert.False(t, w.broken)
	assert.Equal(t, 1, w.restored)
	assert.Equal(t, "clean", res.Faults[0].Revert)
}

func TestTopologyHeals(t *testing.T) {
	w := &world{healsIn: 3 * time.Second}
	res, _ := w.run(t, func(d *drills.Drill, _ *drills.Options) { d.Plan.HealAfter = 20 * time.Second })
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	assert.Equal(t, "topology", res.Recovery.By)
	assert.Empty(t, res.Remedies)
	require.NotNil(t, res.Objectives[0].Actual.Hi)
	assert.LessOrEqual(t, res.Objectives[0].Actual.Lo, 3.0)
	assert.GreaterOrEqual(t, *res.Objectives[0].Actual.Hi, 3.0)
	assert.Less(t, *res.Objectives[0].Actual.Hi, 3.1)
}

func TestTargetExceeded(t *testing.T) {
	w := &world{healsIn: 12 * time.Second, noRemedy: true}
	res, _ := w.run(t, nil)
	assert.Equal(t, verdict.Missed, res.Verdict)
	assert.Equal(t, 1, res.ExitCode)
}

func TestNothingHeals(t *testing.T) {
	w := &world{noRemedy: true}
	res, clean := w.run(t, nil)
	assert.True(t, clean)
	assert.Equal(t, verdict.Missed, res.Verdict)
	assert.Equal(t, "none", res.Recovery.By)
	assert.Nil(t, res.Objectives[0].Actual.Hi)
	assert.InDelta(t, 30, res.Objectives[0].Actual.Lo, 0.1)
}

func TestRemedyFails(t *testing.T) {
	w := &world{remedyErr: errors.New("replica db-2 misses 12 transactions")}
	res, _ := w.run(t, nil)
	assert.Equal(t, verdict.Missed, res.Verdict)
	assert.Equal(t, "failed", res.Remedies[0].Outcome)
	assert.Contains(t, res.Remedies[0].Error, "12 transactions")
	assert.Equal(t, "none", res.Recovery.By)
	assert.Greater(t, res.Objectives[0].Actual.Lo, 10.0, "proven, not given up")
	assert.Less(t, res.Objectives[0].Actual.Lo, 10.1, "and no longer waited for")
	assert.Equal(t, "the remediation did not succeed; waiting until the objective of 10 s is surely missed, Ctrl-C puts everything back now: remedy mend: replica db-2 misses 12 transactions", res.Caveats[0])
}

// A recovery time objective is not missed before its time has passed.
func TestGivenUpBeforeTheTarget(t *testing.T) {
	for name, w := range map[string]*world{
		"no remedy":    {noRemedy: true},
		"remedy fails": {remedyErr: errors.New("no replica")},
	} {
		t.Run(name, func(t *testing.T) {
			res, clean := w.run(t, func(d *drills.Drill, _ *drills.Options) { d.Plan.Longest = 5 * time.Second })
			assert.True(t, clean)
			assert.Equal(t, verdict.Inconclusive, res.Verdict)
			assert.Equal(t, 4, res.ExitCode)
			rto := res.Objectives[0]
			assert.Equal(t, verdict.Inconclusive, rto.Verdict)
			assert.Nil(t, rto.Actual.Hi)
			assert.InDelta(t, 5, rto.Actual.Lo, 0.1)
			assert.Equal(t, "look/fresh had not recovered when the drill stopped looking, 5 s after the fault, because limits.duration (5 s) was over; the target of 10 s had not passed by then, so it is neither met nor missed", rto.Why)
			assert.Contains(t, res.Sentence, "Nothing can be concluded: RTO of svc: look/fresh had not recovered")
			if w.remedyErr != nil {
				assert.Contains(t, res.Caveats[0], "waiting until limits.duration (5 s) is over, Ctrl-C puts everything back now: remedy mend: no replica")
				assert.Equal(t, "the remedy mend failed: no replica", res.Reasons[len(res.Reasons)-1])
			}
		})
	}
}

// hanging answers late while the world is down, or not at all.
type hanging struct{ *world }

// Open implements drills.ProbeKind.
func (h hanging) Open(context.Context, drills.Subject) (drills.Probe, error) { return h, nil }

// Observe implements drills.Probe.
func (h hanging) Observe(ctx context.Context) drills.Observation {
	for {
		if o := h.world.Observe(ctx); o.Class == timeline.OK {
			return o
		}
		select {
		case <-ctx.Done():
			return drills.Observation{Class: timeline.Timeout}
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Samples that hang say so only when they end: those that the revert would answer
// prove nothing, and the drill waits for the ones before them.
func TestRemedyFailsAndClientsHang(t *testing.T) {
	w := &world{remedyErr: errors.New("no replica")}
	res, _ := w.run(t, func(d *drills.Drill, _ *drills.Options) {
		d.Series[0].Kind, d.Plan.Series[0].Timeout, d.Plan.Series[0].Concurrency = hanging{w}, 4*time.Second, 300
	})
	assert.Equal(t, verdict.Missed, res.Verdict, res.Reasons)
	assert.Greater(t, res.Objectives[0].Actual.Lo, 10.0)
}

// What heals all the same within its target has met it, whoever was to heal it.
func TestRemedyFailsButTheTopologyHeals(t *testing.T) {
	w := &world{remedyErr: errors.New("the route is fixed"), healsIn: 6 * time.Second}
	res, _ := w.run(t, func(d *drills.Drill, _ *drills.Options) { d.Plan.HealAfter = 2 * time.Second })
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	assert.Equal(t, "topology", res.Recovery.By)
	assert.Equal(t, "failed", res.Remedies[0].Outcome)

	w = &world{remedyErr: errors.New("the route is fixed")}
	res, _ = w.run(t, func(d *drills.Drill, _ *drills.Options) { d.Plan.HealAfter = 2 * time.Second })
	assert.Equal(t, verdict.Missed, res.Verdict)
	assert.Greater(t, res.Objectives[0].Actual.Lo, 10.0, "proven, not given up")
}

func TestUnconfirmedIsInconclusive(t *testing.T) {
	w := &world{confirmErr: errors.New("the process still runs")}
	res, clean := w.run(t, nil)
	assert.True(t, clean)
	assert.Equal(t, verdict.Inconclusive, res.Verdict)
	assert.Equal(t, 4, res.ExitCode)
	assert.False(t, w.broken)
}

func TestBadBaselineAborts(t *testing.T) {
	w := &world{down: true}
	res, _ := w.run(t, nil)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Equal(t, 3, res.ExitCode)
	assert.Zero(t, w.injected)
}

func TestEveryWayOutReverts(t *testing.T) {
	for name, w := range map[string]*world{
		"inject fails":  {injectErr: errors.New("no")},
		"inject panics": {injectPanic: true},
	} {
		t.Run(name, func(t *testing.T) {
			res, clean := w.run(t, nil)
			assert.True(t, clean)
			assert.Equal(t, verdict.Aborted, res.Verdict, res.Reasons)
			assert.False(t, w.broken)
			assert.Equal(t, 1, w.restored)
		})
	}
}

func TestCancelReverts(t *testing.T) {
	w := &world{noRemedy: true}
	res, clean := w.run(t, func(d *drills.Drill, o *drills.Options) {
		d.Stops = []drills.StopCondition{{Probe: "look", Outage: 4 * time.Second}}
	})
	assert.True(t, clean)
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "stop condition")
	assert.False(t, w.broken)
}

func TestFailedUndoIsDirtyAndRecoverable(t *testing.T) {
	for name, w := range map[string]*world{
		"revert":  {revertErr: errors.New("permission denied")},
		"restore": {restoreErr: errors.New("db-1 does not answer")},
	} {
		t.Run(name, func(t *testing.T) {
			var home string
			res, clean := w.run(t, func(_ *drills.Drill, o *drills.Options) { home = o.Home })
			assert.False(t, clean)
			assert.Equal(t, verdict.Dirty, res.Verdict)
			assert.Equal(t, 5, res.ExitCode)

			left, err := drills.Journals(home, "world")
			require.NoError(t, err)
			require.Len(t, left, 1)
			assert.True(t, left[0].Left)
			_, err = drills.Recover(context.Background(), home, left[0].Path, w.plugins(), "test", false)
			require.ErrorIs(t, err, drills.ErrDirty)

			w.revertErr, w.restoreErr = nil, nil
			for range 2 {
				_, err = drills.Recover(context.Background(), home, left[0].Path, w.plugins(), "test", false)
				if err != nil {
					assert.NoFileExists(t, left[0].Path)
				}
			}
			left, err = drills.Journals(home, "world")
			require.NoError(t, err)
			assert.Empty(t, left)
			assert.False(t, w.broken)
		})
	}
}

func TestLimitsRefuse(t *testing.T) {
	w := &world{}
	res, _ := w.run(t, func(d *drills.Drill, _ *drills.Options) { d.Faults[0].Target.Role = ""; d.Limits.Members = 1 })
	assert.Equal(t, verdict.Aborted, res.Verdict)
	assert.Contains(t, res.Reasons[0], "limits.members")
	assert.Zero(t, w.injected)
}

// A slow probe that missed a short outage widens the bound; it does not hide what
// a faster one saw.
func TestSlowProbeWidensTheBound(t *testing.T) {
	w := &world{healsIn: 100 * time.Millisecond, noRemedy: true}
	res, _ := w.run(t, func(d *drills.Drill, _ *drills.Options) {
		slow := d.Plan.Series[0]
		slow.Probe, slow.Every = "slow", 400*time.Millisecond
		d.Plan.Series = append(d.Plan.Series, slow)
		d.Series = append(d.Series, d.Series[0])
		d.Plan.Stable.For = 5 * time.Second
	})
	rto := res.Objectives[0]
	assert.Equal(t, "look/fresh", rto.Series)
	assert.Empty(t, res.Probes[1].Outages)
	assert.LessOrEqual(t, rto.Actual.Lo, 0.1)
	assert.Greater(t, rto.Actual.Lo, 0.05)
	assert.GreaterOrEqual(t, *rto.Actual.Hi, 0.4)
	assert.Contains(t, res.Sentence, "recovered in")
}
