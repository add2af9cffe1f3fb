package injectors

import (
	"context"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// WorkloadScaleSpec gives the workload of the targets another number of replicas. One
// of Replicas and Percent is needed. Which pods a workload gives up is for Kubernetes
// to choose: the target must be as many members as that.
type WorkloadScaleSpec struct {
	// Replicas is how many there are to be.
	Replicas *int `json:"replicas,omitempty" jsonschema:"minimum=0"`
	// Percent is how many there are to be, of as many as there are to be now; rounded
	// up.
	Percent *int `json:"percent,omitempty" jsonschema:"minimum=0"`
}

type workloadScale struct{ spec WorkloadScaleSpec }

func newWorkloadScale(s WorkloadScaleSpec) (drills.Injector, error) {
	if (s.Replicas == nil) == (s.Percent == nil) {
		return nil, errors.New("replicas or percent is needed, and not both")
	}
	for field, n := range map[string]*int{"replicas": s.Replicas, "percent": s.Percent} {
		if n != nil && *n < 0 {
			return nil, fmt.Errorf("%s: %d: must not be negative", field, *n)
		}
	}
	return &workloadScale{spec: s}, nil
}

// of is how many replicas there are to be instead of n.
func (s WorkloadScaleSpec) of(n int) int {
	if s.Replicas != nil {
		return *s.Replicas
	}
	return (n**s.Percent + 99) / 100
}

// scaleUndo is what a workload was before. The annotation Mark comes and goes with the
// replicas, by the same request; its value is the run's id.
type scaleUndo struct {
	// Place has the namespace and the workload.
	Place  kube.Place `json:"place"`
	UID    types.UID  `json:"uid"`
	Before int        `json:"before"`
	Set    int        `json:"set"`
	Mark   string     `json:"mark"`
	Run    string     `json:"run,omitempty"`
}

// String names the workload as people do.
func (u scaleUndo) String() string { return u.Place.Workload + " in namespace " + u.Place.Namespace }

// Privileges implements drills.Privileged.
func (*workloadScale) Privileges(c *topology.Component) []topology.Privilege {
	return needs(c, "workload-scale", podNeeds(c), workloadNeeds(c, "patch"), []need{
		{"autoscaling", "horizontalpodautoscalers", "list", ""},
	})
}

// Prepare needs one workload that nobody else scales.
func (f *workloadScale) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	pods, err := targetPods(ctx, t)
	if err != nil {
		return drills.Undo{}, err
	}
	u, err := workloadOfTarget(t, pods)
	if err != nil {
		return drills.Undo{}, err
	}
	s, err := u.look(ctx)
	if err != nil {
		return drills.Undo{}, err
	}
	u.UID, u.Before, u.Set, u.Mark, u.Run = s.uid, s.replicas, f.spec.of(s.replicas), newMark("scale"), t.Run
	gone := u.Before - u.Set
	switch {
	case gone == 0:
		return drills.Undo{}, fmt.Errorf("%s is to have %d replicas already: there is nothing to do", u, u.Before)
	case gone > len(t.Members):
		return drills.Undo{}, fmt.Errorf("scaling %s from %d to %d takes %d pods away, and the target is %d: choose as many members (count, percent)", u, u.Before, u.Set, gone, len(t.Members))
	}
	if err := u.refuseAutoscaler(ctx); err != nil {
		return drills.Undo{}, err
	}
	a, ok := t.Component.Adapter.(*kube.Pods)
	switch {
	case !ok:
		err = guardPlaces(ctx, pods)
	case gone > 0:
		err = guardLeft(ctx, t, a, u.Before, u.Set)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	return writeUndo(fmt.Sprintf("scale %s from %d to %d again", u, u.Set, u.Before), u)
}

// workloadOfTarget is the workload that the component names, or that keeps the pods.
func workloadOfTarget(t drills.Target, pods []livePod) (scaleUndo, error) {
	u := scaleUndo{Place: pods[0].Place}
	u.Place.Pod, u.Place.Workload = "", pods[0].Keeper
	if a, ok := t.Component.Adapter.(*kube.Pods); ok && a.Spec.Workload != "" {
		u.Place.Workload = a.Spec.Workload
	} else {
		for _, p := range pods {
			if p.Keeper != u.Place.Workload || p.Place.Namespace != u.Place.Namespace {
				return u, fmt.Errorf("%s belongs to %s, %s to %s: choose members of one workload", pods[0], u.Place.Workload, p, p.Keeper)
			}
		}
	}
	w, err := kube.ParseWorkload(u.Place.Workload)
	switch {
	case u.Place.Workload == "":
		return u, fmt.Errorf("%s belongs to no Deployment, StatefulSet or ReplicaSet that could be scaled", pods[0])
	case err != nil:
		return u, err
	case w.Kind == kube.DaemonSet:
		return u, fmt.Errorf("%s cannot be scaled: it has as many pods as there are nodes for it", u)
	}
	return u, nil
}

// refuseAutoscaler refuses a workload that an autoscaler would scale back at once.
func (u scaleUndo) refuseAutoscaler(ctx context.Context) error {
	c, err := u.Place.Open()
	if err != nil {
		return err
	}
	list, err := c.Client.AutoscalingV2().HorizontalPodAutoscalers(u.Place.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return c.Explain("list the autoscalers in namespace "+u.Place.Namespace, err)
	}
	for _, h := range list.Items {
		to := h.Spec.ScaleTargetRef
		if strings.EqualFold(to.Kind+"/"+to.Name, u.Place.Workload) {
			return fmt.Errorf("HorizontalPodAutoscaler %s/%s scales %s: it would fight the fault: pause it for the drill", h.Namespace, h.Name, u)
		}
	}
	return nil
}

// Inject scales the workload, unless it has changed since it was looked at.
func (f *workloadScale) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u scaleUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		s, err := u.look(ctx)
		if err == nil && s.replicas != u.Before {
			err = fmt.Errorf("%s is to have %d replicas by now, %d when it was looked at: somebody else scales it", u, s.replicas, u.Before)
		}
		if err != nil {
			return poll.Stop(err)
		}
		return u.patch(ctx, s, u.Set, u.Run)
	})
}

