package injectors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// PodKillSpec deletes pods; their controllers make others. Pods without a controller
// are refused, as nobody would bring them back.
type PodKillSpec struct {
	// Grace is how long the pod may take to end, in whole seconds. "0s", the default,
	// removes it from the API at once, without waiting for its node ("kubectl delete
	// --force"): it gets no traffic any more and is replaced, while its node still lets
	// its containers end in the time that the pod itself gives them. From "1s" on the pod
	// is asked to end, and its containers are killed when the time is over. "workload" is
	// the time that the pod gives (terminationGracePeriodSeconds).
	Grace string `json:"grace,omitempty"`
	// Through says who kills: "native", firedrill at the Kubernetes API, or
	// "chaos-mesh", which must be installed in the cluster.
	Through string `json:"through,omitempty" jsonschema:"enum=native,enum=chaos-mesh"`
}

var podKillDefaults = PodKillSpec{Grace: "0s", Through: "native"}

// ownGrace as a grace period is that of the pod itself.
const ownGrace = "workload"

type podKill struct {
	// grace is nil for the pod's own.
	grace *int64
}

func newPodKill(s PodKillSpec) (drills.Injector, error) {
	grace, err := s.grace()
	if err != nil {
		return nil, err
	}
	switch s.Through {
	case "native":
		return &podKill{grace: grace}, nil
	case "chaos-mesh":
		if grace == nil {
			return nil, errors.New("grace: Chaos Mesh cannot leave it to the pod: name a duration, or kill through native")
		}
		return newChaosPodKill(time.Duration(*grace) * time.Second), nil
	}
	return nil, fmt.Errorf("through: %q: want native or chaos-mesh", s.Through)
}

// grace is the grace period in seconds, nil for the pod's own.
func (s PodKillSpec) grace() (*int64, error) {
	if s.Grace == ownGrace {
		return nil, nil
	}
	var d spec.Duration
	if err := d.UnmarshalJSON([]byte(`"` + s.Grace + `"`)); err != nil {
		return nil, fmt.Errorf("grace: %w, or %q", err, ownGrace)
	}
	if d.Std()%time.Second != 0 {
		return nil, fmt.Errorf("grace: %s: Kubernetes knows whole seconds only", s.Grace)
	}
	seconds := int64(d.Seconds())
	return &seconds, nil
}

// Privileges implements drills.Privileged.
func (*podKill) Privileges(c *topology.Component) []topology.Privilege {
	return needs(c, "pod-kill", podNeeds(c), leaveNeeds, []need{{"", "pods", "delete", ""}})
}

// Prepare needs pods that are ready and that somebody brings back.
func (f *podKill) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	pods, err := leavingPods(ctx, t)
	if err != nil {
		return drills.Undo{}, err
	}
	for i := range pods {
		if f.grace != nil {
			pods[i].Grace = max(pods[i].Grace, spec.Duration(*f.grace)*spec.Duration(time.Second))
		}
	}
	return undoLeaving(pods)
}

// leavingPods looks at the pods that a fault is to remove.
func leavingPods(ctx context.Context, t drills.Target) ([]livePod, error) {
	pods, err := targetPods(ctx, t)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if err := refuseNaked(p.pod); err != nil {
			return nil, err
		}
	}
	if err := guardPods(ctx, t, pods); err != nil {
		return nil, err
	}
	return pods, prepareLeaving(ctx, t, pods)
}

// undoLeaving: the pods are not brought back, but others in their place.
func undoLeaving(pods []livePod) (drills.Undo, error) {
	says := fmt.Sprintf("wait until %s %s replaced", strings.Join(podNames(refs(pods)), ", "), isOrAre(len(pods)))
	return writeUndo(says, podsUndo{Pods: refs(pods)})
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// Inject deletes all pods at once, and none but those that were chosen: one that has
// taken a pod's name is left alone.
func (f *podKill) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u podsUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return atOnce(u.Pods, func(r podRef) error { return f.kill(ctx, r) })
}

func (f *podKill) kill(ctx context.Context, r podRef) error {
	c, err := r.Place.Open()
	if err != nil {
		return err
	}
	err = c.Client.CoreV1().Pods(r.Place.Namespace).Delete(ctx, r.Place.Pod, metav1.DeleteOptions{
		GracePeriodSeconds: f.grace, Preconditions: &metav1.Preconditions{UID: &r.UID},
	})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return fmt.Errorf("%s was gone before it could be killed: somebody else has removed it: %w", r, err)
	}
	return c.Explain("delete "+r.String(), err)
}

// Revert returns once the pods have been replaced.
func (*podKill) Revert(ctx context.Context, undo drills.Undo) error {
	var u podsUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, func(ctx context.Context) error { return revertLeft(ctx, u.Pods) })
}

// Confirm asks who does not delete pods whether they have left: connections to them,
// the endpoints of their Service, their kubelets.
func (*podKill) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u podsUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	return confirmLeft(ctx, u.Pods)
}
