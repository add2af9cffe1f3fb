package poll_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"firedrill/drills/topology/control/poll"
)

var errNotYet = errors.New("not yet")

func TestUntilReturnsOnceTheConditionHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, calls := time.Now(), 0
		err := poll.Until(t.Context(), time.Second, func(context.Context) error {
			if calls++; calls < 4 {
				return errNotYet
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 3*time.Second, time.Since(begin))
	})
}

func TestUntilSaysWhatItWaitedForWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		err := poll.Until(ctx, time.Second, func(context.Context) error { return errNotYet })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, errNotYet)
	})
}

func TestUntilStopsAtAPermanentError(t *testing.T) {
	err := poll.Until(t.Context(), time.Hour, func(context.Context) error { return poll.Stop(errNotYet) })
	assert.Equal(t, errNotYet, err)
}