// Revert gives the workload the replicas back that it had, if it still has those that
// the fault gave it.
func (*workloadScale) Revert(ctx context.Context, undo drills.Undo) error {
	var u scaleUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, u.revert)
}

func (u scaleUndo) revert(ctx context.Context) error {
	err := settled(ctx, func() (bool, error) {
		s, err := u.look(ctx)
		return err == nil && !s.marked(u), err
	})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s is gone: %w", u, drills.ErrGone)
	}
	if err != nil {
		return err
	}
	return poll.Until(ctx, kubeEvery, u.restore)
}

// restore returns nil once the workload has been seen to be as before.
func (u scaleUndo) restore(ctx context.Context) error {
	s, err := u.look(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return poll.Stop(fmt.Errorf("%s is gone: %w", u, drills.ErrGone))
	case err != nil:
		return poll.Stop(err)
	case s.uid != u.UID:
		return poll.Stop(fmt.Errorf("%s is another one of that name by now: %w", u, drills.ErrGone))
	case !s.marked(u):
		return nil
	case s.replicas != u.Set && s.replicas != u.Before:
		return poll.Stop(fmt.Errorf("%s is to have %d replicas; it had %d, and the fault gave it %d: somebody else has scaled it meanwhile, "+
			"so it is left as it is: scale it to %d if that is right", u, s.replicas, u.Before, u.Set, u.Before))
	}
	if err := u.patch(ctx, s, u.Before, nil); err != nil {
		return err
	}
	return errors.New("it was only just scaled back") // look again
}

// Confirm counts the pods: it is the workload's controller that removes or adds them.
func (*workloadScale) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u scaleUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	c, err := u.Place.Open()
	if err != nil {
		return "", err
	}
	n := 0
	err = poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		pods, err := podsOfWorkload(ctx, c, u.Place.Namespace, u.Place.Workload)
		if n = len(pods); err == nil && (u.Set < u.Before && n > u.Set || u.Set > u.Before && n < u.Set) {
			err = fmt.Errorf("%s has %d pods, not %d yet", u, n, u.Set)
		}
		return err
	})
	return fmt.Sprintf("%s has %d pods: its controller has followed", u, n), err
}

// Held implements drills.Holder.
func (*workloadScale) Held(ctx context.Context, undo drills.Undo) error {
	var u scaleUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	s, err := u.look(ctx)
	if err == nil && (!s.marked(u) || s.replicas != u.Set) {
		err = fmt.Errorf("%s is to have %d replicas, the fault gave it %d: somebody else has scaled it", u, s.replicas, u.Set)
	}
	return err
}
