package reports

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/verdict"
	"firedrill/reports/reportstest"
	"firedrill/reports/svg"
)

func TestFocusIsTheRecovery(t *testing.T) {
	f := focus(reportstest.Big())
	assert.Less(t, f.From, 0.0)
	assert.Greater(t, f.To, 51.6)
	assert.Less(t, f.To, 60.0)
	r := reportstest.Inconclusive()
	assert.Equal(t, svg.Scale{From: r.Picture.From, To: r.Picture.To}, focus(r), "nothing happened: the whole run")
}

func TestWorstIsTheLongestJudgedOutage(t *testing.T) {
	w := worst(reportstest.Met())
	require.NotNil(t, w)
	assert.InDelta(t, 5.7, (w.From+w.To)/2, 0.1)
	assert.Nil(t, worst(reportstest.Inconclusive()))
}

func TestCoarseJoinsOnlyWhatIsTooMuch(t *testing.T) {
	few := []verdict.Band{{State: "good", From: 0, To: 1}, {State: "bad", Class: "refused", From: 1, To: 2}, {State: "good", From: 2, To: 9}}
	assert.Equal(t, few, coarse(few, 9, 20))
	var many []verdict.Band
	for i := range 500 {
		x := float64(i)
		many = append(many, verdict.Band{State: "bad", Class: []string{"refused", "reset"}[i%2], From: x, To: x + 0.5}, verdict.Band{State: "good", From: x + 0.5, To: x + 1})
	}
	got := coarse(many, 500, 20)
	assert.LessOrEqual(t, len(got), 20)
	assert.Equal(t, "bad", got[0].State)
	assert.Equal(t, flapping, got[0].Class)
	assert.InDelta(t, 0, got[0].From, 1e-9)
	assert.InDelta(t, 499.5, got[0].To, 1e-9)
}

func TestWaterfallFillsWaiting(t *testing.T) {
	w := newWaterfall(reportstest.Met())
	var names []string
	for _, p := range w.Phases {
		names = append(names, p.Name)
	}
	assert.Equal(t, []string{"inject", "first client error", "detect", "wait for the topology", "fence", "choose", "drain", "promote", "repoint", "switch route", "first success", "held stable"}, names)
	assert.Equal(t, "runner", w.Phases[4].By)
	assert.Equal(t, "after", w.Phases[11].By)
	assert.Empty(t, newWaterfall(reportstest.Aborted()).Phases)
}

func TestBulletDrawsAnIntervalAsOne(t *testing.T) {
	hi := 6.0
	b := newBullet(verdict.ObjectiveResult{Name: "rto", Target: 10, Actual: &verdict.Seconds{Lo: 4, Hi: &hi}})
	assert.Equal(t, svg.Scale{From: 0, To: 11.2}.Len(4, 6), b.Width)
	assert.False(t, b.Open)
	b = newBullet(verdict.ObjectiveResult{Name: "rto", Target: 10, Actual: &verdict.Seconds{Lo: 40}})
	assert.True(t, b.Open, "it never recovered: no upper end")
	assert.Equal(t, "Recovery time more than 40 s against a target of 10 s.", b.Says)
	assert.Empty(t, newBullet(verdict.ObjectiveResult{Name: "rpo"}).Bar)
}

func TestCeiling(t *testing.T) {
	for n, want := range map[int]int{0: 1, 1: 1, 4: 5, 650: 800, 801: 1000, 1000: 1000} {
		assert.Equal(t, want, ceiling(n))
	}
}
