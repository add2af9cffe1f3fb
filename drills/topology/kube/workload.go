package kube

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// Workload is what keeps a number of pods.
type Workload struct{ Kind, Name string }

// The kinds of workloads.
const (
	Deployment  = "deployment"
	StatefulSet = "statefulset"
	ReplicaSet  = "replicaset"
	DaemonSet   = "daemonset"
)

// ParseWorkload reads kind/name.
func ParseWorkload(text string) (Workload, error) {
	kind, name, ok := strings.Cut(text, "/")
	w := Workload{Kind: strings.ToLower(kind), Name: name}
	switch w.Kind {
	case Deployment, StatefulSet, ReplicaSet, DaemonSet:
		if ok && name != "" {
			return w, nil
		}
	}
	return w, fmt.Errorf("workload %q: want deployment/NAME, statefulset/NAME, replicaset/NAME or daemonset/NAME", text)
}

// String is kind/name.
func (w Workload) String() string { return w.Kind + "/" + w.Name }

// Resource is the plural that the API and RBAC use, in the group "apps".
func (w Workload) Resource() string { return w.Kind + "s" }

// Scaled is what a workload is asked for and has.
type Scaled struct {
	// Wanted are the replicas that it is to have, Ready those that are.
	Wanted, Ready int
	// Selector finds its pods.
	Selector string
	// Scalable tells that Wanted can be set: a DaemonSet goes by nodes.
	Scalable bool
}

// Look asks for a workload.
func (c *Cluster) Look(ctx context.Context, namespace string, w Workload) (s Scaled, err error) {
	var selector *metav1.LabelSelector
	apps := c.Client.AppsV1()
	wanted := func(n *int32) int {
		if n == nil {
			return 1 // the API's default
		}
		return int(*n)
	}
	s.Scalable = true
	switch w.Kind {
	case Deployment:
		o, e := apps.Deployments(namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Wanted, s.Ready, selector = wanted(o.Spec.Replicas), int(o.Status.ReadyReplicas), o.Spec.Selector
		}
	case StatefulSet:
		o, e := apps.StatefulSets(namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Wanted, s.Ready, selector = wanted(o.Spec.Replicas), int(o.Status.ReadyReplicas), o.Spec.Selector
		}
	case ReplicaSet:
		o, e := apps.ReplicaSets(namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Wanted, s.Ready, selector = wanted(o.Spec.Replicas), int(o.Status.ReadyReplicas), o.Spec.Selector
		}
	case DaemonSet:
		o, e := apps.DaemonSets(namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Wanted, s.Ready, selector = int(o.Status.DesiredNumberScheduled), int(o.Status.NumberReady), o.Spec.Selector
			s.Scalable = false
		}
	}
	if err != nil {
		return s, c.Explain(fmt.Sprintf("look at %s in namespace %s", w, namespace), err)
	}
	s.Selector = metav1.FormatLabelSelector(selector)
	return s, nil
}

// Scale sets how many replicas a workload is to have. Its controller writes it, too,
// whenever its pods come and go: what has changed meanwhile is read again.
func (c *Cluster) Scale(ctx context.Context, namespace string, w Workload, replicas int) error {
	if w.Kind == DaemonSet {
		return fmt.Errorf("scale %s in namespace %s: it has as many pods as there are nodes for it", w, namespace)
	}
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error { return c.scaleOnce(ctx, namespace, w, int32(replicas)) })
	return c.Explain(fmt.Sprintf("scale %s in namespace %s to %d", w, namespace, replicas), err)
}

// scaleOnce fails with a conflict if the workload changes between being read and being
// written.
func (c *Cluster) scaleOnce(ctx context.Context, namespace string, w Workload, n int32) (err error) {
	apps := c.Client.AppsV1()
	switch w.Kind {
	case Deployment:
		s, e := apps.Deployments(namespace).GetScale(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Spec.Replicas = n
			_, err = apps.Deployments(namespace).UpdateScale(ctx, w.Name, s, metav1.UpdateOptions{})
		}
	case StatefulSet:
		s, e := apps.StatefulSets(namespace).GetScale(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Spec.Replicas = n
			_, err = apps.StatefulSets(namespace).UpdateScale(ctx, w.Name, s, metav1.UpdateOptions{})
		}
	default:
		s, e := apps.ReplicaSets(namespace).GetScale(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			s.Spec.Replicas = n
			_, err = apps.ReplicaSets(namespace).UpdateScale(ctx, w.Name, s, metav1.UpdateOptions{})
		}
	}
	return err
}
