package kube

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ownMark fits the names of the labels and annotations that drills put on what they
// change, and take away when it is as before: those of faults (firedrill.dev/cordon-ID)
// and remedies (firedrill.dev/scaled-up.ID), that of a member that was stopped, and
// RunLabel.
var ownMark = regexp.MustCompile(`^firedrill\.dev/(run|replicas|[a-z-]+[-.][0-9a-f]{8})$`)

// marksOf says which marks of drills an object has; what names it for people.
func marksOf(o metav1.Object, what string) (left []string) {
	for _, marks := range []struct {
		sort string
		are  map[string]string
	}{{"label", o.GetLabels()}, {"annotation", o.GetAnnotations()}} {
		for _, name := range slices.Sorted(maps.Keys(marks.are)) {
			if ownMark.MatchString(name) {
				left = append(left, fmt.Sprintf("the %s %s=%s on %s", marks.sort, name, marks.are[name], what))
			}
		}
	}
	return left
}

// ofDrill says which drill made an object, "" if none did.
func ofDrill(o metav1.Object) string {
	run, ok := o.GetLabels()[RunLabel]
	switch {
	case ok:
		return "of run " + run
	case o.GetLabels()[managedLabel] == managedBy:
		return "of an unknown run"
	}
	return ""
}

// workload reads a workload for what is attached to it.
func (c *Cluster) workload(ctx context.Context, namespace string, w Workload) (o metav1.Object, err error) {
	apps := c.Client.AppsV1()
	switch w.Kind {
	case Deployment:
		o, err = apps.Deployments(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	case StatefulSet:
		o, err = apps.StatefulSets(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	case ReplicaSet:
		o, err = apps.ReplicaSets(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	default:
		o, err = apps.DaemonSets(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	}
	return o, err
}
