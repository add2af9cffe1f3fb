package injectors

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// chaosNotes are the objects in which Chaos Mesh's controller notes, for each pod, what
// its daemon is to do there: the rules of all faults on that pod, each with the object
// that it comes from.
type chaosNotes struct {
	resource string
	lists    []string
}

// chaosNotesOf are those of the kinds that have any.
var chaosNotesOf = map[string]chaosNotes{
	"NetworkChaos": {"podnetworkchaos", []string{"ipsets", "iptables", "tcs"}},
	"IOChaos":      {"podiochaos", []string{"actions"}},
	"HTTPChaos":    {"podhttpchaos", []string{"rules"}},
}

// note reads that of a pod; nil if there is none.
func (o *chaosObject) note(ctx context.Context, p chaosPod) (*unstructured.Unstructured, error) {
	r := chaosNotesOf[o.Kind].resource
	got, err := o.cluster.Dynamic.Resource(v1alpha1.SchemeGroupVersion.WithResource(r)).Namespace(p.Place.Namespace).Get(ctx, p.Place.Pod, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return got, o.cluster.Explain(fmt.Sprintf("look at %s %s", r, p.key()), err)
}

// others are the rules of a list that do not come from this object.
func (o *chaosObject) others(note *unstructured.Unstructured, list string) (others []any, own int) {
	rules, _, _ := unstructured.NestedSlice(note.Object, "spec", list)
	others = slices.DeleteFunc(slices.Clone(rules), func(v any) bool {
		rule, _ := v.(map[string]any)
		return rule["source"] == o.Namespace+"/"+o.Name
	})
	return others, len(rules) - len(others)
}

// unruled returns nil if the daemon has none of the fault's rules on the pod any more,
// or the pod is gone and they with it.
func (o *chaosObject) unruled(ctx context.Context, p chaosPod) error {
	n, err := p.now(ctx)
	if err != nil || !n.same {
		return err
	}
	note, err := o.note(ctx, p)
	if err != nil || note == nil {
		return err
	}
	for _, list := range chaosNotesOf[o.Kind].lists {
		if _, own := o.others(note, list); own > 0 {
			return fmt.Errorf("%s: %s %s still has rules of the fault (%s)", p, note.GetKind(), p.key(), list)
		}
	}
	done, _, _ := unstructured.NestedInt64(note.Object, "status", "observedGeneration")
	failed, _, _ := unstructured.NestedString(note.Object, "status", "failedMessage")
	if failed != "" {
		return fmt.Errorf("%s: Chaos Mesh's daemon fails to take its rules away: %s", p, failed)
	}
	if done < note.GetGeneration() {
		return fmt.Errorf("%s: Chaos Mesh has not taken its rules away yet (%s %s is at generation %d, done is %d)", p, note.GetKind(), p.key(), note.GetGeneration(), done)
	}
	return nil
}

// takeOut removes the fault's rules from the note of a pod. Chaos Mesh does not by
// itself where a rule fails to be made: it goes on trying to make it first.
func (o *chaosObject) takeOut(ctx context.Context, p chaosPod) error {
	note, err := o.note(ctx, p)
	if err != nil || note == nil {
		return err
	}
	spec := map[string]any{}
	for _, list := range chaosNotesOf[o.Kind].lists {
		if others, own := o.others(note, list); own > 0 {
			spec[list] = others
		}
	}
	if len(spec) == 0 {
		return nil
	}
	// Nothing that was written meanwhile is overwritten.
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": note.GetResourceVersion()}, "spec": spec,
	})
	if err != nil {
		return err
	}
	r := chaosNotesOf[o.Kind].resource
	_, err = o.cluster.Dynamic.Resource(v1alpha1.SchemeGroupVersion.WithResource(r)).Namespace(p.Place.Namespace).
		Patch(ctx, p.Place.Pod, types.MergePatchType, patch, metav1.PatchOptions{})
	return o.cluster.Explain(fmt.Sprintf("take the rules of %s out of %s %s", o, r, p.key()), err)
}
