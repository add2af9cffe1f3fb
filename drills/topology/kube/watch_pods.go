package kube

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"firedrill/drills/si"
	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// podStream is how the pods come and go.
func (w *watcher) podStream() *stream {
	return &stream{
		w: w, what: "pods",
		list: func(ctx context.Context, c *Cluster, ns string) (runtime.Object, error) {
			selector, err := w.choose(ctx)
			if err != nil {
				return nil, err
			}
			return c.Client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
		},
		watch: func(ctx context.Context, c *Cluster, ns string, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = w.selector
			return c.Client.CoreV1().Pods(ns).Watch(ctx, o)
		},
		reset: w.listed, next: w.one(w.podEvent),
	}
}

// choose asks once for the selector: a workload that is deleted in the drill still
// has pods that end.
func (w *watcher) choose(ctx context.Context) (string, error) {
	if w.selector != "" {
		return w.selector, nil
	}
	selector, _, err := w.adapter.Wanted(ctx)
	if err == nil {
		w.selector = selector
	}
	return selector, err
}

func (w *watcher) podEvent(e watch.Event) {
	p, ok := e.Object.(*corev1.Pod)
	if !ok {
		return
	}
	was := w.pods[p.UID]
	if e.Type == watch.Deleted {
		delete(w.pods, p.UID)
		w.tell(0, left(was, p)...)
		return
	}
	p.ManagedFields = nil // most of what a pod weighs
	w.pods[p.UID] = p
	w.tell(0, changes(was, p)...)
}

// listed compares all pods with those that are known.
func (w *watcher) listed(list runtime.Object, first bool, late time.Duration) {
	pods := list.(*corev1.PodList).Items
	slices.SortFunc(pods, func(x, y corev1.Pod) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), strings.Compare(x.Name, y.Name))
	})
	now := map[types.UID]*corev1.Pod{}
	for i := range pods {
		pods[i].ManagedFields = nil
		now[pods[i].UID] = &pods[i]
	}
	var missing []*corev1.Pod
	for uid, was := range w.pods {
		if now[uid] == nil {
			missing = append(missing, was)
		}
	}
	slices.SortFunc(missing, func(x, y *corev1.Pod) int { return strings.Compare(x.Name, y.Name) })
	before := w.pods
	w.pods = now
	if first {
		return
	}
	for _, was := range missing {
		w.tell(late, left(was, was)...)
	}
	for i := range pods {
		w.tell(late, changes(before[pods[i].UID], &pods[i])...)
	}
}

// left is what is to be told of a pod that is no more: nothing if it had ended before.
func left(was, is *corev1.Pod) []topology.Change {
	if was != nil && ended(was) {
		return nil
	}
	return []topology.Change{{Member: is.Name, What: timeline.MemberGone}}
}

// changes are what happened to a pod between two looks, in the order in which it can
// have happened; was is nil for a new one.
func changes(was, is *corev1.Pod) (out []topology.Change) {
	add := func(what, detail string, stamp time.Time) {
		out = append(out, topology.Change{Member: is.Name, What: what, Detail: detail, Stamp: stamp})
	}
	if was == nil {
		add(timeline.MemberCreated, owner(is), is.CreationTimestamp.Time)
		was = &corev1.Pod{}
	}
	if was.Spec.NodeName == "" && is.Spec.NodeName != "" {
		add(timeline.MemberScheduled, is.Spec.NodeName, since(is, corev1.PodScheduled))
	}
	if asked(is) && !asked(was) {
		detail, at := leave(is)
		add(timeline.MemberDeleting, detail, at)
	}
	ready, before := has(is, corev1.PodReady), has(was, corev1.PodReady)
	again := restarts(is) > restarts(was) && was.UID != ""
	if before && (!ready || again) {
		add(timeline.MemberUnready, cmp.Or(Ailment(is), lastEnd(is, was)), since(is, corev1.PodReady))
	}
	if ids := running(is); ids != "" && ids != running(was) {
		add(timeline.MemberStarted, "", startedAt(is))
	}
	if ready && (!before || again) {
		add(timeline.MemberReady, "", since(is, corev1.PodReady))
	}
	if ended(is) && !ended(was) {
		add(timeline.MemberGone, strings.TrimPrefix(fmt.Sprintf("%s: %s", is.Status.Phase, is.Status.Reason), ": "), time.Time{})
	}
	return out
}

// asked tells whether a pod was asked to end. One that is given no time is not asked,
// but gone at once, unless a finalizer keeps it.
func asked(p *corev1.Pod) bool {
	s := p.DeletionGracePeriodSeconds
	return p.DeletionTimestamp != nil && (s == nil || *s > 0 || len(p.Finalizers) > 0)
}

// ended tells whether a pod will never run again, though it can be there still.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

func owner(p *corev1.Pod) string {
	if o := metav1.GetControllerOf(p); o != nil {
		return "by " + strings.ToLower(o.Kind) + "/" + o.Name
	}
	return ""
}

// leave says how long a pod may take to end, and when it was asked to.
func leave(p *corev1.Pod) (detail string, at time.Time) {
	at = p.DeletionTimestamp.Time
	if s := p.DeletionGracePeriodSeconds; s != nil {
		grace := time.Duration(*s) * time.Second
		return "grace " + si.Duration(grace.Seconds()), at.Add(-grace)
	}
	return "", at
}

// since is when a condition became what it is; the zero time if nobody says.
func since(p *corev1.Pod, t corev1.PodConditionType) time.Time {
	if c := condition(p, t); c != nil {
		return c.LastTransitionTime.Time
	}
	return time.Time{}
}

// running names the containers that run, once all do; "" before.
func running(p *corev1.Pod) string {
	var ids []string
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Running == nil {
			return ""
		}
		ids = append(ids, cmp.Or(s.ContainerID, s.Name))
	}
	return strings.Join(ids, " ")
}

func startedAt(p *corev1.Pod) (last time.Time) {
	for _, s := range p.Status.ContainerStatuses {
		if r := s.State.Running; r != nil && r.StartedAt.After(last) {
			last = r.StartedAt.Time
		}
	}
	return last
}

// lastEnd says how the containers ended that were started again, or have ended, since
// the last look.
func lastEnd(is, was *corev1.Pod) string {
	before := map[string]corev1.ContainerStatus{}
	for _, s := range was.Status.ContainerStatuses {
		before[s.Name] = s
	}
	for _, s := range is.Status.ContainerStatuses {
		if t := s.LastTerminationState.Terminated; t != nil && s.RestartCount > before[s.Name].RestartCount {
			return fmt.Sprintf("container %s had ended: exit code %d%s", s.Name, t.ExitCode, more(t.Reason))
		}
	}
	return ""
}
