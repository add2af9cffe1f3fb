package injectors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// keepers remembers what keeps the pods of one owner.
type keepers map[types.UID]string

// of returns what keeps the number of a pod's kind, as kind/name: the Deployment rather
// than its ReplicaSet. It is "" for pods of other controllers, and of none.
func (k keepers) of(ctx context.Context, c *kube.Cluster, p *corev1.Pod) (string, error) {
	owner := metav1.GetControllerOf(p)
	if owner == nil || !strings.HasPrefix(owner.APIVersion, "apps/") {
		return "", nil
	}
	w := kube.Workload{Kind: strings.ToLower(owner.Kind), Name: owner.Name}
	if w.Kind != kube.ReplicaSet {
		return w.String(), nil
	}
	if known, ok := k[owner.UID]; ok {
		return known, nil
	}
	set, err := c.Client.AppsV1().ReplicaSets(p.Namespace).Get(ctx, owner.Name, metav1.GetOptions{})
	if err != nil {
		return "", c.Explain(fmt.Sprintf("look at %s in namespace %s, which keeps pod %s", w, p.Namespace, p.Name), err)
	}
	if above := metav1.GetControllerOf(set); above != nil && above.Kind == "Deployment" {
		w = kube.Workload{Kind: kube.Deployment, Name: above.Name}
	}
	k[owner.UID] = w.String()
	return w.String(), nil
}

// refuseNaked refuses pods that nobody would bring back, and the one that firedrill
// runs in.
func refuseNaked(p *corev1.Pod) error {
	if err := kube.Spare(p.UID); err != nil {
		return err
	}
	switch owner := metav1.GetControllerOf(p); {
	case owner == nil:
		return fmt.Errorf("pod %s/%s has no controller: nobody would bring it back: let a Deployment or the like keep it, or leave it out", p.Namespace, p.Name)
	case owner.Kind == "Node":
		return fmt.Errorf("pod %s/%s is a static pod of node %s: the API server cannot end it", p.Namespace, p.Name, owner.Name)
	}
	return nil
}

// backWithin bounds how long a replacement may take to be there once the pod has ended;
// that it is ready is for the component to wait for.
const backWithin = time.Minute

// kubeEvery is how often the API server is asked while something is waited for.
const kubeEvery = 50 * time.Millisecond

// revertLeft returns once every pod that the fault took away has been replaced. A pod
// that is untouched is looked at once more a little later: a request that was cut
// short may still have been under way.
func revertLeft(ctx context.Context, pods []podRef) error {
	within := backWithin
	for _, r := range pods {
		within = max(within, backWithin+r.Grace.Std())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("not so within %s", within))
	defer cancel()
	err := settled(ctx, func() (bool, error) {
		all, err := nowAll(ctx, pods)
		return slices.ContainsFunc(all, now.untouched), err
	})
	if err != nil {
		return err
	}
	return poll.Until(ctx, kubeEvery, func(ctx context.Context) error { return replaced(ctx, pods) })
}

// settled waits for as long as settle if the fault does not seem to have come about:
// the request that makes it may still be under way.
func settled(ctx context.Context, absent func() (bool, error)) error {
	not, err := absent()
	if err != nil || !not {
		return err
	}
	wait := time.NewTimer(settle)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// replaced returns nil if every pod is untouched, or its workload has as many pods again
// as it is to have, ready or not.
func replaced(ctx context.Context, pods []podRef) error {
	all, err := nowAll(ctx, pods)
	if err != nil {
		return err
	}
	waits := map[kube.Place]podRef{}
	for i, r := range pods {
		switch {
		case all[i].untouched():
		case r.Keeper != "":
			waits[kube.Place{Access: r.Place.Access, Namespace: r.Place.Namespace, Workload: r.Keeper}] = r
		case all[i].same:
			return fmt.Errorf("%s was asked to end and has not yet", r)
		}
		// What comes in the place of others is for their controller, whatever it is.
	}
	err = atOnce(slices.Collect(maps.Values(waits)), func(r podRef) error { return r.keptAgain(ctx) })
	if errors.Is(err, drills.ErrGone) {
		err = poll.Stop(err)
	}
	return err
}

// keptAgain returns nil if the workload of the pod has as many pods as it is to have.
func (r podRef) keptAgain(ctx context.Context) error {
	c, err := r.Place.Open()
	if err != nil {
		return err
	}
	w, err := kube.ParseWorkload(r.Keeper)
	if err != nil {
		return poll.Stop(fmt.Errorf("read undo: %w", err))
	}
	s, err := c.Look(ctx, r.Place.Namespace, w)
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("%s, which kept %s, is gone: %w", w, r, drills.ErrGone)
	}
	if err != nil {
		return err
	}
	list, err := c.Client.CoreV1().Pods(r.Place.Namespace).List(ctx, metav1.ListOptions{LabelSelector: s.Selector})
	if err != nil {
		return c.Explain(fmt.Sprintf("list the pods of %s in namespace %s", w, r.Place.Namespace), err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !kube.Lives(&p) })
	if len(pods) < s.Wanted {
		return fmt.Errorf("%s in namespace %s has %d of %d pods: %s is not replaced yet", w, r.Place.Namespace, len(pods), s.Wanted, r)
	}
	return nil
}
