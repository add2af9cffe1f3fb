package drills_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/verdict"
)

// A fault that only its maker has seen act counts, and whoever reads the numbers is told
// so; one that nobody has seen does not.
func TestFaultByItsMakersWord(t *testing.T) {
	res, clean := (&world{confirmErr: drills.ErrOwnWord}).run(t, nil)
	assert.True(t, clean)
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	require.Len(t, res.Caveats, 1)
	assert.Equal(t, "fault break: nobody but who made the fault says that it acts: the test looked; whether it did shows in the probes alone", res.Caveats[0])

	res, _ = (&world{confirmErr: errors.New("it was not seen")}).run(t, nil)
	assert.Equal(t, verdict.Inconclusive, res.Verdict)
}
