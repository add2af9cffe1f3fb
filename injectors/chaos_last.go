package injectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills/topology/control/poll"
)

const (
	// chaosLast bounds the last resort; chaosGlance is how long a last look takes at
	// what can be read back.
	chaosLast   = 90 * time.Second
	chaosGlance = 5 * time.Second
)

// lastResort is for an object that Chaos Mesh does not let go. If it can be read back
// that the fault is undone, all that is left is to let it go. Else whoever has
// consented has the pods replaced. Without consent the object is left as it is: it is
// how Chaos Mesh knows what there is to undo, should its controller come back, and
// without it nobody would. Whatever is done here, the fault is not proven to be undone.
func (f *chaosFault) lastResort(ctx context.Context, o *chaosObject, why error) error {
	ctx, cancel := context.WithTimeout(ctx, chaosLast)
	defer cancel()
	if o.readable() {
		glance, stop := context.WithTimeout(ctx, chaosGlance)
		err := o.undone(glance)
		stop()
		if err == nil {
			return o.letGo(ctx)
		}
		why = errors.Join(why, err)
	}
	hit := o.affected()
	dirty := fmt.Errorf("%s at %s is not proven to be undone: %w", o, o.cluster.Says, why)
	switch {
	case len(hit) == 0:
		return fmt.Errorf("%w: see to the machines that its spec names, and to Chaos Mesh's controller; then firedrill recover", dirty)
	case !f.spec.ReplacePods:
		return fmt.Errorf("%w: bring Chaos Mesh's controller back and run firedrill recover, or have these pods replaced (delete them; with.replacePods is the consent to that): %s",
			dirty, chaosPodUIDs(hit))
	}
	if err := o.replace(ctx); err != nil {
		return fmt.Errorf("%w: as a last resort the pods %s were to be replaced: %w", dirty, chaosPodUIDs(hit), err)
	}
	dirty = fmt.Errorf("%w: as a last resort these pods were replaced: %s", dirty, chaosPodUIDs(hit))
	if err := o.release(ctx); err != nil {
		return fmt.Errorf("%w: the object stays until Chaos Mesh's controller is back: %w", dirty, err)
	}
	return fmt.Errorf("%w: its finalizers were removed", dirty)
}

// replace deletes the pods that the fault acted on and waits until others take their
// places. The object goes after that: it tells whoever comes that there is something
// left.
func (o *chaosObject) replace(ctx context.Context) error {
	hit := o.affected()
	err := atOnce(hit, func(p chaosPod) error {
		err := o.cluster.Client.CoreV1().Pods(p.Place.Namespace).Delete(ctx, p.Place.Pod, metav1.DeleteOptions{
			Preconditions: &metav1.Preconditions{UID: &p.UID},
		})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil // it is gone already
		}
		return o.cluster.Explain("delete "+p.String(), err)
	})
	if err != nil {
		return err
	}
	return poll.Until(ctx, chaosEvery, func(ctx context.Context) error {
		all, err := nowAll(ctx, podRefs(hit))
		for i, n := range all {
			if n.same {
				err = errors.Join(err, fmt.Errorf("%s is %s", hit[i], n))
			}
		}
		if err != nil {
			return err
		}
		return replaced(ctx, podRefs(hit))
	})
}

// letGo releases an object that stands for nothing any more.
func (o *chaosObject) letGo(ctx context.Context) error {
	if err := o.release(ctx); err != nil {
		return fmt.Errorf("what %s did is undone, but the object is still there: run firedrill recover once Chaos Mesh's controller is back: %w", o, err)
	}
	return nil
}

// release removes the object's finalizers, and returns once it is gone. While the
// controller is down even that is refused where its webhooks are in force.
func (o *chaosObject) release(ctx context.Context) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": nil}})
	if err != nil {
		return err
	}
	return poll.Until(ctx, chaosEvery, func(ctx context.Context) error {
		_, err := o.api.Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return poll.Stop(o.refused("remove the finalizers of", err))
		}
		if err := o.api.Delete(ctx, o.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return o.cluster.Explain("delete "+o.String(), err)
		}
		return fmt.Errorf("%s has no finalizers and is still there", o)
	})
}
