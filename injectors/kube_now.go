package injectors

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology/kube"
)

// now is what has become of a pod.
type now struct {
	// pod is the one that has the name now, nil if there is none.
	pod *corev1.Pod
	// same tells that it is still the one that was chosen.
	same bool
}

// untouched tells that nobody has asked the pod to end.
func (n now) untouched() bool { return n.same && kube.Lives(n.pod) }

// String says it for people.
func (n now) String() string {
	switch {
	case n.pod == nil:
		return "gone from the API server"
	case !n.same:
		return "replaced by another one of its name"
	case n.untouched():
		return "still there, and was not asked to end"
	}
	return "asked to end"
}

// now asks what has become of the pod.
func (r podRef) now(ctx context.Context) (now, error) {
	all, err := nowAll(ctx, []podRef{r})
	if err != nil {
		return now{}, err
	}
	return all[0], nil
}

// few is up to how many pods of a namespace are asked for one by one: more are listed
// with all others.
const few = 8

// nowAll asks what has become of pods.
func nowAll(ctx context.Context, pods []podRef) ([]now, error) {
	groups := map[kube.Place][]int{}
	for i, r := range pods {
		where := kube.Place{Access: r.Place.Access, Namespace: r.Place.Namespace}
		groups[where] = append(groups[where], i)
	}
	out := make([]now, len(pods))
	for where, group := range groups {
		c, err := where.Open()
		if err != nil {
			return nil, err
		}
		there := map[string]*corev1.Pod{}
		if len(group) > few {
			list, err := c.Client.CoreV1().Pods(where.Namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, c.Explain("list the pods in namespace "+where.Namespace, err)
			}
			for i := range list.Items {
				there[list.Items[i].Name] = &list.Items[i]
			}
		}
		for _, i := range group {
			r := pods[i]
			if len(group) <= few {
				p, err := c.Client.CoreV1().Pods(where.Namespace).Get(ctx, r.Place.Pod, metav1.GetOptions{})
				if err == nil {
					there[r.Place.Pod] = p
				} else if !apierrors.IsNotFound(err) {
					return nil, c.Explain("look at "+r.String(), err)
				}
			}
			p := there[r.Place.Pod]
			out[i] = now{pod: p, same: p != nil && p.UID == r.UID}
		}
	}
	return out, nil
}

// podsAtOnce is how many pods are acted on at the same time.
const podsAtOnce = 128

// atOnce does the same to many things at the same time and joins what went wrong.
// What is gone for some does not count while it is not for others.
func atOnce[T any](list []T, do func(T) error) error {
	errs, slots := make([]error, len(list)), make(chan struct{}, podsAtOnce)
	done := make(chan struct{}, len(list))
	for i := range list {
		go func() {
			slots <- struct{}{}
			errs[i] = do(list[i])
			<-slots
			done <- struct{}{}
		}()
	}
	for range list {
		<-done
	}
	failed := slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err == nil })
	others := slices.DeleteFunc(slices.Clone(failed), func(err error) bool { return errors.Is(err, drills.ErrGone) })
	if len(failed) == len(list) && len(others) == 0 {
		return errors.Join(failed...)
	}
	return errors.Join(others...)
}
