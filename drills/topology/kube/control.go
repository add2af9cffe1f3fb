package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills/kind"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
)

// wantedAnnotation keeps, while a member is stopped, how many replicas its workload is
// to have again.
const wantedAnnotation = "firedrill.dev/replicas"

// ControlSpec controls a member that Kubernetes runs.
type ControlSpec struct {
	Place
	// StopTimeout is how long the pods of the workload may take to be gone after it was
	// scaled to 0; give it more than their terminationGracePeriodSeconds.
	StopTimeout spec.Duration `json:"stopTimeout,omitempty"`
	// StartTimeout is how long the pods may take to be ready after a start.
	StartTimeout spec.Duration `json:"startTimeout,omitempty"`
}

// controlDefaults leave a pod twice the time to end that Kubernetes gives it by default.
var controlDefaults = ControlSpec{StopTimeout: spec.Duration(time.Minute), StartTimeout: spec.Duration(2 * time.Minute)}

// ControlEntry is the catalogue entry of the control.
func ControlEntry() kind.Kind[topology.NewControl] {
	return kind.New(ControlKind, "Runs the member in Kubernetes: stopped by scaling its workload to 0.", controlDefaults,
		func(s ControlSpec) (topology.NewControl, error) {
			if s.Workload != "" {
				if _, err := ParseWorkload(s.Workload); err != nil {
					return nil, fmt.Errorf("with.%w", err)
				}
			}
			return func(m topology.MemberSpec) (topology.Control, error) {
				return &control{ControlSpec: s, member: m.Name}, nil
			}, nil
		})
}

type control struct {
	ControlSpec
	member string
}

func (c *control) open() (*Cluster, string, error) {
	k, err := c.Open()
	if err != nil {
		return nil, "", err
	}
	return k, cmp.Or(c.Namespace, k.Namespace), nil
}

// Status implements topology.Control.
func (c *control) Status(ctx context.Context) (topology.Status, error) {
	k, ns, err := c.open()
	if err != nil {
		return topology.Status{}, err
	}
	if c.Pod == "" && c.Workload != "" {
		s, err := c.alone(ctx, k, ns)
		if err != nil {
			return topology.Status{}, err
		}
		return topology.Status{Running: s.Ready > 0, Detail: fmt.Sprintf("%s: %d of %d pods are ready", c.Workload, s.Ready, s.Wanted)}, err
	}
	if c.Pod == "" {
		return topology.Status{}, fmt.Errorf("member %s: control kubernetes: a pod or a workload is needed", c.member)
	}
	p, err := k.Client.CoreV1().Pods(ns).Get(ctx, c.Pod, metav1.GetOptions{})
	if gone(err) {
		return topology.Status{Detail: "there is no pod " + c.Pod}, nil
	}
	if err != nil {
		return topology.Status{}, k.Explain(fmt.Sprintf("look at pod %s in namespace %s", c.Pod, ns), err)
	}
	return topology.Status{Running: Ready(p), Detail: cmp.Or(Ailment(p), "ready")}, nil
}

// alone looks at the member's workload, and refuses one that runs others besides: to
// stop the member would stop them all, whatever limits and quorum say of each.
func (c *control) alone(ctx context.Context, k *Cluster, ns string) (Scaled, error) {
	w, err := ParseWorkload(c.Workload)
	if err != nil {
		return Scaled{}, err
	}
	s, err := k.Look(ctx, ns, w)
	switch {
	case err != nil:
	case !s.Scalable:
		err = fmt.Errorf("member %s: %s in namespace %s cannot be scaled to 0: give the member a workload of its own, or use pod-kill", c.member, w, ns)
	case s.Wanted > 1:
		err = fmt.Errorf("member %s: %s in namespace %s has %d replicas, stopping it would stop them all: give each member a workload of its own, or use pod-kill",
			c.member, w, ns, s.Wanted)
	}
	return s, err
}

// CanStop says why the member cannot be stopped alone, nil if it can. It touches
// nothing.
func (c *control) CanStop(ctx context.Context) error {
	_, err := c.stoppable(ctx)
	return err
}

func (c *control) stoppable(ctx context.Context) (Scaled, error) {
	if c.Workload == "" {
		return Scaled{}, fmt.Errorf("member %s: Kubernetes replaces pod %s at once: name the workload that it is alone in (control.with.workload), or use pod-kill", c.member, c.Pod)
	}
	k, ns, err := c.open()
	if err != nil {
		return Scaled{}, err
	}
	return c.alone(ctx, k, ns)
}

// Stop scales the member's workload to 0 and waits until its pods are gone.
func (c *control) Stop(ctx context.Context) error {
	s, err := c.stoppable(ctx)
	if err != nil {
		return err
	}
	k, ns, err := c.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.StopTimeout.Std(), fmt.Errorf("not stopped %s after %s was scaled to 0 (stopTimeout)", c.StopTimeout, c.Workload))
	defer cancel()
	if s.Wanted > 0 {
		w, err := ParseWorkload(c.Workload)
		if err != nil {
			return err
		}
		if err := k.Annotate(ctx, ns, w, wantedAnnotation, fmt.Sprint(s.Wanted)); err != nil {
			return err
		}
		if err := k.Scale(ctx, ns, w, 0); err != nil {
			return err
		}
	}
	return c.until(ctx, func() error {
		list, err := k.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: s.Selector})
		if err == nil && len(list.Items) > 0 {
			err = fmt.Errorf("pod %s is still there", list.Items[0].Name)
		}
		return err
	})
}

// Start gives the workload its replicas back and waits until they are ready.
func (c *control) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.StartTimeout.Std(), fmt.Errorf("not ready %s after the start (startTimeout)", c.StartTimeout))
	defer cancel()
	if c.Workload == "" {
		return c.until(ctx, func() error {
			st, err := c.Status(ctx)
			if err == nil && !st.Running {
				err = errors.New(st.Detail)
			}
			return err
		})
	}
	k, ns, err := c.open()
	if err != nil {
		return err
	}
	w, err := ParseWorkload(c.Workload)
	if err != nil {
		return err
	}
	if err := k.unscale(ctx, ns, w); err != nil {
		return err
	}
	return c.until(ctx, func() error {
		s, err := k.Look(ctx, ns, w)
		if err == nil && s.Ready < max(1, s.Wanted) {
			err = fmt.Errorf("%s: %d of %d pods are ready", w, s.Ready, s.Wanted)
		}
		return err
	})
}

// until looks until there is no error any more, or ctx ends.
func (c *control) until(ctx context.Context, look func() error) error {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("member %s: %w: %w", c.member, context.Cause(ctx), err)
		}
	}
}
