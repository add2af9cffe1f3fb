package probes

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"firedrill/drills"
	"firedrill/drills/sampling"
	"firedrill/drills/timeline"
)

// classOf names what a failed look at the service means. An error that says
// nothing about the network is otherwise.
func classOf(ctx context.Context, err error, otherwise timeline.Class) timeline.Class {
	c := sampling.ClassOf(err)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return timeline.NoData
	case c == timeline.DNS || c == timeline.NoData:
	case ctx.Err() != nil:
		// Whatever came of ending the exchange at the deadline, there was no answer.
		return timeline.Timeout
	case c != timeline.Error:
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		// A packet filter on the runner that rejects what leaves.
		return timeline.Unreachable
	default:
		return otherwise
	}
	return c
}

// failed is the observation of a look that ended in err.
func failed(ctx context.Context, err error, otherwise timeline.Class) drills.Observation {
	return drills.Observation{Class: classOf(ctx, err, otherwise), Detail: firstLine(err.Error())}
}

// firstLine returns what stands before the first line break.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s)
}
