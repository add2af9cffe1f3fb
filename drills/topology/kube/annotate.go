package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// gone tells whether an error says that the object is not there.
func gone(err error) bool { return apierrors.IsNotFound(err) }

// GVR is the resource of the workload, for clients that know no types.
func (w Workload) GVR() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: w.Resource()}
}

// Annotate sets an annotation of a workload, or removes it if the value is "".
func (c *Cluster) Annotate(ctx context.Context, namespace string, w Workload, name, value string) error {
	set := map[string]any{name: value}
	if value == "" {
		set[name] = nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": set}})
	if err != nil {
		return err
	}
	_, err = c.Dynamic.Resource(w.GVR()).Namespace(namespace).Patch(ctx, w.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return c.Explain(fmt.Sprintf("annotate %s in namespace %s", w, namespace), err)
}

// unscale gives a workload the replicas back that it had before it was stopped.
func (c *Cluster) unscale(ctx context.Context, namespace string, w Workload) error {
	o, err := c.Dynamic.Resource(w.GVR()).Namespace(namespace).Get(ctx, w.Name, metav1.GetOptions{})
	if err != nil {
		return c.Explain(fmt.Sprintf("look at %s in namespace %s", w, namespace), err)
	}
	text, ok := o.GetAnnotations()[wantedAnnotation]
	if !ok {
		return nil // it was not stopped
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%s in namespace %s: annotation %s: %w", w, namespace, wantedAnnotation, err)
	}
	if err := c.Scale(ctx, namespace, w, n); err != nil {
		return err
	}
	return c.Annotate(ctx, namespace, w, wantedAnnotation, "")
}
