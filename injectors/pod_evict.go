package injectors

import (
	"context"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// PodEvictSpec evicts pods through the eviction API, as a drain does: disruption
// budgets (PodDisruptionBudget) have their say.
type PodEvictSpec struct {
	// Patience is how long an eviction that a budget forbids is tried again. 0s: what a
	// budget forbids now is refused before anything is touched. What a budget never
	// allows is refused in any case.
	Patience spec.Duration `json:"patience,omitempty"`
}

type podEvict struct{ spec PodEvictSpec }

func newPodEvict(s PodEvictSpec) (drills.Injector, error) { return &podEvict{spec: s}, nil }

// Privileges implements drills.Privileged.
func (*podEvict) Privileges(c *topology.Component) []topology.Privilege {
	return needs(c, "pod-evict", podNeeds(c), leaveNeeds, evictNeeds)
}

// Prepare has the API server try each eviction without doing it.
func (f *podEvict) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	pods, err := leavingPods(ctx, t)
	if err != nil {
		return drills.Undo{}, err
	}
	if err := tryEvictions(ctx, pods, f.spec.Patience > 0); err != nil {
		return drills.Undo{}, err
	}
	return undoLeaving(pods)
}

// Inject evicts the pods.
func (f *podEvict) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u podsUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return evictAll(ctx, u.Pods, f.spec.Patience.Std())
}

// Revert returns once the pods have been replaced.
func (*podEvict) Revert(ctx context.Context, undo drills.Undo) error {
	return (&podKill{}).Revert(ctx, undo)
}

// Confirm asks who does not evict pods whether they have left.
func (*podEvict) Confirm(ctx context.Context, t drills.Target, undo drills.Undo) (string, error) {
	return (&podKill{}).Confirm(ctx, t, undo)
}
