package injectors

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
)

const (
	// chaosEvery is how often an object or a pod is looked at: it bounds what is said
	// about when something happened, on the runner's own clock.
	chaosEvery = 25 * time.Millisecond
	// chaosCall bounds a call that must not be cut short.
	chaosCall = 20 * time.Second
	// chaosPatience is how long Chaos Mesh may fail: it tries again by itself, which
	// cures conflicts, and nothing that a node lacks.
	chaosPatience = 5 * time.Second
)

// Inject makes the object and waits until Chaos Mesh says of every target that it is
// injected.
func (f *chaosFault) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	o, err := openChaos(undo)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := o.create(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, f.spec.InjectWithin.Std())
	defer cancel()
	var failing time.Time
	err = poll.Until(limited, chaosEvery, func(ctx context.Context) error {
		err := o.look(ctx)
		switch {
		case errors.Is(err, errChaosGone):
			return poll.Stop(err)
		case !errors.Is(err, errChaosFailing):
			failing = time.Time{}
		case failing.IsZero():
			failing = time.Now()
		case time.Since(failing) > chaosPatience:
			return poll.Stop(err)
		}
		return err
	})
	if err != nil {
		// Whatever it has hit is not to wait for the revert.
		o.deleteSoon(ctx)
	}
	return err
}

func openChaos(undo drills.Undo) (*chaosObject, error) {
	var u chaosUndo
	if err := readUndo(undo, &u); err != nil {
		return nil, err
	}
	return u.open()
}

// create makes the object. The call is not cut short: it might be carried out after
// the revert.
func (o *chaosObject) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chaosCall)
	defer cancel()
	_, err := o.api.Create(ctx, o.object(), metav1.CreateOptions{FieldValidation: metav1.FieldValidationIgnore})
	if apierrors.IsAlreadyExists(err) {
		return nil // nobody else has this name
	}
	return o.refused("make", err)
}

// look returns nil if the fault is in force now, as Chaos Mesh says.
func (o *chaosObject) look(ctx context.Context) error {
	got, err := o.get(ctx)
	if err != nil {
		return err
	}
	s, err := chaosStatus(got)
	if err != nil {
		return fmt.Errorf("read the status of %s: %w", o, err)
	}
	return o.inForce(s)
}

// deleteSoon asks for the object's deletion; that it is done is the revert's to see.
func (o *chaosObject) deleteSoon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), chaosCall)
	defer cancel()
	_ = o.api.Delete(ctx, o.Name, metav1.DeleteOptions{})
}
