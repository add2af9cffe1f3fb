package vantage

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
)

const (
	millisecond = timeline.Offset(time.Millisecond)
	second      = timeline.Offset(time.Second)
)

// other is a clock that began elsewhere and whose rate changes now and then, by less
// than any two clocks may differ.
type other struct {
	r          *rand.Rand
	at, shows  float64 // the runner's clock and this one, in ns
	rate, next float64
}

// show is what the clock shows when the runner's shows at.
func (c *other) show(at timeline.Offset) timeline.Offset {
	for c.at < float64(at) {
		step := min(float64(at), c.next) - c.at
		c.at += step
		c.shows += step * (1 + c.rate)
		if c.at >= c.next {
			c.next += 1e9 * (0.2 + c.r.Float64())
			c.rate = drift * 0.98 * (2*c.r.Float64() - 1)
		}
	}
	return timeline.Offset(c.shows)
}

// Whatever the way there and the way back take, each for itself, a sample's true start
// and end are inside what it is moved to, and the sample took as long as it did.
func TestSamplesOfAnotherClockContainTheTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 50 {
		c := &other{r: r, shows: (r.Float64() - 0.5) * 1e15}
		var rel Relation
		var worst timeline.Offset
		there := func(scale float64) timeline.Offset { return timeline.Offset(scale * r.ExpFloat64()) }
		for now := second; now < 60*second; now += timeline.Offset(100e6 + 200e6*r.Float64()) {
			// The way there takes 0.2 ms, the way back 3 ms, and both more at times.
			before := now
			heard := c.show(before + there(2e5))
			said := c.show(timeline.Offset(c.at) + there(1e4))
			now = timeline.Offset(c.at) + 2*millisecond + there(1e6)
			rel.After(before, heard)
			rel.Before(said, now)
			require.Zero(t, rel.Strayed(said), "round %d", round)

			start := now + there(1e6)
			due := c.show(start - 10)
			s := timeline.Sample{Due: due, Start: c.show(start)}
			end := start + there(3e8)
			s.End = c.show(end)
			took := s.End - s.Start
			now = end + there(1e6)
			got := rel.Sample(s, now)
			require.LessOrEqual(t, got.Start, start, "round %d", round)
			require.GreaterOrEqual(t, got.End, end-took/1000, "round %d", round)
			require.LessOrEqual(t, got.End, max(now, got.Start+took))
			require.InDelta(t, float64(took), float64(got.Took()), 2)
			require.Equal(t, s.Start-s.Due, got.Start-got.Due, "its lateness")
			worst = max(worst, got.Error)
		}
		assert.Less(t, worst, 4*millisecond, "round %d", round)
	}
}

func TestBoundsComeFromDifferentExchanges(t *testing.T) {
	var rel Relation
	_, ok := rel.At(0)
	assert.False(t, ok)
	// The other clock is 1 s behind. One message was fast on its way there, another one
	// on its way back.
	rel.After(5*second, 4*second+millisecond/10)
	rel.Before(4*second+millisecond/10, 5*second+30*millisecond)
	rel.After(5*second+100*millisecond, 4*second+150*millisecond)
	rel.Before(4*second+150*millisecond, 5*second+150*millisecond+millisecond/5)
	i, ok := rel.At(4*second + 150*millisecond)
	require.True(t, ok)
	assert.LessOrEqual(t, i.Lo, 5*second+150*millisecond)
	assert.GreaterOrEqual(t, i.Hi, 5*second+150*millisecond)
	assert.Less(t, i.Width(), 400*time.Microsecond, "tighter than either round trip")
}

func TestUnheardOfClockIsKnownLessAndLess(t *testing.T) {
	var rel Relation
	rel.After(second, 0)
	rel.Before(0, second+millisecond)
	assert.Equal(t, 500*time.Microsecond, rel.Error(0))
	assert.Equal(t, 500*time.Microsecond+5*time.Millisecond, rel.Error(10*second))
}

func TestClockThatJumpsIsFoundOut(t *testing.T) {
	var rel Relation
	rel.After(second, 0)
	rel.Before(0, second+millisecond)
	require.Zero(t, rel.Strayed(0))
	// 200 ms later it shows 10 ms too much.
	rel.After(second+200*millisecond, 210*millisecond)
	rel.Before(210*millisecond, second+201*millisecond)
	by := rel.Strayed(210 * millisecond)
	assert.InDelta(t, 9e6, float64(by), 0.3e6)
	i, _ := rel.At(220 * millisecond)
	assert.LessOrEqual(t, i.Lo, second+210*millisecond)
	assert.GreaterOrEqual(t, i.Hi, second+211*millisecond)
	assert.Greater(t, i.Width(), 18*time.Millisecond, "wider from now on")
	require.Zero(t, rel.Strayed(220*millisecond))
}

func TestDelays(t *testing.T) {
	var d delays
	assert.Zero(t, d.quantile(0.99))
	for i := range 1000 {
		d.add(time.Duration(i+1) * time.Millisecond)
	}
	assert.InEpsilon(t, 990e6, float64(d.quantile(0.99)), 0.06)
	d.add(-time.Second)
	d.add(1 << 62)
	assert.Positive(t, d.quantile(1))
}
