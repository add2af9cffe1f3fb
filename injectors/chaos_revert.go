package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chaos-mesh/chaos-mesh/api/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
)

// chaosHelp is after what time rules are taken out that Chaos Mesh leaves in.
const chaosHelp = 3 * time.Second

// Revert deletes the object, waits until it is gone, which it is not before Chaos Mesh
// has undone the fault, and reads back whether that is so.
func (f *chaosFault) Revert(ctx context.Context, undo drills.Undo) error {
	o, err := openChaos(undo)
	if err != nil {
		return err
	}
	within := f.spec.RevertWithin.Std()
	limited, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not so within %s", within))
	defer cancel()
	err = o.remove(limited, min(chaosHelp, within/3))
	if f.kills() {
		return f.revertKill(ctx, o, err)
	}
	if err == nil {
		err = o.undone(limited)
	}
	if err == nil {
		return o.homeless(ctx)
	}
	if ctx.Err() != nil || errors.Is(err, drills.ErrGone) {
		return err
	}
	return f.lastResort(ctx, o, err)
}

// revertKill waits until the pods are replaced. The object stands for nothing that is
// left to undo: whoever does not let it go is not waited for.
func (f *chaosFault) revertKill(ctx context.Context, o *chaosObject, kept error) error {
	if kept != nil && ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, chaosCall)
		defer cancel()
		kept = o.letGo(limited)
	}
	left := revertLeft(ctx, podRefs(o.Pods))
	if kept != nil && errors.Is(left, drills.ErrGone) {
		return kept // what is still there is not gone
	}
	if err := errors.Join(kept, left); err != nil {
		return err
	}
	return o.homeless(ctx)
}

// remove deletes the object and returns once it is gone. If that takes longer than
// help, the fault's rules are taken out by hand.
func (o *chaosObject) remove(ctx context.Context, help time.Duration) error {
	err := settled(ctx, func() (bool, error) {
		_, err := o.get(ctx)
		if errors.Is(err, errChaosGone) {
			return true, nil
		}
		return false, nil //nolint:nilerr // it is asked again
	})
	if err != nil {
		return err
	}
	begin, helped := time.Now(), time.Time{}
	return poll.Until(ctx, chaosEvery, func(ctx context.Context) error {
		got, err := o.get(ctx)
		if errors.Is(err, errChaosGone) {
			return nil
		}
		if err != nil {
			return err
		}
		if got.GetDeletionTimestamp() == nil {
			if err := o.api.Delete(ctx, o.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				return o.cluster.Explain("delete "+o.String(), err)
			}
		}
		err = o.remains(got)
		if _, ok := chaosNotesOf[o.Kind]; ok && time.Since(begin) > help && time.Since(helped) > chaosHelp {
			helped = time.Now()
			for _, p := range o.affected() {
				err = errors.Join(err, o.takeOut(ctx, p))
			}
		}
		return err
	})
}

// remains says why an object that was deleted is still there.
func (o *chaosObject) remains(got *unstructured.Unstructured) error {
	said := fmt.Sprintf("%s was asked to go and is still there (finalizers %s)", o, strings.Join(got.GetFinalizers(), ", "))
	s, err := chaosStatus(got)
	if err != nil {
		return fmt.Errorf("%s: read its status: %w", said, err)
	}
	if s.DesiredPhase != v1alpha1.StoppedPhase && len(s.Records) > 0 {
		said += ": Chaos Mesh's controller has not noticed: is it up?"
	}
	for _, r := range s.Records {
		if r.Phase == v1alpha1.NotInjected {
			continue
		}
		said += fmt.Sprintf("; %s is %s", r.Id, strings.ToLower(string(r.Phase)))
		why := chaosFailure(r, v1alpha1.Recover)
		if why == "" {
			why = chaosFailure(r, v1alpha1.Apply)
		}
		if why != "" {
			said += ", as Chaos Mesh fails: " + why
		}
	}
	return errors.New(said)
}

// undone returns once what can be read back is as it was before.
func (o *chaosObject) undone(ctx context.Context) error {
	return atOnce(o.affected(), func(p chaosPod) error {
		return poll.Until(ctx, chaosEvery, func(ctx context.Context) error { return o.undoneOn(ctx, p) })
	})
}

// undoneOn returns nil if nothing of the fault is seen on a pod.
func (o *chaosObject) undoneOn(ctx context.Context, p chaosPod) error {
	if o.Kind == "PodChaos" {
		return p.restored(ctx)
	}
	if _, ok := chaosNotesOf[o.Kind]; !ok {
		return nil // Chaos Mesh's word is all there is: it let the object go
	}
	if err := o.unruled(ctx, p); err != nil {
		return err
	}
	if !o.Cut || p.Path == nil {
		return nil
	}
	n, err := p.now(ctx)
	if err != nil || !n.same {
		return err
	}
	// One that is refused reached the pod.
	if err := p.Path.cutOff(ctx, false); err == nil || ctx.Err() != nil {
		return fmt.Errorf("%s cannot be connected to from here, as it could before (%s)", p, p.Path.Address)
	}
	return nil
}

// readable tells whether it can be read back that a fault is undone, without Chaos
// Mesh's word.
func (o *chaosObject) readable() bool {
	_, ok := chaosNotesOf[o.Kind]
	return ok || o.Kind == "PodChaos"
}

// homeless returns drills.ErrGone if the namespace is gone, or about to be, and with it
// whatever the fault acted on.
func (o *chaosObject) homeless(ctx context.Context) error {
	ns, err := o.cluster.Client.CoreV1().Namespaces().Get(ctx, o.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && ns.DeletionTimestamp != nil:
		return fmt.Errorf("%s: namespace %s at %s: %w", o, o.Namespace, o.cluster.Says, drills.ErrGone)
	case apierrors.IsForbidden(err):
		return nil // whether there is one changes nothing
	}
	return o.cluster.Explain("look at namespace "+o.Namespace, err)
}

// chaosPodUIDs names pods so that nobody takes others for them.
func chaosPodUIDs(pods []chaosPod) string {
	var all []string
	for _, p := range pods {
		all = append(all, fmt.Sprintf("%s (uid %s)", p.key(), p.UID))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}
