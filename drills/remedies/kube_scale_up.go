package remedies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
)

// WorkloadScaleUpSpec says how many pods a workload is to have; one of replicas and by
// is needed.
type WorkloadScaleUpSpec struct {
	// Workload is what is scaled: deployment/NAME, statefulset/NAME or replicaset/NAME
	// in the component's namespace; default: the component's own.
	Workload string `json:"workload,omitempty"`
	// Replicas is how many pods it is to have. If it is to have as many or more
	// already, nothing is changed.
	Replicas int `json:"replicas,omitempty" jsonschema:"minimum=0"`
	// By is how many pods it is to have more than it is to have when the remedy is
	// applied.
	By int `json:"by,omitempty" jsonschema:"minimum=0"`
	// Timeout is how long the pods may take to be ready.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

type workloadScaleUp struct{ spec WorkloadScaleUpSpec }

func newWorkloadScaleUp(s WorkloadScaleUpSpec) (drills.Remedy, error) {
	if (s.Replicas > 0) == (s.By > 0) {
		return nil, errors.New("with: give replicas or by, and more than 0")
	}
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	return workloadScaleUp{s}, checkWorkload(s.Workload)
}

// scaling is what one remedy does to a workload, and what Revert needs.
type scaling struct {
	Object kubeObject `json:"object"`
	// Mark is the annotation that says that it was done.
	Mark string `json:"mark"`
	// From is how many pods it was to have, To how many it is to have, and Back how
	// many it gets when that is taken back.
	From    int           `json:"from"`
	To      int           `json:"to"`
	Back    int           `json:"back"`
	Timeout spec.Duration `json:"timeout"`
}

// marked is what the annotation holds.
type marked struct {
	From int `json:"from"`
	To   int `json:"to"`
	Back int `json:"back"`
}

// Privileges implements drills.Privileged.
func (r workloadScaleUp) Privileges(c *topology.Component) []topology.Privilege {
	return workloadPrivileges(c, r.spec.Workload, "workload-scale-up")
}

// Apply raises the number of pods and waits until they are ready.
func (r workloadScaleUp) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	o, err := workloadOf(t.Component, r.spec.Workload)
	if err != nil {
		return err
	}
	now, err := patiently(ctx, o.get)
	if err != nil {
		return err
	}
	s, done, err := r.plan(o, now, t, scopeOf(log))
	if err != nil {
		return fmt.Errorf("%s: %s: %w", o, o.says(), err)
	}
	step := topology.Step{Name: fmt.Sprintf("scale %s/%s to %d", o.Kind, o.Name, s.To)}
	if done {
		step.Detail = "is to have as many already"
		log.Step(step)
	} else {
		undo, err := undoWith(fmt.Sprintf("scale %s back to %d", s.Object, s.Back), s)
		if err != nil {
			return err
		}
		err = deed(log, step, undo, func() (string, error) { return fmt.Sprintf("was to have %d", s.From), s.up(ctx) })
		if err != nil {
			return err
		}
	}
	return deed(log, topology.Step{Name: fmt.Sprintf("wait for %d ready pods", s.To)}, nil, func() (string, error) {
		return "", s.ready(ctx)
	})
}

// plan says what is to be done to a workload that reads so, and whether it was done
// already.
func (r workloadScaleUp) plan(o kubeObject, now *unstructured.Unstructured, t drills.Target, scope string) (scaling, bool, error) {
	o.UID = now.GetUID()
	s := scaling{Object: o, Mark: markName("scaled-up", scope), Timeout: r.spec.Timeout}
	if o.Kind == "daemonset" {
		return s, false, errors.New("it has as many pods as there are nodes for it: scale the nodes")
	}
	if by := kept(now); by != "" {
		return s, false, fmt.Errorf("it belongs to %s, which would undo that: name that workload", by)
	}
	is, err := replicasOf(now)
	if err != nil {
		return s, false, err
	}
	var m marked
	if found, err := readMark(now, s.Mark, &m); err != nil || found {
		s.From, s.To, s.Back = m.From, m.To, m.Back
		return s, true, err
	}
	s.From, s.To = is, max(r.spec.Replicas, is)
	if r.spec.By > 0 {
		s.To = is + r.spec.By
	}
	before, err := before(now, t.State)
	// A fault may have scaled it down: it gets back what it had before the drill.
	s.Back = max(is, before)
	return s, s.To == is, err
}

