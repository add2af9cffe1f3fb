package injectors

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// scaled is a workload as it is now.
type scaled struct {
	uid         types.UID
	version     string
	annotations map[string]string
	replicas    int
}

// marked tells whether the fault is in force, as far as its own mark says.
func (s scaled) marked(u scaleUndo) bool { _, ok := s.annotations[u.Mark]; return ok }

// look asks for the workload.
func (u scaleUndo) look(ctx context.Context) (scaled, error) {
	c, err := u.Place.Open()
	if err != nil {
		return scaled{}, err
	}
	w, err := kube.ParseWorkload(u.Place.Workload)
	if err != nil {
		return scaled{}, fmt.Errorf("read undo: %w", err)
	}
	var o metav1.Object
	var n *int32
	apps := c.Client.AppsV1()
	switch w.Kind {
	case kube.Deployment:
		d, e := apps.Deployments(u.Place.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			o, n = d, d.Spec.Replicas
		}
	case kube.StatefulSet:
		s, e := apps.StatefulSets(u.Place.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			o, n = s, s.Spec.Replicas
		}
	case kube.ReplicaSet:
		s, e := apps.ReplicaSets(u.Place.Namespace).Get(ctx, w.Name, metav1.GetOptions{})
		if err = e; err == nil {
			o, n = s, s.Spec.Replicas
		}
	default:
		return scaled{}, fmt.Errorf("%s cannot be scaled", u)
	}
	if err != nil {
		return scaled{}, c.Explain("look at "+u.String(), err)
	}
	out := scaled{uid: o.GetUID(), version: o.GetResourceVersion(), annotations: o.GetAnnotations(), replicas: 1} // the API's default
	if n != nil {
		out.replicas = int(*n)
	}
	return out, nil
}

// patch sets the replicas and the mark, which nil removes, if the workload is still as
// it was seen.
func (u scaleUndo) patch(ctx context.Context, s scaled, replicas int, mark any) error {
	c, err := u.Place.Open()
	if err != nil {
		return poll.Stop(err)
	}
	w, err := kube.ParseWorkload(u.Place.Workload)
	if err != nil {
		return poll.Stop(fmt.Errorf("read undo: %w", err))
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": s.version, "annotations": map[string]any{u.Mark: mark}},
		"spec":     map[string]any{"replicas": replicas},
	})
	if err != nil {
		return poll.Stop(err)
	}
	apps, o := c.Client.AppsV1(), metav1.PatchOptions{}
	switch w.Kind {
	case kube.Deployment:
		_, err = apps.Deployments(u.Place.Namespace).Patch(ctx, w.Name, types.MergePatchType, patch, o)
	case kube.StatefulSet:
		_, err = apps.StatefulSets(u.Place.Namespace).Patch(ctx, w.Name, types.MergePatchType, patch, o)
	default:
		_, err = apps.ReplicaSets(u.Place.Namespace).Patch(ctx, w.Name, types.MergePatchType, patch, o)
	}
	if apierrors.IsConflict(err) {
		return err // it has changed meanwhile: look again
	}
	return asFinal(c.Explain(fmt.Sprintf("scale %s to %d", u, replicas), err))
}
