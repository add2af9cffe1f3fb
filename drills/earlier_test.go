package drills_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills"
	"firedrill/drills/verdict"
)

// A run begins with what an earlier one left, and tells of it.
func TestEarlierRunIsPutBackFirst(t *testing.T) {
	w := &world{revertErr: errors.New("permission denied")}
	var home string
	_, clean := w.run(t, func(_ *drills.Drill, o *drills.Options) { home = o.Home })
	require.False(t, clean)

	w.revertErr = nil
	var told []drills.Recovery
	res, clean := w.run(t, func(_ *drills.Drill, o *drills.Options) {
		o.Home, o.RunID = home, "r2"
		o.Recovered = func(r drills.Recovery) {
			assert.False(t, w.broken, "everything is put back by then")
			told = append(told, r)
		}
	})
	assert.True(t, clean)
	assert.Equal(t, verdict.Met, res.Verdict, res.Reasons)
	require.Len(t, told, 1)
	assert.Equal(t, "r1", told[0].RunID)
	assert.NotEmpty(t, told[0].Undone)
	left, err := drills.Journals(home, "")
	require.NoError(t, err)
	assert.Empty(t, left)
}
