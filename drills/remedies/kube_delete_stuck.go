package remedies

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills"
	"firedrill/drills/spec"
	"firedrill/drills/topology"
	"firedrill/drills/topology/kube"
)

// PodDeleteStuckSpec says which pods are stuck, and what may be done about it.
type PodDeleteStuckSpec struct {
	// After is for how long a pod must have been stuck: past its grace period, on a
	// node that is lost, or not ready in a crash loop.
	After spec.Duration `json:"after,omitempty"`
	// Force consents to deleting pods that no kubelet ends, without waiting for their
	// containers. On a node that is cut off rather than dead they still run.
	Force bool `json:"force,omitempty"`
	// Finalizers consents to removing the finalizers of pods that are kept by them:
	// what they wait for is then never done.
	Finalizers bool `json:"finalizers,omitempty"`
	// Timeout is how long a pod may take to be gone.
	Timeout spec.Duration `json:"timeout,omitempty"`
}

type podDeleteStuck struct{ spec PodDeleteStuckSpec }

func newPodDeleteStuck(s PodDeleteStuckSpec) (drills.Remedy, error) {
	if s.Timeout <= 0 {
		return nil, errors.New("with.timeout: must be longer than 0s")
	}
	return podDeleteStuck{s}, nil
}

// Privileges implements drills.Privileged.
func (r podDeleteStuck) Privileges(c *topology.Component) []topology.Privilege {
	_, namespace, err := kubeHome(c)
	if err != nil {
		return nil // Apply says so
	}
	verbs := []string{"get", "list", "delete"}
	if r.spec.Finalizers {
		verbs = append(verbs, "patch")
	}
	return []topology.Privilege{
		{Resource: "pods", Verbs: verbs, Namespace: namespace, For: "pod-delete-stuck"},
		{Resource: "nodes", Verbs: []string{"list"}, For: "pod-delete-stuck: which nodes are lost"},
	}
}

// Apply deletes what is stuck, as far as the scenario consents, and then says what it
// would need for the rest. Nothing is taken back: whatever keeps the pods makes others.
func (r podDeleteStuck) Apply(ctx context.Context, t drills.Target, log drills.RemedyLog) error {
	pods, ok := t.Component.Adapter.(*kube.Pods)
	if !ok {
		return fmt.Errorf("component %s is of kind %s: stuck pods are deleted of one of kind %s", t.Component.Name(), t.Component.Spec.Kind, kube.PodsKind)
	}
	place := kubeObject{Access: pods.Spec.Access, Version: "v1", Resource: "pods", Kind: "pod"}
	var err error
	if _, place.Namespace, err = pods.Open(); err != nil {
		return err
	}
	all, err := patiently(ctx, func(ctx context.Context) ([]stuckPod, error) { return r.find(ctx, pods) })
	if err != nil {
		return err
	}
	if len(all) == 0 {
		log.Step(topology.Step{Name: "find stuck pods", Detail: fmt.Sprintf("none has been stuck for %s in namespace %s", r.spec.After, place.Namespace)})
		return nil
	}
	var errs []error
	for _, s := range all {
		o := place
		o.Name, o.UID = s.pod.Name, s.pod.UID
		if needs := s.consent(r.spec.Force, r.spec.Finalizers); needs != "" {
			errs = append(errs, fmt.Errorf("%s is %s: %s: %s", o, s.why, o.says(), needs))
			continue
		}
		err := deed(log, topology.Step{Name: "delete stuck pod", Member: o.Name}, nil, func() (string, error) {
			return "it was " + s.why, s.remove(ctx, o, r.spec.Timeout.Std())
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// find returns the stuck pods.
func (r podDeleteStuck) find(ctx context.Context, a *kube.Pods) (all []stuckPod, err error) {
	c, namespace, err := a.Open()
	if err != nil {
		return nil, err
	}
	selector, _, err := a.Wanted(ctx)
	if err != nil {
		return nil, err
	}
	pods, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, c.Explain(fmt.Sprintf("list the pods %s in namespace %s", selector, namespace), err)
	}
	nodes, err := c.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, c.Explain("list the nodes, to see which are lost", err)
	}
	lost, now := lostNodes(nodes.Items, pods.Items), time.Now()
	for _, p := range pods.Items {
		if p.Status.Phase == corev1.PodSucceeded && p.DeletionTimestamp == nil {
			continue
		}
		if s := stuck(p, lost, now, r.spec.After.Std()); s != nil {
			all = append(all, *s)
		}
	}
	return all, nil
}

// delete asks for the pod's deletion: of this very pod, not of one of its name.
func (s stuckPod) delete(ctx context.Context, o kubeObject) error {
	c, api, err := o.open()
	if err != nil {
		return err
	}
	how := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(o.UID))}
	if s.force {
		how.GracePeriodSeconds = new(int64)
	}
	err = api.Delete(ctx, o.Name, how)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, and maybe another one has its name
	}
	return c.Explain("delete "+o.String(), err)
}

// unfinalize removes the finalizers of what is being deleted.
func unfinalize(ctx context.Context, o kubeObject) error {
	err := o.change(ctx, func(now *unstructured.Unstructured) (map[string]any, error) {
		if len(now.GetFinalizers()) == 0 {
			return nil, nil
		}
		return map[string]any{"metadata": map[string]any{"finalizers": nil}}, nil
	})
	if errors.Is(err, drills.ErrGone) {
		return nil
	}
	return err
}

// gone waits until an object is.
func gone(ctx context.Context, o kubeObject, within time.Duration) error {
	err := o.until(ctx, within, func(ctx context.Context) error {
		now, err := o.get(ctx)
		if err == nil {
			err = errors.New("it is still there")
			if left := now.GetFinalizers(); len(left) > 0 {
				err = fmt.Errorf("it is still there, kept by its finalizers %v", left)
			}
		}
		return err
	})
	if errors.Is(err, drills.ErrGone) {
		return nil
	}
	return err
}
