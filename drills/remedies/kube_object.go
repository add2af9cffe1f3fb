package remedies

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

const (
	// kubeEvery is how often an object is looked at while something is waited for.
	kubeEvery = 100 * time.Millisecond
	// kubeWithin bounds one change of an object: an API server that is started again
	// meanwhile is waited for.
	kubeWithin = 30 * time.Second
)

// kubeObject is an object that a remedy changes. It is in undos.
type kubeObject struct {
	kube.Access
	Namespace string `json:"namespace,omitempty"`
	Group     string `json:"group,omitempty"`
	Version   string `json:"version"`
	Resource  string `json:"resource"`
	// Kind is the word for people.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// UID tells it from another of its name; empty until it was seen.
	UID types.UID `json:"uid,omitempty"`
}

// String names the object for people.
func (o kubeObject) String() string {
	text := o.Kind + "/" + o.Name
	if o.Namespace != "" {
		text += " in namespace " + o.Namespace
	}
	return text
}

func (o kubeObject) gvr() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: o.Group, Version: o.Version, Resource: o.Resource}
}

// privilege is what reading and patching the object takes.
func (o kubeObject) privilege(remedy string) topology.Privilege {
	return topology.Privilege{
		Group: o.Group, Resource: o.Resource, Verbs: []string{"get", "patch"}, Namespace: o.Namespace, For: remedy,
	}
}

func (o kubeObject) open() (*kube.Cluster, dynamic.ResourceInterface, error) {
	c, err := o.Open()
	if err != nil {
		return nil, nil, err
	}
	if o.Namespace == "" {
		return c, c.Dynamic.Resource(o.gvr()), nil
	}
	return c, c.Dynamic.Resource(o.gvr()).Namespace(o.Namespace), nil
}

// get reads the object. One that is gone, or another of its name, is drills.ErrGone.
func (o kubeObject) get(ctx context.Context) (*unstructured.Unstructured, error) {
	c, api, err := o.open()
	if err != nil {
		return nil, err
	}
	now, err := api.Get(ctx, o.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("%w: %w", drills.ErrGone, c.Explain("look at "+o.String(), err))
	case err != nil:
		return nil, c.Explain("look at "+o.String(), err)
	case o.UID != "" && now.GetUID() != o.UID:
		return nil, fmt.Errorf("%s: %s: it was deleted, and another one has its name: %w", o, c.Says, drills.ErrGone)
	}
	return now, nil
}

// patiently asks for something until the API server answers, if it is away for a moment.
func patiently[T any](ctx context.Context, ask func(context.Context) (T, error)) (got T, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, kubeWithin, fmt.Errorf("no answer within %s", kubeWithin))
	defer cancel()
	err = poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		var err error
		if got, err = ask(ctx); err != nil && !passing(err) {
			return poll.Stop(err)
		}
		return err
	})
	return got, err
}

// wants returns the merge patch that is left to be sent to an object that reads so,
// nil if there is nothing left to do.
type wants func(now *unstructured.Unstructured) (map[string]any, error)

// change patches the object with what left returns, against the very version that it
// looked at, until a look says that there is nothing left to do. It waits for an API
// server that does not answer for a moment.
func (o kubeObject) change(ctx context.Context, left wants) error {
	ctx, cancel := context.WithTimeoutCause(ctx, kubeWithin, fmt.Errorf("not done within %s", kubeWithin))
	defer cancel()
	return poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		done, err := o.step(ctx, left)
		if err == nil && !done { // read it back at once
			done, err = o.step(ctx, left)
		}
		switch {
		case err != nil && !passing(err):
			return poll.Stop(err)
		case err == nil && !done:
			return fmt.Errorf("%s: %s: it took the change, and does not show it", o, o.says())
		}
		return err
	})
}

// step looks at the object, and patches it if there is something left to do.
func (o kubeObject) step(ctx context.Context, left wants) (done bool, err error) {
	now, err := o.get(ctx)
	if err != nil {
		return false, err
	}
	patch, err := left(now)
	if err != nil {
		return false, fmt.Errorf("%s: %s: %w", o, o.says(), err)
	}
	if patch == nil {
		return true, nil
	}
	return false, o.patch(ctx, now.GetResourceVersion(), patch)
}

// patch sends a merge patch of a copy of the object with a version.
func (o kubeObject) patch(ctx context.Context, version string, patch map[string]any) error {
	c, api, err := o.open()
	if err != nil {
		return err
	}
	meta, _ := patch["metadata"].(map[string]any)
	if meta == nil {
		meta = map[string]any{}
	}
	if version != "" {
		meta["resourceVersion"] = version
	}
	patch["metadata"] = meta
	text, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("patch %s: %w", o, err)
	}
	_, err = api.Patch(ctx, o.Name, types.MergePatchType, text, metav1.PatchOptions{FieldManager: "firedrill"})
	return c.Explain("patch "+o.String(), err)
}

// says names the API server.
func (o kubeObject) says() string {
	c, err := o.Open()
	if err != nil {
		return err.Error()
	}
	return c.Says
}

// passing tells whether an error of the API may be over in a moment.
func passing(err error) bool {
	var lost *url.Error
	return apierrors.IsConflict(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) ||
		errors.As(err, &lost)
}

// until waits for something about an object, at most for so long.
func (o kubeObject) until(ctx context.Context, within time.Duration, look func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not so after %s", within))
	defer cancel()
	err := poll.Until(ctx, kubeEvery, func(ctx context.Context) error {
		err := look(ctx)
		if errors.Is(err, drills.ErrGone) {
			err = poll.Stop(err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", o, o.says(), err)
	}
	return nil
}

// annotations is a merge patch of some of an object's annotations; nil removes one.
func annotations(set map[string]any) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": set}}
}

// field reads a part of an object into a value; what is not there leaves it as it is.
func field[T any](now *unstructured.Unstructured, into *T, path ...string) error {
	part, found, err := unstructured.NestedFieldNoCopy(now.Object, path...)
	if err != nil || !found {
		return err
	}
	b, err := json.Marshal(part)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("its %s: %w", strings.Join(path, "."), err)
	}
	return nil
}

// typed reads the whole object.
func typed[T any](now *unstructured.Unstructured) (T, error) {
	var out T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(now.Object, &out)
	return out, err
}

// kubeHome returns how a component's cluster is reached, and the namespace that it is
// in.
func kubeHome(c *topology.Component) (kube.Access, string, error) {
	var at kube.Access
	var namespace string
	switch a := c.Adapter.(type) {
	case *kube.Pods:
		at, namespace = a.Spec.Access, a.Spec.Namespace
	case *kube.Nodes:
		at, namespace = a.Spec.Access, a.Spec.Namespace
	default:
		if len(c.Members) == 0 {
			return at, "", fmt.Errorf("component %s is of kind %s, which does not live in Kubernetes", c.Name(), c.Spec.Kind)
		}
		place, err := kube.PlaceOf(c.Members[0].Spec)
		if err != nil {
			return at, "", fmt.Errorf("component %s: %w", c.Name(), err)
		}
		at, namespace = place.Access, place.Namespace
	}
	k, err := at.Open()
	if err == nil && namespace == "" {
		namespace = k.Namespace
	}
	return at, namespace, err
}
