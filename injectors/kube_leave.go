package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"firedrill/drills"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// prepareLeaving finds out how it will be seen that pods are gone.
func prepareLeaving(ctx context.Context, t drills.Target, pods []livePod) error {
	tryPaths(ctx, pods, addressOf(t))
	a, ok := t.Component.Adapter.(*kube.Pods)
	if !ok || a.Spec.Service == "" {
		return nil
	}
	for i := range pods {
		pods[i].Service = a.Spec.Service
	}
	served, err := servedBy(ctx, refs(pods))
	if err != nil {
		return err
	}
	for i := range pods {
		if !served[pods[i].UID] {
			pods[i].Service = "" // that it is not later proves nothing
		}
	}
	return nil
}

// servedBy returns which of the pods the endpoints of their Services send traffic.
func servedBy(ctx context.Context, pods []podRef) (map[types.UID]bool, error) {
	served, asked := map[types.UID]bool{}, map[kube.Place]bool{}
	for _, r := range pods {
		where := kube.Place{Access: r.Place.Access, Namespace: r.Place.Namespace, Workload: r.Service}
		if r.Service == "" || asked[where] {
			continue
		}
		asked[where] = true
		c, err := where.Open()
		if err != nil {
			return nil, err
		}
		slices, err := c.Client.DiscoveryV1().EndpointSlices(where.Namespace).List(ctx, metav1.ListOptions{
			LabelSelector: discoveryv1.LabelServiceName + "=" + r.Service,
		})
		if err != nil {
			return nil, c.Explain(fmt.Sprintf("list the endpoints of Service %s in namespace %s", r.Service, where.Namespace), err)
		}
		for _, s := range slices.Items {
			for _, e := range s.Endpoints {
				if e.TargetRef != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
					served[e.TargetRef.UID] = true
				}
			}
		}
	}
	return served, nil
}

// lingers is how long a pod that is leaving may still be reached before that it is
// leaving is taken for what there is to see.
const lingers = 3 * time.Second

// leaveEvery is how often it is looked whether pods have left.
const leaveEvery = 10 * time.Millisecond

// confirmLeft returns once every pod is seen to have left, by somebody else than who
// was asked to remove it.
func confirmLeft(ctx context.Context, pods []podRef) (string, error) {
	said, begin := make([]string, len(pods)), time.Now()
	waiting := slices.Clone(pods)
	at := map[types.UID]int{}
	for i, r := range pods {
		at[r.UID] = i
	}
	err := poll.Until(ctx, leaveEvery, func(ctx context.Context) error {
		all, err := nowAll(ctx, waiting)
		if err != nil {
			return err
		}
		served, err := servedBy(ctx, waiting)
		if err != nil {
			return err
		}
		late := time.Since(begin) > lingers
		looks := make([]leaving, len(waiting))
		for i, r := range waiting {
			looks[i] = leaving{podRef: r, now: all[i], served: served[r.UID], late: late}
		}
		err = atOnce(looks, func(l leaving) (err error) {
			said[at[l.UID]], err = l.left(ctx)
			return err
		})
		waiting = slices.DeleteFunc(waiting, func(r podRef) bool { return said[at[r.UID]] != "" })
		return err
	})
	return strings.Join(said, "; "), err
}

// leaving is a pod that is to have left, as it was just seen.
type leaving struct {
	podRef
	now    now
	served bool
	// late tells that enough time has gone by for its containers to end.
	late bool
}

// left says who has seen that the pod has left: a connection, the endpoints of its
// Service, or its kubelet; and, for a pod of which nothing is known, or late, that it
// was asked to leave. It is "" with an error.
func (l leaving) left(ctx context.Context) (string, error) {
	said := l.String() + " is " + l.now.String()
	switch {
	case l.now.untouched():
		return "", errors.New(said)
	case l.now.same && ended(l.now.pod):
		return said + ", its kubelet says that its containers have ended", nil
	case l.Service != "" && !l.served:
		return said + ", the endpoints of Service " + l.Service + " no longer have it", nil
	case l.Path == nil && l.Service != "" && !l.late:
		return "", fmt.Errorf("%s, but the endpoints of Service %s still have it", said, l.Service)
	case l.Path == nil:
		return said, nil
	}
	err := l.Path.cutOff(ctx, true)
	switch {
	case err == nil:
		return said + ", " + l.Path.Address + " accepts no connections any more", nil
	case l.late:
		return fmt.Sprintf("%s (but its containers take their time: %v)", said, err), nil
	}
	return "", fmt.Errorf("%s, but %w", said, err)
}

// ended tells whether the kubelet says that the pod's containers do not run any more.
func ended(p *corev1.Pod) bool {
	running := slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Terminated == nil })
	return len(p.Status.ContainerStatuses) > 0 && !running
}
