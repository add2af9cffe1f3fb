package drills_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/timeline"
	"firedrill/drills/verdict"
)

// check is a probe beside the one that measures recovery.
type check func() bool

// Open implements drills.ProbeKind.
func (c check) Open(context.Context, drills.Subject) (drills.Probe, error) { return c, nil }

// Observe implements drills.Probe.
func (c check) Observe(context.Context) drills.Observation {
	if c() {
		return drills.Observation{Class: timeline.OK}
	}
	return drills.Observation{Class: timeline.WrongAnswer, Detail: "2 orders are unpaid"}
}

// beside runs a drill with one more probe.
func (w *world) beside(t *testing.T, mode string, judged bool, every time.Duration, c check) verdict.Result {
	t.Helper()
	res, clean := w.run(t, func(d *drills.Drill, _ *drills.Options) {
		s := d.Plan.Series[0]
		s.Probe, s.Mode, s.Judged, s.Every = "orders", mode, judged, every
		d.Plan.Series = append(d.Plan.Series, s)
		d.Series = append(d.Series, drills.SeriesStep{Kind: c, Component: d.Series[0].Component})
	})
	require.True(t, clean)
	return res
}

const often = 20 * time.Millisecond

// away tells whether the fault was made and the system is whole again.
func (w *world) away() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.restored > 0
}

func TestProbeAtTheStartStopsTheDrill(t *testing.T) {
	for _, mode := range []string{"SOT", "Edge", "Continuous"} {
		w := &world{}
		res := w.beside(t, mode, true, often, func() bool { return false })
		assert.Equal(t, verdict.ExitAborted, res.ExitCode, mode)
		assert.Contains(t, res.Reasons[0], "the baseline did not hold before any fault: probe orders/fresh", mode)
		assert.Contains(t, res.Reasons[0], "2 orders are unpaid", mode)
		assert.Zero(t, w.injected, mode)
	}
}

func TestProbeAtTheEndIsAnObjective(t *testing.T) {
	for _, mode := range []string{"EOT", "Edge"} {
		w := &world{}
		res := w.beside(t, mode, true, often, func() bool { return !w.away() })
		assert.Equal(t, verdict.ExitMissed, res.ExitCode, mode)
		assert.Equal(t, verdict.Met, objective(t, res, "rto").Verdict, mode)
		o := objective(t, res, "steady-state")
		assert.Equal(t, verdict.Missed, o.Verdict, mode)
		assert.Equal(t, "svc", o.Component)
		assert.Regexp(t, `^probe orders/fresh did not hold once everything was put back: (\d+) of (\d+) samples were bad, the last one wrong-answer: 2 orders are unpaid$`, o.Why)
		assert.Equal(t, []string{"steady-state of svc: " + o.Why}, res.Reasons, mode)
		assert.Contains(t, res.Sentence, "orders/fresh did not hold once everything was put back")
	}
}

func TestProbesThatHold(t *testing.T) {
	for _, mode := range []string{"SOT", "EOT", "Edge", "OnChaos", "Continuous"} {
		w := &world{}
		res := w.beside(t, mode, true, often, func() bool { return true })
		assert.Equal(t, verdict.ExitMet, res.ExitCode, "%s: %v", mode, res.Reasons)
		if mode == "EOT" || mode == "Edge" {
			assert.Equal(t, verdict.Met, objective(t, res, "steady-state").Verdict, mode)
		} else {
			assert.Len(t, res.Objectives, 2, mode)
		}
	}
}

// It may take its time until all is well, and a check that is made every 20 s is
// waited for.
func TestProbeAtTheEndIsWaitedFor(t *testing.T) {
	w := &world{}
	var since time.Time
	res := w.beside(t, "EOT", true, often, func() bool {
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) > 10*time.Second
	})
	assert.Equal(t, verdict.ExitMet, res.ExitCode, res.Reasons)

	res = (&world{}).beside(t, "EOT", true, 20*time.Second, func() bool { return true })
	assert.Equal(t, verdict.ExitMet, res.ExitCode, res.Reasons)
	assert.Equal(t, 2, res.Probes[1].Samples)

	res = (&world{}).beside(t, "EOT", true, time.Hour, func() bool { return true })
	assert.Equal(t, verdict.ExitInconclusive, res.ExitCode)
	assert.Contains(t, res.Reasons[0], "steady-state of svc: probe orders/fresh has 0 samples from when everything was put back")
}

func TestProbeThatOnlyInforms(t *testing.T) {
	for _, mode := range []string{"SOT", "EOT", "Edge", "OnChaos", "Continuous"} {
		res := (&world{}).beside(t, mode, false, often, func() bool { return false })
		assert.Equal(t, verdict.ExitMet, res.ExitCode, "%s: %v", mode, res.Reasons)
		assert.Len(t, res.Objectives, 2, mode)
	}
}
