package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/timeline"
)

// A sample of an agent's is wider by what is not known of its clock, which neither
// makes it late nor takes the truth out of what is reported.
func TestSamplesOfAnotherClock(t *testing.T) {
	const unknown = 60 * ms // to either side: more than what a timeout may be late by
	p := newPlan(200).fill(100, 140, timeline.Timeout, timeline.Offset(time.Second))
	for i := range p {
		p[i].Start, p[i].Due = p[i].Start-unknown, p[i].Due-unknown
		p[i].End, p[i].Error = p[i].End+unknown, unknown
	}
	assert.Equal(t, timeline.Offset(time.Second), p[100].Took())
	got := p.readings().Outages()
	require.Len(t, got, 1)
	assert.Equal(t, 40, got[0].Bad, "no timeout counts as late")
	assert.LessOrEqual(t, got[0].Start.Lo, 4950*ms)
	assert.GreaterOrEqual(t, got[0].Start.Hi, 5000*ms)
	assert.LessOrEqual(t, got[0].End.Lo, 6950*ms)
	assert.GreaterOrEqual(t, got[0].End.Hi, 7002*ms)
	assert.True(t, got[0].Ended)
}
