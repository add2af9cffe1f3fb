package kube

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"firedrill/drills/timeline"
	"firedrill/drills/topology"
)

// pulled is the reason of the event that a kubelet reports when an image is there.
// Nothing in a pod's status says so.
const pulled = "Pulled"

// pullStream is when images were there. Whoever may not read events learns less.
func (w *watcher) pullStream() *stream {
	const chosen = "involvedObject.kind=Pod,reason=" + pulled
	return &stream{
		w: w, what: "events", optional: true,
		list: func(ctx context.Context, c *Cluster, ns string) (runtime.Object, error) {
			return c.Client.CoreV1().Events(ns).List(ctx, metav1.ListOptions{FieldSelector: chosen})
		},
		watch: func(ctx context.Context, c *Cluster, ns string, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = chosen
			return c.Client.CoreV1().Events(ns).Watch(ctx, o)
		},
		reset: func(list runtime.Object, first bool, late time.Duration) {
			items := list.(*corev1.EventList).Items
			for i := range items {
				w.pull(&items[i], first, late)
			}
		},
		next: w.one(func(e watch.Event) {
			if ev, ok := e.Object.(*corev1.Event); ok && e.Type != watch.Deleted {
				w.pull(ev, false, 0)
			}
		}),
	}
}

// pull hands on that an image is there for one of the pods. The same event with a
// higher count is a further time.
func (w *watcher) pull(e *corev1.Event, first bool, late time.Duration) {
	count := max(e.Count, 1)
	if e.Reason != pulled || e.InvolvedObject.Kind != "Pod" || w.pulls[e.UID] >= count {
		return
	}
	w.pulls[e.UID] = count
	if first || w.pods[e.InvolvedObject.UID] == nil {
		return
	}
	at := e.LastTimestamp.Time
	if at.IsZero() {
		at = e.EventTime.Time
	}
	w.tell(late, topology.Change{Member: e.InvolvedObject.Name, What: timeline.MemberImage, Detail: e.Message, Stamp: at})
}
