package remedies

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// RolloutRestartSpec are the parameters of rollout-restart.
type RolloutRestartSpec struct {
	// Workload is what is restarted: deployment/NAME, statefulset/NAME or
	// daemonset/NAME in the component's namespace; default: the component's own.
	Workload string `json:"workload,omitempty"`
	// Timeout is how long the rollout may take.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

type rolloutRestart struct{ spec RolloutRestartSpec }

func newRolloutRestart(s RolloutRestartSpec) (drills.Remedy, error) {
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	return rolloutRestart{s}, checkWorkload(s.Workload)
}

// restartedAt is the annotation of a pod template that `kubectl rollout restart` sets.
const restartedAt = "kubectl.kubernetes.io/restartedAt"

// Privileges implements drills.Privileged.
func (r rolloutRestart) Privileges(c *topology.Component) []topology.Privilege {
	return workloadPrivileges(c, r.spec.Workload, "rollout-restart")
}

// Apply has the workload replace its pods and waits until it has.
func (r rolloutRestart) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	o, err := workloadOf(t.Component, r.spec.Workload)
	if err != nil {
		return err
	}
	now, err := patiently(ctx, o.get)
	if err != nil {
		return err
	}
	if err := rolls(o, now); err != nil {
		return fmt.Errorf("%s: %s: %w", o, o.says(), err)
	}
	o.UID = now.GetUID()
	m := restarted{Object: o, Mark: markName("restarted", scopeOf(log))}
	step := topology.Step{Name: fmt.Sprintf("restart %s/%s", o.Kind, o.Name)}
	if _, found := now.GetAnnotations()[m.Mark]; found {
		step.Detail = "done already"
		log.Step(step)
	} else {
		undo, err := undoWith(fmt.Sprintf("remove the annotation %s of %s; its pods stay as they are", m.Mark, o), m)
		if err != nil {
			return err
		}
		err = deed(log, step, undo, func() (string, error) {
			return "not taken back after the drill: that would replace the pods once more", m.restart(ctx)
		})
		if err != nil {
			return err
		}
	}
	return deed(log, topology.Step{Name: "wait for the rollout"}, nil, func() (string, error) {
		return "", o.until(ctx, r.spec.Timeout.Std(), func(ctx context.Context) error { return rolledOut(ctx, o) })
	})
}

// restarted is what Revert needs.
type restarted struct {
	Object kubeObject `json:"object"`
	// Mark is the annotation that says that it was done.
	Mark string `json:"mark"`
}

// restart sets the time in the pod template, and the mark of this remedy on the
// workload, so that one that was interrupted does not restart it twice.
func (m restarted) restart(ctx context.Context) error {
	at := time.Now().Format(time.RFC3339Nano)
	return m.Object.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		if _, found := now.GetAnnotations()[m.Mark]; found {
			return nil, nil
		}
		patch := annotations(map[string]any{m.Mark: at})
		patch["spec"] = map[string]any{"template": annotations(map[string]any{restartedAt: at})}
		return patch, nil
	})
}

// Revert implements drills.Reverter: it removes the mark. To roll back would replace
// the pods once more, for nothing.
func (rolloutRestart) Revert(ctx context.Context, u drills.Undo) error {
	var m restarted
	if err := readUndo(u, &m); err != nil {
		return err
	}
	return m.Object.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		if _, found := now.GetAnnotations()[m.Mark]; !found {
			return nil, nil
		}
		return annotations(map[string]any{m.Mark: nil}), nil
	})
}

// rolls refuses what would not replace its pods.
func rolls(o kubeObject, now *unstructured.Unstructured) error {
	if by := kept(now); by != "" {
		return fmt.Errorf("it belongs to %s, which would undo that: name that workload", by)
	}
	var paused bool
	var strategy string
	err := errors.Join(field(now, &paused, "spec", "paused"), field(now, &strategy, "spec", "updateStrategy", "type"))
	switch {
	case err != nil:
		return err
	case o.Kind == kube.ReplicaSet:
		return errors.New("a ReplicaSet does not replace its pods when their template changes: delete them, or use a Deployment")
	case paused:
		return errors.New("its rollouts are paused: kubectl rollout resume lets them go on")
	case strategy == string(appsv1.OnDeleteStatefulSetStrategyType):
		return errors.New("its update strategy is OnDelete: its pods are replaced when somebody deletes them, not by a restart")
	}
	return nil
}

// rolledOut tells what is left of a rollout, the way kubectl rollout status does.
func rolledOut(ctx context.Context, o kubeObject) error {
	now, err := o.get(ctx)
	if err != nil {
		return err
	}
	if err := observed(now); err != nil {
		return err
	}
	switch o.Kind {
	case kube.Deployment:
		d, err := typed[appsv1.Deployment](now)
		if err != nil {
			return poll.Stop(err)
		}
		return deploymentRolled(d)
	case kube.StatefulSet:
		s, err := typed[appsv1.StatefulSet](now)
		if err != nil {
			return poll.Stop(err)
		}
		return statefulSetRolled(s)
	}
	d, err := typed[appsv1.DaemonSet](now)
	if err != nil {
		return poll.Stop(err)
	}
	return counted(int(d.Status.DesiredNumberScheduled), int(d.Status.UpdatedNumberScheduled), int(d.Status.NumberAvailable), 0)
}

func deploymentRolled(d appsv1.Deployment) error {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
			return poll.Stop(fmt.Errorf("the rollout does not get on: %s", c.Message))
		}
	}
	want := 1
	if d.Spec.Replicas != nil {
		want = int(*d.Spec.Replicas)
	}
	return counted(want, int(d.Status.UpdatedReplicas), int(d.Status.AvailableReplicas), int(d.Status.Replicas-d.Status.UpdatedReplicas))
}

// statefulSetRolled: pods below the partition stay as they are.
func statefulSetRolled(s appsv1.StatefulSet) error {
	want, fixed := 1, 0
	if s.Spec.Replicas != nil {
		want = int(*s.Spec.Replicas)
	}
	if u := s.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		fixed = min(int(*u.Partition), want)
	}
	if int(s.Status.ReadyReplicas) < want {
		return fmt.Errorf("%d of %d pods are ready", s.Status.ReadyReplicas, want)
	}
	if fixed == 0 && s.Status.UpdateRevision != s.Status.CurrentRevision {
		return fmt.Errorf("%d of %d pods are new", s.Status.UpdatedReplicas, want)
	}
	return counted(want-fixed, int(s.Status.UpdatedReplicas), want-fixed, 0)
}

// counted compares the numbers of a rollout.
func counted(want, updated, available, old int) error {
	switch {
	case updated < want:
		return fmt.Errorf("%d of %d pods are new", updated, want)
	case old > 0:
		return fmt.Errorf("%d old pods are still there", old)
	case available < want:
		return fmt.Errorf("%d of %d pods are available", available, want)
	}
	return nil
}
