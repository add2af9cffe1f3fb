package injectors

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"firedrill/drills/topology/control/poll"
)

const (
	// persistFor is how long a revert tries again while the API server does not answer:
	// longer than one takes to be started again.
	persistFor = 90 * time.Second
	// persistEvery is how often.
	persistEvery = 500 * time.Millisecond
)

// persist undoes again and again as long as it is only the API server's fault that it
// fails.
func persist(ctx context.Context, undo func(context.Context) error) error {
	ends, begin := time.Now().Add(persistFor), time.Now()
	return poll.Until(ctx, persistEvery, func(ctx context.Context) error {
		err := undo(ctx)
		switch {
		case !unanswered(err):
			return asFinal(err)
		case time.Now().After(ends):
			return poll.Stop(fmt.Errorf("tried again for %s: %w", time.Since(begin).Round(time.Second), err))
		}
		return err
	})
}

// unanswered tells whether an API server that is away for a while explains an error.
func unanswered(err error) bool {
	if dial, ok := errors.AsType[*url.Error](err); ok {
		return !errors.Is(dial, context.Canceled)
	}
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsServiceUnavailable(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsUnexpectedServerError(err)
}