// before is how many of the workload's pods were ready before the drill, as far as
// they are of the component.
func before(now *unstructured.Unstructured, st topology.State) (n int, err error) {
	var want metav1.LabelSelector
	if err := field(now, &want, "spec", "selector"); err != nil {
		return 0, err
	}
	selector, err := metav1.LabelSelectorAsSelector(&want)
	if err != nil || selector.Empty() {
		return 0, err
	}
	for _, m := range st.Members {
		if m.Problem == "" && m.Role != topology.Down && selector.Matches(labels.Set(m.Labels)) {
			n++
		}
	}
	return n, nil
}

// markName is the name of the annotation of one remedy in one drill.
func markName(what, scope string) string {
	h := fnv.New32a()
	h.Write([]byte(scope))
	return fmt.Sprintf("firedrill.dev/%s.%08x", what, h.Sum32())
}

func (s scaling) up(ctx context.Context) error {
	text, err := json.Marshal(marked{From: s.From, To: s.To, Back: s.Back})
	if err != nil {
		return err
	}
	return s.Object.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		is, err := replicasOf(now)
		_, found := now.GetAnnotations()[s.Mark]
		switch {
		case err != nil:
			return nil, err
		case found && is == s.To:
			return nil, nil
		case found || is != s.From:
			return nil, scaledElsewhere(is)
		}
		patch := annotations(map[string]any{s.Mark: string(text)})
		patch["spec"] = map[string]any{"replicas": s.To}
		return patch, nil
	})
}

func scaledElsewhere(to int) error {
	return fmt.Errorf("somebody else scaled it to %d meanwhile: does an autoscaler rule it? Then raise that one's minReplicas", to)
}

// ready waits until all pods are ready.
func (s scaling) ready(ctx context.Context) error {
	return s.Object.until(ctx, s.Timeout.Std(), func(ctx context.Context) error {
		now, err := s.Object.get(ctx)
		if err != nil {
			return err
		}
		is, err := replicasOf(now)
		if err != nil {
			return poll.Stop(err)
		}
		if is < s.To {
			return poll.Stop(scaledElsewhere(is))
		}
		if err := observed(now); err != nil {
			return err
		}
		var ready int
		if err := field(now, &ready, "status", "readyReplicas"); err != nil {
			return poll.Stop(err)
		}
		if ready < s.To {
			return fmt.Errorf("%d of %d pods are ready", ready, s.To)
		}
		return nil
	})
}

// Revert implements drills.Reverter: the number of pods is what it was, unless somebody
// else has set another one since.
func (workloadScaleUp) Revert(ctx context.Context, u drills.Undo) error {
	var s scaling
	if err := readUndo(u, &s); err != nil {
		return err
	}
	err := s.Object.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		is, err := replicasOf(now)
		if _, found := now.GetAnnotations()[s.Mark]; err != nil || !found {
			return nil, err // not done, or taken back already
		}
		patch := annotations(map[string]any{s.Mark: nil})
		switch is {
		case s.To:
			patch["spec"] = map[string]any{"replicas": s.Back}
		case s.Back:
		default:
			return nil, fmt.Errorf("somebody else scaled it to %d since the drill scaled it to %d: see how many pods are wanted, and remove the annotation %s",
				is, s.To, s.Mark)
		}
		return patch, nil
	})
	if err != nil {
		return err
	}
	return s.Object.until(ctx, max(s.Timeout.Std(), time.Second), func(ctx context.Context) error { return s.shrunk(ctx) })
}

// shrunk tells whether the controller has taken the additional pods away.
func (s scaling) shrunk(ctx context.Context) error {
	now, err := s.Object.get(ctx)
	if err != nil {
		return err
	}
	want, err := replicasOf(now)
	if err != nil {
		return err
	}
	var is int
	if err := errors.Join(observed(now), field(now, &is, "status", "replicas")); err != nil {
		return err
	}
	if is > want {
		return fmt.Errorf("it still has %d pods, and is to have %d", is, want)
	}
	return nil
}
