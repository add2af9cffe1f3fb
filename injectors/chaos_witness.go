package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
)

// Confirm has a witness other than Chaos Mesh where there is one: the pods' end, their
// kubelets, or connections of this program's own. Else it says with drills.ErrOwnWord
// that there is none but Chaos Mesh's records.
func (f *chaosFault) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	o, err := openChaos(undo)
	if err != nil {
		return "", err
	}
	switch {
	case f.kills():
		return confirmLeft(ctx, podRefs(o.Pods))
	case f.kind == "PodChaos":
		return o.confirmStopped(ctx)
	case o.Cut:
		return o.confirmCut(ctx, f.rejects())
	case o.Late > 0:
		return o.confirmLate(ctx)
	}
	if err := poll.Until(ctx, chaosEvery, o.look); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: Chaos Mesh says so itself: injected for %s", o, o.hit()), drills.ErrOwnWord
}

// hit names the targets for people.
func (u chaosUndo) hit() string {
	if hit := u.affected(); len(hit) > 0 {
		return chaosNames(hit)
	}
	return "the machines that its spec names"
}

// podRefs are the pods as other faults know them.
func podRefs(pods []chaosPod) []podRef {
	out := make([]podRef, len(pods))
	for i, p := range pods {
		out[i] = p.podRef
	}
	return out
}

// confirmCut sees that connections do not come about that did before.
func (o *chaosObject) confirmCut(ctx context.Context, reject bool) (string, error) {
	err := atOnce(o.Pods, func(p chaosPod) error {
		return poll.Until(ctx, chaosEvery, func(ctx context.Context) error { return p.Path.cutOff(ctx, reject) })
	})
	if err != nil {
		return "", err
	}
	return "connections from the runner that came about before do not any more: to " + chaosNames(o.Pods), nil
}

// confirmStopped has the kubelet for a witness: it does not run the containers any more
// that it did before.
func (o *chaosObject) confirmStopped(ctx context.Context) (string, error) {
	only, _ := o.Spec["containerNames"].([]any)
	said := make([]string, len(o.Pods))
	all := make([]int, len(o.Pods))
	for i := range all {
		all[i] = i
	}
	err := atOnce(all, func(i int) error {
		return poll.Until(ctx, chaosEvery, func(ctx context.Context) (err error) {
			said[i], err = o.Pods[i].stopped(ctx, only)
			return err
		})
	})
	return strings.Join(said, "; "), err
}

// stopped returns what the kubelet says once none of the containers runs any more that
// did before: all, or only those that are named.
func (p chaosPod) stopped(ctx context.Context, only []any) (string, error) {
	n, err := p.now(ctx)
	if err != nil {
		return "", err
	}
	if !n.same {
		return "", poll.Stop(fmt.Errorf("%s is %s: it did not stay to be seen", p, n))
	}
	var ended []string
	for _, s := range n.pod.Status.ContainerStatuses {
		if len(only) > 0 && !slices.Contains(only, any(s.Name)) {
			continue
		}
		if s.ContainerID == p.Running[s.Name] && s.State.Running != nil {
			return "", fmt.Errorf("container %s of %s still runs, says its kubelet", s.Name, p)
		}
		ended = append(ended, s.Name)
	}
	if len(ended) == 0 {
		return "", errors.New("the kubelet says nothing about the containers of " + p.String())
	}
	return fmt.Sprintf("%s: its kubelet has ended the containers that ran before (%s)", p, strings.Join(ended, ", ")), nil
}

// Held returns why the fault was not in force until now: Chaos Mesh has undone it, or a
// pod was replaced by one that it does not act on.
func (f chaosLasting) Held(ctx context.Context, undo drills.Undo) error {
	o, err := openChaos(undo)
	if err != nil {
		return err
	}
	if err := o.look(ctx); err != nil {
		return err
	}
	hit := o.affected()
	all, err := nowAll(ctx, podRefs(hit))
	for i, n := range all {
		if !n.same {
			err = errors.Join(err, fmt.Errorf("%s is %s, and Chaos Mesh does not act on the one that came in its place", hit[i], n))
		}
	}
	return err
}

// restored returns nil once the pod has the images that it had, or is gone.
func (p chaosPod) restored(ctx context.Context) error {
	n, err := p.now(ctx)
	if err != nil || !n.same {
		return err
	}
	for name, image := range images(n.pod) {
		if before, ok := p.Images[name]; ok && before != image {
			return fmt.Errorf("container %s of %s still has the image %s instead of %s", name, p, image, before)
		}
	}
	if i := slices.IndexFunc(n.pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running == nil }); i >= 0 {
		return fmt.Errorf("container %s of %s does not run yet, says its kubelet", n.pod.Status.ContainerStatuses[i].Name, p)
	}
	return nil
}
